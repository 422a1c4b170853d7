import os, sys
exec(open(os.path.join(os.path.dirname(sys.argv[1]), "../block_devices.py")).read())
SETUP = "mknod /dev/xblk b 7 99"
FILES_IN_TEST["/dev/xblk"] = "block 7 99"
C = []
def st(f, n, **k): C.append({"st": "blockdev." + f, "args": [n], "kw": k, "reset": True})
for d in ("/dev/xblk",):
    st("tuned", d, **{"read-ahead": 1024}); st("tuned", d, **{"read-ahead": 256}); st("tuned", d, **{"read-ahead": 1024, "filesystem-read-ahead": 512, "read-only": True}); st("tuned", d, **{"read-write": True}); st("tuned", d, **{"read-only": True}); st("tuned", d, **{"read-only": False}); st("tuned", d); st("tuned", d, bogus=1); st("tuned", d, **{"read-ahead": "1024"}); st("tuned", d, **{"read-ahead": 512, "read-write": True})
CASES = C
