import os
REL = os.uname().release
PROGRAMS = ["lsmod", "modprobe", "rmmod", "depmod"]
WATCH = ["/etc/modules", "/etc/modules-load.d/salt_managed.conf", "/lib/fake-mods", "/lib/modules/6.1.0-fake/modules.dep", "/lib/modules/6.1.0-fake/modules.builtin"]
FAKE = {
"lsmod": "#!/bin/sh\necho 'Module                  Size  Used by'\ncat /lib/fake-mods\n",
"modprobe": r'''#!/bin/sh
rm=; n=
while :; do case "$1" in -r) rm=1;; -n|--dry-run) n=1;; --) ;; -*) ;; *) break;; esac; shift; done
m=$(echo $1 | tr - _)
case $m in bad*) echo "modprobe: FATAL: Module $1 not found in directory /lib/modules/6.1.0-fake" >&2; exit 1;; esac
[ "$n" ] && exit 0
if [ "$rm" ]; then case $m in used*) echo "modprobe: FATAL: Module $m is in use." >&2; exit 1;; esac; sed -i "/^$m /d" /lib/fake-mods
else case $m in stuck*) echo "modprobe: ERROR: could not insert '$m': Operation not permitted" >&2; exit 1;; esac; grep -q "^$m " /lib/fake-mods || echo "$m                  16384  0" >> /lib/fake-mods; [ $m = two ] && { grep -q "^dep " /lib/fake-mods || echo "dep                  100  1 two" >> /lib/fake-mods; }; fi
exit 0
''',
}
FAKE["rmmod"] = FAKE["modprobe"].replace("rm=; n=", "rm=1; n=")
DEP = "kernel/net/one.ko: kernel/lib/dep.ko\nkernel/net/two.ko.xz:\nkernel/lib/dep.ko:\nkernel/x/with-dash.ko:\nkernel/net/stuck.ko:\nkernel/net/used.ko:\n"
FILES = {"/lib/modules/%s/modules.builtin" % REL: "kernel/b/builtin_rel.ko\nkernel/b/builtin-b.ko\n", **{"/lib/modules/6.1.0-fake/" + k.split(":")[0]: "" for k in DEP.splitlines()}, **{"/lib/modules/%s/" % REL + k.split(":")[0]: "" for k in DEP.splitlines()}, 
"/lib/modules/6.1.0-fake/modules.dep": DEP, "/lib/modules/6.1.0-fake/modules.builtin": "kernel/b/builtin_a.ko\nkernel/b/builtin-b.ko\n",
"/etc/modules": "# /etc/modules: kernel modules\n#\nloop\nold opt=1\n# comm\n", "/lib/fake-mods": "used                  69632  2 nvme,xfs\nloaded                 5 0\nnodeps      16384  0 -\nmulti   4096 1 one,two,\n"}
S = "/etc/modules-load.d/salt_managed.conf"; FILES["/etc/modules-load.d/"] = ""; FILES_IN_TEST = {"/etc/modules-load.d/": "", **{k.replace(REL, "6.1.0-fake"): v for k, v in FILES.items() if REL in k}}
C = []
def fn(f, *a, **k): C.append({"fn": "kmod." + f, "args": list(a), "kw": k})
def rs(f, *a, **k): C.append({"fn": "kmod." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "kmod." + f, "args": [n], "kw": k, "reset": True})
for f in ("available", "lsmod"): fn(f)
for m in ("one", "two", "with-dash", "with_dash", "builtin_a", "builtin-b", "builtin_b", "nope", "loaded"): fn("check_available", m)
for m in ("used", "loaded", "nope", "lo-aded"): fn("is_loaded", m)
fn("mod_list"); fn("mod_list", True); fn("mod_list", only_persist=True)
for m in ("one", "two", "with-dash", "bad", "stuck", "loaded", "old", "loop"):
    for p in (False, True): rs("load", m, p); 
for m in ("loaded", "used", "nope", "bad"):
    for p in (False, True): rs("remove", m, p)
rs("remove", "loop", True); rs("remove", "loop", True, False); rs("remove", "old", persist=True); rs("remove", "loaded", True, False)
for n in ("one", "two", "with-dash", "bad", "stuck", "loaded", "loop", "old"):
    st("present", n); st("present", n, persist=True)
st("present", "x", mods=["one", "two"]); st("present", "x", mods=["one", "loaded"]); st("present", "x", mods=["loaded", "used"]); st("present", "x", mods=["one", "bad"]); st("present", "x", mods=["one", "stuck"], persist=True); st("present", "x", mods=["bad", "bad2"])
st("present", "x", mods=["one","two"], persist=True); st("present", "x", mods=[])
for n in ("loaded", "used", "nope", "loop", "old"):
    st("absent", n); st("absent", n, persist=True); st("absent", n, persist=True, comment=False)
st("absent", "x", mods=["loaded", "nodeps"]); st("absent", "x", mods=["loaded", "used"]); st("absent", "x", mods=["loaded", "nope"]); st("absent", "x", mods=["nope", "nada"]); st("absent", "x", mods=["loaded","loop"], persist=True); st("absent","x",mods=["multi","used"])
# with a list already there
L = "\n".join
for f, n in (("present", "one"), ("present", "loaded"), ("absent", "one"), ("absent", "loaded"), ("absent", "keep")):
    C.append({"st": "kmod." + f, "args": [n], "kw": {"persist": True}, "reset": True, "files": {S: "keep\none\n# two\nloaded a=b\n"}})
C.append({"fn": "kmod.mod_list", "args": [True], "kw": {}, "reset": True, "files": {S: "keep\none\n# two\nloaded a=b\n\n"}})
C.append({"fn": "kmod.mod_list", "args": [], "kw": {}, "reset": True, "files": {S: "keep\none\n# two\nloaded a=b\n\n"}})
CASES = C
