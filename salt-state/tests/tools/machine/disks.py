PROC = {"1/mounts": "proc /proc proc rw,nosuid 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/sdb1 /srv/a\\040b xfs ro,noatime 0 0\nsshfs#me:/ /mnt fuse.sshfs rw 0 0\n", "self": "-> 1",
        "swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"}
OVERLAY = ["/etc"]
IOSTAT = ("#!/bin/sh\nhead='Device:           r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz     w/s     wkB/s   wrqm/s  %wrqm w_await wareq-sz  aqu-sz  %util'\n"
          "case \"$*\" in *nope*) exit 1;; esac\necho 'Linux 6.1.0 (m1)  11/22/26  _x86_64_  (2 CPU)'\necho\n"
          "for i in 1 2 3; do echo 'avg-cpu:  %user   %nice %system %iowait  %steal   %idle'; echo \"           1.50    0.10    2.00    0.00    0.00   96.4$i\"; echo; echo \"$head\"; echo \"vda $i.00 2.50 0.00 0.00 0.25 40.37 1.00 2.00 3.00 4.00 5.00 6.00 0.10 0.50\"; echo \"vdb 0.0$i 0.00 0.10$((i % 2)) 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.$i\"; echo; done\n")
HDPARM = ("#!/bin/sh\ncase \"$*\" in */dev/nope*) echo '/dev/nope: No such file or directory' >&2; exit 2;; esac\ncat <<'E'\n\n/dev/sda:\n multcount     = 16 (on)\n IO_support    =  1 (32-bit)\n readonly      =  0 (off)\n readahead     = 256 (on)\n geometry      = 121601/255/63, sectors = 1953525168, start = 0\n look-ahead    =  1 (on)\n drive state is:  active/idle\n max sectors   = 1953525168/1953525168, HPA is disabled\n acoustic      = 254 (128=quiet ... 254=fast)\n APM_level      = off\n queue_depth   = 31\n\nE\n")
SMART = "#!/bin/sh\nexit 0\n"
FAKE = {"iostat": IOSTAT, "hdparm": HDPARM, "smartctl": SMART,
        "df": "#!/bin/sh\ncase \"$*\" in *None*) echo 'df: None: No such file or directory' >&2; exit 1;;  *) printf 'Filesystem     Type 1024-blocks     Used Available Capacity Mounted on\\n/dev/sda1      ext4 264212084 32035012  63250876      34%% /\\n';; esac\n",
        "sshfs": "#!/bin/sh\n", "mount.fuse": "#!/bin/sh\n", "ldd": "#!/bin/sh\ncase $1 in *sshfs) echo '\tlibfuse.so.2 => /lib/libfuse.so.2 (0x1)';; *) echo '\tlibc.so.6 => /lib/libc.so.6 (0x1)';; esac\n",
        "lsblk": "#!/bin/sh\ncase $3 in /dev/sdb1) echo FSTYPE; echo xfs;; /dev/sda1) echo FSTYPE; if [ -e /etc/kind ]; then echo ext4; else echo; fi;; *) echo \"lsblk: $3: not a block device\" >&2; exit 32;; esac\n"}
C = []
def put(path, text): C.append({"fn": "file.write", "args": [path, text], "kw": {}})
def fn(f, *a, **k): C.append({"fn": f, "args": list(a), "kw": k})
fn("disk.iostat"); fn("disk.iostat", 2, 3); fn("disk.iostat", disks=["vda", "vdb"]); fn("disk.iostat", disks="vda"); fn("disk.iostat", disks="vda,vdb"); fn("disk.iostat", disks="nope"); fn("disk.iostat", 0); fn("disk.iostat", "x", "y")
fn("disk.hdparms", "/dev/sda"); fn("disk.hdparms", "/dev/sda", "mA"); fn("disk.hdparms", ["/dev/sda", "/dev/sdb"], ["m", "A"]); fn("disk.hdparms", "/dev/nope"); fn("disk.hdparms", "sda"); fn("disk.hdparms", "/dev/sda", "")
for p in ("/", "/srv", "/nope", ""): fn("disk.get_fstype_from_path", p)
for p in ("/", "/nope", ""): fn("mount.get_mount_from_path", p)

for c in ("sshfs", "cat", "nosuchprogram", "/bin/cat"): fn("mount.is_fuse_exec", c)
fn("mount.filesystems"); put("/etc/vfstab", "/dev/dsk/c0 /dev/rdsk/c0 / ufs 1 no -\n"); fn("mount.vfstab"); put("/etc/filesystems", "/home:\n\tdev = /dev/hd1\n\tvfs = jfs2\n\n"); fn("mount.filesystems"); fn("mount.vfstab"); 
put("/etc/kind", "x"); fn("disk.get_fstype_from_path", "/")
CASES = C
