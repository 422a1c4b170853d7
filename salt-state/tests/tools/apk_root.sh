#!/bin/sh
# The root that states/apk.py is recorded in: apk_root.sh DIRECTORY COMMAND…, where DIRECTORY has apk-tools built in src/.
# Runs in a mount namespace of its own; of the machine only /usr is seen, below an overlay.
set -e
D=$1; shift
mount --make-rprivate /
rm -rf --one-file-system $D/m; mkdir -p $D/m/t; mount -t tmpfs none $D/m/t; mkdir $D/m/t/up $D/m/t/work; R=$D/m/root; mkdir -p $R; cd $R
mkdir -p root usr etc proc dev tmp var/cache/apk var/log run repo local srv/salt srv/pillar rec spec
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64
mount -t overlay none -o lowerdir=/usr,upperdir=$D/m/t/up,workdir=$D/m/t/work usr
cp -a /etc/passwd /etc/group /etc/ld.so.cache /etc/localtime /etc/nsswitch.conf /etc/hosts etc/
mkdir -p opt/salt; mount --bind /opt/salt opt/salt; mount -o remount,bind,ro opt/salt
mkdir dev/shm; mount -t tmpfs none dev/shm; mount -t proc none proc; for d in null zero random urandom; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir real; cp $D/src/src/apk real/apk.bin; cp $D/src/src/libapk.so.2.14.10 usr/lib/; 
cp $D/tools/* spec/
cat > spec/restore <<'Y'
#!/bin/sh
# Puts a saved database of packages back.
rm -rf /lib/apk /etc/apk /var/cache/apk
cp -a /saved/$1/lib /lib/apk; cp -a /saved/$1/etc /etc/apk; cp -a /saved/$1/cache /var/cache/apk
exit 0
Y
chmod +x spec/restore
cat > spec/setup <<'Y'
set -e
ldconfig; export LD_LIBRARY_PATH=/usr/lib
python3 /spec/apk_packages.py / 
apk="/real/apk.bin --allow-untrusted"
cd /repo/x86_64; $apk index -q -o APKINDEX.tar.gz *.apk
mkdir -p /etc/apk; echo /repo > /etc/apk/repositories; echo x86_64 > /etc/apk/arch
$apk add --initdb -q
$apk update -q || true
save() { mkdir -p /saved/$1; cp -a /lib/apk /saved/$1/lib; cp -a /etc/apk /saved/$1/etc; cp -a /var/cache/apk /saved/$1/cache; }
save empty
$apk add alpha=1.0-r0 beta=0.5-r0 gamma delta-tool=1.0_rc1-r0
sed -i 's/=.*//' /etc/apk/world
$apk info -v; $apk version -l '<'; cat /etc/apk/world
save some
$apk add -q /local/local-1.0-r0.apk
save withlocal
sh /spec/restore some
Y
env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 chroot $R sh /spec/setup >&2
exec env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 chroot $R "$@"
