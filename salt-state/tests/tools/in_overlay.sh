#!/bin/bash
# Runs a command on a copy of this machine that is thrown away: mounts, processes and the network are its own.
#
#     unshare -m -n -p -f --mount-proc bash in_overlay.sh COMMAND...
set -e
mount --make-rprivate /
scratch=$(mktemp -d /tmp/overlay.XXXXXX)
mount -t tmpfs -o size=2G tmpfs "$scratch"
mkdir "$scratch"/upper "$scratch"/work "$scratch"/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch"/root
mount -t proc proc "$scratch"/root/proc
mount --rbind /dev "$scratch"/root/dev
# The loopback interface goes up.
python3 -c '
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
'
here=$PWD
status=0
chroot "$scratch"/root sh -c 'cd "$1" && shift && exec "$@"' sh "$here" "$@" || status=$?
umount -l "$scratch"/root "$scratch"
rmdir "$scratch"
exit $status
