"""Makes the packages that states/apk.py is recorded with, and their index: apk_packages.py DIRECTORY"""
import gzip, hashlib, io, os, subprocess, sys, tarfile

place = sys.argv[1]
# name, version, depends, provides, install_if, conffile
PACKAGES = [
    ("alpha", "1.0-r0", "", ""), ("alpha", "1.1-r0", "", ""), ("alpha", "2.0-r1", "", ""),
    ("beta", "0.5-r0", "", ""), ("beta", "0.9-r2", "", ""),
    ("gamma", "1.0-r0", "alpha>=1.0-r0", ""),
    ("delta-tool", "1.0_rc1-r0", "", ""), ("delta-tool", "1.0-r0", "", ""),
    ("theta", "3.0-r0", "", ""), ("iota", "1.0-r0", "theta beta", ""),
    ("broken", "1.0-r0", "nowhere", ""), ("foe", "1.0-r0", "!alpha", ""),
    ("tool-doc", "1.0-r0", "", "cmd:tool=1.0"),
]
LOCAL = [("local", "1.0-r0", "", ""), ("local", "1.5-r0", "", "")]

def tar(files, whole):
    out = io.BytesIO()
    t = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
    dirs = set()
    for path, text in files:
        for at in range(1, path.count("/") + 1):
            d = "/".join(path.split("/")[:at])
            if d not in dirs:
                dirs.add(d); i = tarfile.TarInfo(d); i.type = tarfile.DIRTYPE; i.mode = 0o755; i.mtime = 1700000000; t.addfile(i)
        i = tarfile.TarInfo(path); i.size = len(text); i.mode = 0o644; i.mtime = 1700000000
        if whole: i.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(text).hexdigest()}
        t.addfile(i, io.BytesIO(text))
    end = t.offset
    t.close()
    raw = out.getvalue() if whole else out.getvalue()[:end]
    return gzip.compress(raw, mtime=0)

def make(where, name, version, depends, provides):
    data = tar([(f"etc/{name}.conf", f"{name}\n".encode()), (f"usr/share/{name}/data", f"{version}\n".encode())], True)
    info = f"pkgname = {name}\npkgver = {version}\npkgdesc = The package {name}\nurl = http://example.com/{name}\nbuilddate = 1700000000\npackager = Jane Doe <jane@example.com>\nsize = 4096\narch = x86_64\norigin = {name}\nlicense = MIT\n"
    info += "".join(f"depend = {d}\n" for d in depends.split()) + "".join(f"provides = {p}\n" for p in provides.split())
    info += f"datahash = {hashlib.sha256(data).hexdigest()}\n"
    os.makedirs(where, exist_ok=True)
    open(f"{where}/{name}-{version}.apk", "wb").write(tar([(".PKGINFO", info.encode())], False) + data)

for p in PACKAGES: make(place + "/repo/x86_64", *p)
for p in LOCAL: make(place + "/local", *p)
