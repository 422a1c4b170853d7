PROGRAMS = ["mount", "umount", "swapon", "swapoff", "mkswap", "blkid"]
FAKE = {"swapon": "#!/bin/sh\nfor d; do :; done; case $d in *bad*) echo \"swapon: $d: read swap header failed\" >&2; exit 255;; esac\nexit 0\n", "swapoff": "#!/bin/sh\nexit 0\n", "mount": "#!/bin/sh\nfor d; do :; done; case $d in *bad*) echo 'mount: /mnt/bad: cannot' >&2; exit 32;; esac\nexit 0\n", "umount": "#!/bin/sh\nexit 0\n", "blkid": "#!/bin/sh\nexit 2\n"}
WATCH = ["/etc/fstab", "/var/cache/salt/mounts", "/var/cache/salt/mounts.p"]
FILES = {"/etc/fstab": "# x\n/dev/a / ext4 defaults 0 1\n/dev/b none swap sw 0 0\n", "/swapfile": "x", "/mnt/z/": ""}
FILES_IN_TEST = {"/swapfile": "x", "/mnt/z/": ""}
SETUP = "ls /proc/swaps /proc/filesystems >&2; cat /proc/swaps >&2; sed -i 's/^/ /;s/^ //' /etc/fstab"
C = []
def fn(f, *a, **k): C.append({"fn": "mount." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "mount." + f, "args": [n], "kw": k, "reset": True})
fn("swapon", "/swapfile"); fn("swapon", "/swapfile", 5); fn("swapon", "/bad"); fn("swapoff", "/swapfile"); fn("swaps"); fn("read_mount_cache", "/mnt/z"); fn("write_mount_cache", "/mnt/z", "/dev/z", False, "ext4", "rw"); fn("read_mount_cache", "/mnt/z"); fn("write_mount_cache", "/mnt/z", "/dev/z", True, "ext4", ["rw", "noatime"]); fn("read_mount_cache", "/mnt/z"); fn("delete_mount_cache", "/mnt/z"); fn("read_mount_cache", "/mnt/z"); fn("delete_mount_cache", "/mnt/none")
for f in C[-8:]: f.pop("reset")
fn("filesystems"); fn("vfstab"); fn("set_vfstab", "/mnt/z", "/dev/z", "ext4"); fn("rm_vfstab", "/mnt/z"); fn("set_filesystems", "/a", "/dev/a"); fn("automaster"); fn("set_automaster", "/a", "b", "c"); fn("rm_filesystems", "/a"); fn("is_fuse_exec", "mount"); fn("is_fuse_exec", "nope"); fn("remount", "/mnt/z", "/dev/z"); fn("remount", "/mnt/z", "/dev/z", True, "ext4", "rw"); fn("remount", "/proc", "proc", fstype="proc", opts=["rw", "nosuid"]); fn("remount", "/proc", "proc"); fn("get_mount_from_path", "/proc/1/fd"); fn("get_device_from_path", "/proc/1/fd"); fn("get_mount_from_path", "/nope"); fn("get_device_from_path", "/nope"); fn("get_device_from_path", "/etc/fstab"); fn("get_mount_from_path", "/etc/fstab"); fn("rm_automaster", "/a", "b")
for n in ("/swapfile", "/bad", "/nope", "/dev/b"):
    st("swap", n); st("swap", n, persist=False); st("swap", n, config="/etc/other")
CASES = C
