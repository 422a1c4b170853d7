"""Builds the packages of the repository: debs.py DIRECTORY"""
import os,subprocess,shutil,sys
W=sys.argv[1]
def deb(name,version,arch="all",dest="repo",conf=None,scripts=None,**fields):
    d=f"{W}/src/{name}_{version.replace(':','%3a')}_{arch}"; shutil.rmtree(d,ignore_errors=True); os.makedirs(d+"/DEBIAN")
    f={"Package":name,"Version":version,"Architecture":arch,"Maintainer":"A <a@example.org>","Section":"misc","Priority":"optional"}
    f.update({k.replace("_","-"):v for k,v in fields.items()})
    f["Description"]=f"package {name}\n long text of {name}"
    f.setdefault("Installed-Size","1")
    open(d+"/DEBIAN/control","w").write("".join(f"{k}: {v}\n" for k,v in f.items()))
    os.makedirs(f"{d}/usr/share/{name}"); open(f"{d}/usr/share/{name}/file","w").write(version+"\n")
    if conf:
        os.makedirs(d+"/etc"); open(f"{d}/etc/{conf}","w").write("x\n"); open(d+"/DEBIAN/conffiles","w").write(f"/etc/{conf}\n")
    for n,t in (scripts or {}).items():
        open(f"{d}/DEBIAN/{n}","w").write(t); os.chmod(f"{d}/DEBIAN/{n}",0o755)
    subprocess.run(["find",d,"-exec","touch","-h","-d","2020-01-01T00:00:00Z","{}","+"],check=True)
    os.makedirs(f"{W}/{dest}",exist_ok=True)
    subprocess.run(["dpkg-deb","--root-owner-group","-Zgzip","-b",d,f"{W}/{dest}/{os.path.basename(d)}.deb"],check=True,stdout=subprocess.DEVNULL,env={**os.environ,"SOURCE_DATE_EPOCH":"1577836800"})
for v in "1.0-1","1.1-1","2.0-1": deb("alpha",v,Homepage="https://example.org/alpha")
deb("beta","1.0-1",Depends="alpha (>= 1.1)")
for v in "1:2.0-1","1:3.0-1": deb("gamma",v)
deb("delta","1.0-1",conf="delta.conf"); deb("delta","1.2-1",conf="delta.conf")
deb("epsilon","1.0-1",Conflicts="alpha")
deb("virt","1.0-1",Provides="virtual-thing")
deb("zeta","1.0-1",arch="amd64"); deb("zeta","1.5-1",arch="amd64")
deb("failing","1.0-1",scripts={"postinst":"#!/bin/sh\necho no >&2\nexit 1\n"})
deb("rec","1.0-1",Recommends="delta")
deb("needs","1.0-1",Depends="nowhere")
deb("a-package-with-a-long-name","1.0-1")
for v in "1.0-1","2.0-1": deb("loc",v,dest="tree")
deb("corrupt","1.0-1")
deb("eta","1.0-1"); deb("eta","2.0-1",Depends="virt"); deb("theta","1.0-1"); deb("theta","1.2-1")
