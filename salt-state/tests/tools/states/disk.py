import os, sys
exec(open(os.path.join(os.path.dirname(sys.argv[1]), "../block_devices.py")).read())
C = []
def fn(f, *a, **k): C.append({"fn": "disk." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "blockdev." + f, "args": [n], "kw": k, "reset": True})
fn("blkid"); fn("blkid", "/dev/xa"); fn("blkid", "/dev/nope"); fn("blkid", token="TYPE=swap"); fn("blkid", "/dev/xa", "TYPE=swap")
for d in ("/dev/xa", "/dev/xb", "/dev/xnew", "/dev/nope"): fn("fstype", d); fn("dump", d); fn("dump", d, ["getsize64", "getra"]); fn("dump", d, "getsize64,getra")
fn("dump", "/dev/xa", ["nothing"])
fn("wipe", "/dev/xa"); fn("wipe", "/dev/bad"); fn("resize2fs", "/dev/xa"); fn("resize2fs", "/dev/bad")
fn("tune", "/dev/xa", **{"read-ahead": 1024}); fn("tune", "/dev/xa", **{"read-ahead": 1024, "filesystem-read-ahead": 512, "read-only": True}); fn("tune", "/dev/xa", **{"read-write": True}); fn("tune", "/dev/xa", **{"read-only": False}); fn("tune", "/dev/xa"); fn("tune", "/dev/xa", bogus=1); fn("tune", "/dev/nope", **{"read-ahead": 1})
for d in ("/dev/xa", "/dev/xnew", "/dev/xfail"): fn("format", d); fn("format", d, "xfs"); fn("format", d, force=True)
fn("format", "/dev/xa", "ext4", 256, "16384", False, True); fn("format", "/dev/xa", "xfs", force=True); fn("format", "/dev/xa", fs_type="vfat", force=True); fn("format", "/dev/xa", fs_type="btrfs"); fn("format", "/dev/xa", fs_type="fat", fat=32); fn("format", "/dev/xa", inode_size=256, fs_type="xfs"); fn("format", "/dev/xa", fs_type="ext3", lazy_itable_init=1); fn("format", "/dev/xa", fs_type="vfat", fat=16); fn("format", "/dev/xa", fs_type="ext2", inode_size=128, lazy_itable_init=0, discard=False); fn("format", "/dev/xa", "xfs", discard=False); fn("format","/dev/xa","fat",fat=32,force=True)
fn("iostat"); fn("iostat", 2, 3); fn("iostat", disks=["vda", "vdb"]); fn("iostat", disks="vda"); fn("hdparms", "/dev/sda"); fn("hdparms", "/dev/sda", "mA"); fn("hpa", "/dev/sda"); fn("smart_attributes", "/dev/sda"); fn("smart_attributes", "/dev/sda", ["1"]); fn("smart_attributes", "/dev/sda", [16], ["RAW_VALUE"]); fn("smart_attributes", "/dev/sda", values=["RAW_VALUE", "VALUE"]); fn("hdparms", "/dev/sda", ["m","a"])
for d in ("/dev/xa", "/dev/xb", "/dev/xnew", "/dev/xfail", "/dev/nope"): st("formatted", d); st("formatted", d, fs_type="xfs"); st("formatted", d, fs_type="ext3", force=True)
st("formatted", "/dev/xnew", fs_type="ext4", inode_size=128); st("formatted", "/dev/xnew", fs_type="bogus")
st("tuned", "/dev/xa", **{"read-ahead": 1024}); st("tuned", "/dev/xa", **{"read-ahead": 256}); st("tuned", "/dev/xa", **{"read-ahead": 1024, "filesystem-read-ahead": 512, "read-only": True}); st("tuned", "/dev/xa", **{"read-write": True}); st("tuned", "/dev/xa", **{"read-only": True}); st("tuned", "/dev/xa", **{"read-only": False}); st("tuned", "/dev/xa"); st("tuned", "/dev/nope", **{"read-ahead": 1}); st("tuned", "/dev/xa", bogus=1)
CASES = C
