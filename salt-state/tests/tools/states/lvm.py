T = ["lvm", "pvdisplay", "vgdisplay", "lvdisplay", "pvcreate", "pvremove", "pvresize", "vgcreate", "vgextend", "vgremove", "lvcreate", "lvremove", "lvextend", "lvresize"]
PROGRAMS = T
WATCH = ["/lib/pvs", "/lib/vgs", "/lib/lvs", "/dev/fa", "/dev/fb", "/dev/fc", "/dev/fd", "/dev/link"]
FAKE = {
"lvm": "#!/bin/sh\necho '  LVM version:     2.03.16(2) (2022-05-18)\n  Library version: 1.02.185 (2022-05-18)\n  Driver version:  4.47.0'\n",
"pvdisplay": r'''#!/bin/sh
c=; for a; do case $a in -*) ;; *) d=$a;; esac; done
if [ "$d" ]; then l=$(grep "^  $d:" /lib/pvs); [ "$l" ] && echo "$l" || { echo "  Failed to find physical volume \"$d\"." >&2; exit 5; }; else cat /lib/pvs; fi
''',
"vgdisplay": r'''#!/bin/sh
for a; do case $a in -*) ;; *) d=$a;; esac; done
if [ "$d" ]; then l=$(grep "^  $d:" /lib/vgs); [ "$l" ] && echo "$l" || { echo "  Volume group \"$d\" not found
  Cannot process volume group $d" >&2; exit 5; }; else cat /lib/vgs; fi
''',
"lvdisplay": r'''#!/bin/sh
for a; do case $a in -*) ;; *) d=$a;; esac; done
if [ "$d" ]; then l=$(grep "^  $d:" /lib/lvs); [ "$l" ] && echo "$l" || { echo "  Failed to find logical volume \"${d#/dev/}\"" >&2; exit 5; }; else cat /lib/lvs; fi
''',
"pvcreate": r'''#!/bin/sh
rc=0; for a; do case $a in /dev/f[abc]) echo "  $a:#orphans_lvm2:204800:-1:8:8:-1:0:0:0:0:AAAAAA-$(basename $a)" >> /lib/pvs; echo "  Physical volume \"$a\" successfully created.";; /dev/*) echo "  Device $a excluded by a filter." >&2; rc=5;; esac; done; exit $rc
''',
"pvremove": r'''#!/bin/sh
rc=0; for a; do case $a in /dev/busy) echo "  PV $a is used by VG vg0." >&2; rc=5;; /dev/*) sed -i "\|^  $a:|d" /lib/pvs; echo "  Labels on physical volume \"$a\" successfully wiped.";; esac; done; exit $rc
''',
"pvresize": r'''#!/bin/sh
for a; do case $a in /dev/*) echo "  Physical volume \"$a\" changed"; done=1;; esac; done; echo "  1 physical volume(s) resized or updated / 0 physical volume(s) not resized"
''',
"vgcreate": r'''#!/bin/sh
v=; for a; do case $a in -*) ;; /dev/bad) echo "  Device /dev/bad not found." >&2; exit 5;; /dev/*) sed -i "s|^  $a:[^:]*:|  $a:$v:|" /lib/pvs;; *) [ "$v" ] || v=$a;; esac; done
echo "  $v:r/w:772:-1:0:0:0:-1:0:1:1:98304:4096:24:0:24:BBBBBB-$v" >> /lib/vgs; echo "  Volume group \"$v\" successfully created"
''',
"vgextend": r'''#!/bin/sh
v=; for a; do case $a in -*) ;; /dev/bad) echo "  Device /dev/bad not found." >&2; exit 5;; /dev/*) sed -i "s|^  $a:[^:]*:|  $a:$v:|" /lib/pvs;; *) v=$a;; esac; done; echo "  Volume group \"$v\" successfully extended"
''',
"vgremove": r'''#!/bin/sh
for a; do case $a in -*) ;; stuckvg) echo "  Logical volume stuckvg/a contains a filesystem in use." >&2; exit 5;; *) v=$a;; esac; done
grep -q "^  $v:" /lib/vgs || { echo "  Volume group \"$v\" not found" >&2; exit 5; }
sed -i "/^  $v:/d" /lib/vgs; sed -i "s|:$v:|:#orphans_lvm2:|" /lib/pvs; echo "  Volume group \"$v\" successfully removed"
''',
"lvcreate": r'''#!/bin/sh
n=; v=; s=204800; while [ $# -gt 0 ]; do case $1 in -n|--name) n=$2; shift;; -L|--size|-V|--virtualsize) s=$2; shift;; -l|--extents) s=$2; shift;; -s|--snapshot) ;; -*) ;; /dev/*) ;; *) [ "$v" ] || v=$1;; esac; shift; done
case $v in bad*) echo "  Volume group \"$v\" not found" >&2; exit 5;; esac
v0=${v%%/*}
case $s in *[gG]) k=$((${s%?} * 2097152));; *[mM]) k=$((${s%?} * 2048));; *[!0-9]*) k=204800;; *) k=$((s * 2048));; esac
echo "  /dev/$v0/$n:$v0:3:1:-1:0:$k:25:-1:0:-1:253:0" >> /lib/lvs; echo "  Logical volume \"$n\" created."
''',
"lvremove": r'''#!/bin/sh
for a; do case $a in -*) ;; *) d=$a;; esac; done
case $d in *stuck) echo "  Logical volume $d in use." >&2; exit 5;; esac
grep -q "^  /dev/$d:" /lib/lvs || { echo "  Failed to find logical volume \"$d\"" >&2; exit 5; }
sed -i "\|^  /dev/$d:|d" /lib/lvs; echo "  Logical volume \"$(basename $d)\" successfully removed"
''',
"lvextend": r'''#!/bin/sh
s=; while [ $# -gt 0 ]; do case $1 in -L|--size) s=$2; shift;; -l|--extents) s=$2; shift;; -*) ;; *) d=$1;; esac; shift; done
case $s in +*|*%*) k=999424;; *[gG]) k=$((${s%?} * 2097152));; *[mM]) k=$((${s%?} * 2048));; *) k=$((${s:-0} * 2048));; esac
case $d in *stuck) echo "  Insufficient free space: 1 extents needed, but only 0 available" >&2; exit 5;; esac
sed -i "s|^  $d:\([^:]*:[^:]*:[^:]*:[^:]*:[^:]*\):[^:]*:|  $d:\1:$k:|" /lib/lvs
echo "  Size of logical volume x changed from 100.00 MiB (25 extents) to 1.00 GiB (256 extents)."; echo "  Logical volume x successfully resized."
'''}
FAKE["lvresize"] = FAKE["lvextend"]
FILES = {"/lib/pvs": "  /dev/fa:vg0:2097152:-1:8:8:-1:4096:255:155:100:Uuid-A\n  /dev/fb:#orphans_lvm2:204800:-1:8:8:-1:0:0:0:0:Uuid-B\n",
"/lib/vgs": "  vg0:r/w:772:-1:0:2:1:-1:0:1:1:1044480:4096:255:100:155:Uuid-V\n  stuckvg:r/w:772:-1:0:2:1:-1:0:1:1:1044480:4096:255:100:155:Uuid-S\n",
"/lib/lvs": "  /dev/vg0/root:vg0:3:1:-1:1:204800:25:-1:0:-1:253:0\n  /dev/vg0/stuck:vg0:3:1:-1:1:409600:50:-1:0:-1:253:1\n",
"/dev/fa": "", "/dev/fb": "", "/dev/fc": "", "/dev/fd": "", "/dev/link": "-> /dev/fa"}
C = []
def fn(f, *a, **k): C.append({"fn": "lvm." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "lvm." + f, "args": [n], "kw": k, "reset": True})
fn("version"); fn("fullversion")
for a in ([], ["/dev/fa"], ["/dev/fb"], ["/dev/nope"], ["/dev/link"]): fn("pvdisplay", *a); fn("pvdisplay", *a, real=True); fn("pvdisplay", *a, quiet=True)
for a in ([], ["vg0"], ["nope"]): fn("vgdisplay", *a); fn("vgdisplay", *a, quiet=True)
for a in ([], ["/dev/vg0/root"], ["/dev/vg0/nope"]): fn("lvdisplay", *a); fn("lvdisplay", *a, quiet=True)
for f in ("pvcreate", "pvremove", "pvresize"):
    for d in ("/dev/fb", "/dev/fc", "/dev/fd", "/dev/fa,/dev/fc", ["/dev/fb", "/dev/fc"], "/dev/nope", "", "/dev/link"):
        fn(f, d); fn(f, d, override=False)
    fn(f, "/dev/fc", force=False)
fn("pvcreate", "/dev/fc", dataalignmentoffset="7s"); fn("pvcreate", "/dev/fc", bogus="7s"); fn("pvcreate", "/dev/fc", metadatasize=1000, zero="y", norestorefile=True, uuid="x", pvmetadatacopies=2, dataalignment="1m", setphysicalvolumesize="1g", metadatacopies=1, metadataignore="y", labelsector=1, restorefile="f")
for d in ("/dev/fb", "/dev/fb,/dev/fc", ["/dev/fb"], "/dev/bad", ""): fn("vgcreate", "vgn", d); fn("vgextend", "vg0", d); fn("vgcreate", "vgn", d, force=True); fn("vgextend", "vg0", d, force=True)
fn("vgcreate", "", "/dev/fb"); fn("vgextend", "", "/dev/fb"); fn("vgcreate", "vgn", "/dev/fb", clustered="y", bogus=1, physicalextentsize="8M", maxlogicalvolumes=4, maxphysicalvolumes=5, metadatacopies="all", alloc="normal", addtag="t", vgmetadatacopies="1")
for v in ("vg0", "nope", "stuckvg"): fn("vgremove", v); fn("vgremove", v, force=False)
fn("lvcreate", "lv1", "vg0", size="1G"); fn("lvcreate", "lv1", "vg0", size="100"); fn("lvcreate", "lv1", "vg0", extents="25"); fn("lvcreate", "lv1", "vg0", extents="100%FREE", pv="/dev/fa"); fn("lvcreate", "lv1", "vg0"); fn("lvcreate", "lv1", "vg0", size="1G", extents="5"); fn("lvcreate", "snap", "vg0", snapshot="root", size="1G"); fn("lvcreate", "snap", "vg0", snapshot="/dev/vg0/root", size="1G")
fn("lvcreate", "pool", "vg0", size="1G", thinpool=True); fn("lvcreate", "tv", "vg0/pool", size="1G", thinvolume=True); fn("lvcreate", "tv", "vg0", size="1G", thinvolume=True, thinpool=True); fn("lvcreate", "lv1", "vg0", size="1G", force=True); fn("lvcreate", "lv1", "badvg", size="1G"); fn("lvcreate", "lv1", "vg0", size="1G", mirrors=2, stripes=3, wipesignatures="n", readahead="auto", bogus=1, activate="y", zero="n", type="raid1", contiguous="y", chunksize="4", addtag="tg", nosync=True, noudevsync=True, ignoremonitoring=None, monitor="y", permission="r", metadatasize="1", persistent="y", poolmetadatasize="2", regionsize="3", stripesize="64", minor=3, major=4, mirrorlog="core", discards="passdown")
fn("lvremove", "root", "vg0"); fn("lvremove", "nope", "vg0"); fn("lvremove", "stuck", "vg0"); fn("lvremove", "root", "vg0", force=False); fn("lvremove", "root", "")
for f in ("lvextend", "lvresize"):
    fn(f, "+12M", "/dev/vg0/root"); fn(f, lvpath="/dev/vg0/root", extents="+100%FREE"); fn(f, "1G", "/dev/vg0/root", force=True, resizefs=True); fn(f, "1G", "/dev/vg0/root", extents="5"); fn(f, lvpath="/dev/vg0/root"); fn(f, "1G", "/dev/vg0/stuck"); fn(f, "1G", "/dev/vg0/nope"); fn(f, 5, "/dev/vg0/root")
for n in ("/dev/fa", "/dev/fb", "/dev/fc", "/dev/fd", "/dev/link", "/dev/nope"): st("pv_present", n); st("pv_absent", n)
st("pv_present", "/dev/fc", dataalignment="1m")
for d in ("/dev/fb", "/dev/fa", "/dev/fa,/dev/fb", ["/dev/fa", "/dev/fb"], "/dev/fc", "/dev/nope", "/dev/link"): st("vg_present", "vg0", devices=d); st("vg_present", "vgn", devices=d)
st("vg_present", "vgn"); st("vg_present", "vg0"); st("vg_present", "vgn", devices="/dev/fb", physicalextentsize="8M"); st("vg_present", "vgn", devices="/dev/bad")
for v in ("vg0", "nope", "stuckvg"): st("vg_absent", v)
for k in (dict(size="100M"), dict(size="1G"), dict(size="50M"), dict(size="1.5G"), dict(size="100"), dict(size=100), dict(size="204800S"), dict(size="204800s"), dict(extents="25"), dict(extents=25), dict(extents=50), dict(extents=10), dict(extents="50%VG"), dict(size="1T"), dict(size="1P"), dict(size="10X"), dict(size="abc"), dict(), dict(size="1G", extents=5), dict(size="1G", force=True), dict(size="50M", force=True), dict(size="1G", resizefs=True), dict(size="50M", force=True, resizefs=True), dict(extents=10, force=True), dict(size="0.1G"), dict(size="100m"), dict(size="")):
    st("lv_present", "root", vgname="vg0", **k); st("lv_present", "new", vgname="vg0", **k)
st("lv_present", "stuck", vgname="vg0", size="1G"); st("lv_present", "new", vgname="badvg", size="1G"); st("lv_present", "new", size="1G"); st("lv_present", "snap", vgname="vg0", snapshot="root", size="1G"); st("lv_present", "pool", vgname="vg0", thinpool=True, size="1G"); st("lv_present", "tv", vgname="vg0/pool", thinvolume=True, size="1G"); st("lv_present", "tv", vgname="vg0", thinvolume=True, thinpool=True, size="1G"); st("lv_present", "new", vgname="vg0", size="1G", pv="/dev/fa"); st("lv_present", "new", vgname="vg0", size="1G", stripes=2); st("lv_present", "root", vgname="vg0", snapshot="x", size="1G"); st("lv_present", "root", vgname="vg0/pool", thinvolume=True, size="100M")
for n, v in (("root", "vg0"), ("nope", "vg0"), ("stuck", "vg0"), ("root", "nope"), ("root", None)): st("lv_absent", n, vgname=v)
CASES = C
