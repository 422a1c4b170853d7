"""Programs and files that stand in for block devices, for the specifications `disk` and `blockdev`."""

PROGRAMS = ["blkid", "lsblk", "df", "dumpe2fs", "tune2fs", "resize2fs", "wipefs", "blockdev", "mkfs", "mke2fs", "mkfs.ext4", "mkfs.xfs", "mkfs.fat", "iostat", "hdparm", "smartctl", "sync", "partprobe", "file", "findmnt", "udevadm", "mkswap"]
LSBLK = r'''#!/bin/sh
d=; for a; do case $a in /dev/*) d=$a;; esac; done
[ -e "$d" ] || { echo "lsblk: $d: not a block device" >&2; exit 32; }
printf 'FSTYPE\n%s\n' "$(sed -n "s|^$d ||p" /lib/fs)"
'''
FAKE = {"lsblk": LSBLK,
"blkid": r'''#!/bin/sh
A='/dev/xa: LABEL="root fs" UUID="1-2-3" BLOCK_SIZE="4096" TYPE="ext4" PARTUUID="aa-01"'; B='/dev/xb: UUID="4-5-6" TYPE="swap"'
case "$*" in "-o value -s TYPE "*) for d; do :; done; v=$(sed -n "s|^$d ||p" /lib/fs); [ "$v" ] && echo "$v" || exit 2;; "") echo "$A"; echo "$B";; *xa*) echo "$A";; *xb*) echo "$B";; *TYPE=swap*) echo "$B";; *TYPE=ext4*) echo "$A";; *) exit 2;; esac
''',
"df": r'''#!/bin/sh
d=; for a; do case $a in /*) d=$a;; esac; done
[ -e "$d" ] || { echo "df: $d: No such file or directory" >&2; exit 1; }
echo "Filesystem     Type 1K-blocks Used Available Use% Mounted on"; echo "$d      $(sed -n "s|^$d ||p" /lib/fs) 100 1 99 1% /"
''',
"blockdev": r'''#!/bin/sh
d=; for a; do d=$a; done; case $d in *nope*) echo "blockdev: cannot open $d: No such file or directory" >&2; exit 1;; esac
out() { for a; do case $a in --getro) cat /lib/bd.ro;; --getsz) echo 2048;; --getss) echo 512;; --getpbsz) echo 4096;; --getiomin) echo 4096;; --getioopt) echo 0;; --getalignoff) echo 0;; --getmaxsect) echo 256;; --getsize) echo 2048;; --getsize64) echo 1048576;; --getra) cat /lib/bd.ra;; --getfra) cat /lib/bd.fra;; --getbsz) echo 4096;; --getdiscardzeroes) echo 0;; esac; done; }
while [ $# -gt 0 ]; do case $1 in --setra) echo $2 > /lib/bd.ra; shift;; --setfra) echo $2 > /lib/bd.fra; shift;; --setro) echo 1 > /lib/bd.ro;; --setrw) echo 0 > /lib/bd.ro;; --get*) out $1;; esac; shift; done
''',
"dumpe2fs": "#!/bin/sh\nexit 1\n",
"tune2fs": "#!/bin/sh\nexit 0\n", "resize2fs": "#!/bin/sh\ncase $1 in *bad*) echo 'resize2fs: Bad magic number in super-block' >&2; exit 1;; esac\necho 'resize2fs 1.47.0 (5-Feb-2023)'\n",
"wipefs": "#!/bin/sh\nfor d; do :; done; case $d in *bad*) echo 'wipefs: error: /dev/bad: probing initialization failed: No such file or directory' >&2; exit 1;; esac\nsed -i \"\\|^$d |d\" /lib/fs\necho \"$d: 2 bytes were erased at offset 0x00000438 (ext4): 53 ef\"\n",
"mkfs": r'''#!/bin/sh
t=; while [ $# -gt 0 ]; do case $1 in -t) t=$2; shift;; -*) ;; *) d=$1;; esac; shift; done
case $d in *fail*) echo "mke2fs 1.47.0 (5-Feb-2023)
$d is apparently in use by the system; will not make a filesystem here!" >&2; exit 1;; esac
sed -i "\|^$d |d" /lib/fs; echo "$d $t" >> /lib/fs
''',
"sync": "#!/bin/sh\nexit 0\n",
"iostat": r'''#!/bin/sh
cat <<'X'
Linux 6.1.0 (m1) 	11/22/2026 	_x86_64_	(2 CPU)

avg-cpu:  %user   %nice %system %iowait  %steal   %idle
           1.00    0.00    2.00    0.50    0.00   96.50

Device:            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz
vda              1.00     20.00     0.00   0.00    0.50    20.00
vdb              0.00      1.00     0.00   0.00    0.25     4.00


avg-cpu:  %user   %nice %system %iowait  %steal   %idle
           3.00    0.00    4.00    0.50    0.00   92.50

Device:            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz
vda              3.00     40.00     0.00   0.00    1.50    20.00
vdb              0.00      3.00     0.00   0.00    0.75     4.00


X
''',
"hdparm": "#!/bin/sh\ncase \"$*\" in *-N*) printf '\\n/dev/sda:\\n max sectors   = 1000/2000, HPA is enabled\\n\\n';; *) printf '\\n/dev/sda:\\n multcount     = 16 (on)\\n readahead     = 256 (on)\\n geometry      = 1/2/3, sectors = 4, start = 0\\n\\n';; esac\n",
"smartctl": r'''#!/bin/sh
cat <<'X'
smartctl 7.3 2022-02-28 r5338
Copyright (C) 2002-22

=== START OF READ SMART DATA SECTION ===
SMART Attributes Data Structure revision number: 16
Vendor Specific SMART Attributes with Thresholds:
ID# ATTRIBUTE_NAME          FLAG     VALUE WORST THRESH TYPE      UPDATED  WHEN_FAILED RAW_VALUE
  1 Raw_Read_Error_Rate     0x002f   200   200   051    Pre-fail  Always       -       0
 16 Total_LBAs_Read         0x0022   130   246   000    Old_age   Always       -       23623

X
'''}
for k in ("mkfs.ext4", "mkfs.xfs", "mkfs.fat", "mkswap", "mke2fs"): FAKE[k] = "#!/bin/sh\nexit 0\n"
FAKE["partprobe"] = FAKE["file"] = FAKE["findmnt"] = FAKE["udevadm"] = "#!/bin/sh\nexit 0\n"
WATCH = ["/lib/fs", "/lib/bd.ra", "/lib/bd.fra", "/lib/bd.ro"]
FILES = {"/dev/xa": "", "/dev/xb": "", "/dev/xnew": "", "/dev/xfail": "", "/dev/bad": "", "/lib/fs": "/dev/xa ext4\n/dev/xb swap\n/dev/xfail vfat\n", "/lib/bd.ra": "256\n", "/lib/bd.fra": "256\n", "/lib/bd.ro": "0\n"}
FILES_IN_TEST = {k: v for k, v in FILES.items() if k.startswith("/dev")}
