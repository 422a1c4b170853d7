"""Makes the calls of CASES in a root and writes what came of them: record.py salt|ours CASES OUT [numbers]

The side `salt` runs in the Python of Salt, `ours` calls /srv/salt-call. `run.sh` makes the root and runs both.
"""
import json,re,os,subprocess,sys,time,traceback
side,cases,out=sys.argv[1:4]
only=sys.argv[4:] 
cases=json.load(open(cases))
LOG="/tmp/shim.log"
def flag(on):
    if on: open("/srv/shimlog","w").write(LOG)
    elif os.path.exists("/srv/shimlog"): os.unlink("/srv/shimlog")
ALL="eta theta alpha beta gamma delta epsilon virt zeta failing rec needs a-package-with-a-long-name loc corrupt"
ENV={**os.environ,"PATH":"/usr/sbin:/usr/bin:/sbin:/bin"}
def sh(text,**k):
    return subprocess.run(["sh","-c",text],env=ENV,stdout=subprocess.PIPE,stderr=subprocess.STDOUT,text=True,**k)
holders=[]; last={}
def setup(case):
    for p in holders: p.kill(); p.wait()
    holders.clear()
    if os.environ.get("FLAVOUR"):
        sh("/srv/reset")
    else:
        sh(f"rm -f /var/lib/dpkg/info/beta.prerm; for p in {ALL}; do echo $p install; done | dpkg --set-selections; dpkg --purge --force-all {ALL}; rm -f /var/cache/apt/archives/*.deb /etc/apt/sources.list.d/*; rm -rf /srv/cache/files /srv/cache/minion/files /srv/cache/extrn_files /srv/cache/minion/extrn_files /etc/apt/keyrings /etc/apt/trusted.gpg /etc/apt/trusted.gpg~ /etc/apt/trusted.gpg.d/k*.asc /srv/keys /root/.gnupg; mkdir -p /etc/apt/keyrings; cp /srv/sources.list /etc/apt/sources.list; test -e /srv/listok || (apt-get update && touch /srv/listok); dpkg --clear-avail")
    if any("sources.list" in str(c.get("sh")) for c in (case,last)) : sh("rm -f /srv/listok; apt-get update && touch /srv/listok")
    last.clear(); last.update(case)
    given=case.get("given") or {}
    if given:
        r=sh("dpkg -i --force-all "+" ".join(f"/srv/{'tree' if n=='loc' else 'repo'}/{n}_{v.replace(':','%3a')}_{'amd64' if n=='zeta' else 'all'}.deb" for n,v in given.items()))
        if r.returncode: print("SETUP",case,r.stdout)
    for n in case.get("hold",[]): sh(f"echo {n} hold | dpkg --set-selections")
    for name,text in (case.get("files") or {}).items(): open(name,"w").write(text)
    if case.get("sh"): 
        r=sh(case["sh"])
        if case.get("show"): print(r.stdout)
    if case.get("lock"): os.environ["NOSLEEP"]="1"
    else: os.environ.pop("NOSLEEP",None)
    if case.get("lock"):
        p=subprocess.Popen([sys.executable,"-c","import fcntl,time;f=open('/var/lib/dpkg/lock-frontend','w');fcntl.lockf(f,fcntl.LOCK_EX);print(1,flush=True);time.sleep(600)"],stdout=subprocess.PIPE); p.stdout.readline(); holders.append(p)
def plainret(ret):
    if isinstance(ret,dict) and len(ret)>=1 and all("_|-" in k for k in ret):
        v=[{"result":r.get("result"),"comment":r.get("comment"),"changes":r.get("changes"),**({"warnings":r["warnings"]} if r.get("warnings") else {})} for r in ret.values()]
        return v[0] if len(v)==1 else {k:x for k,x in zip(ret,v)}
    return ret
if side=="salt":
    import salt.config,salt.loader
    opts=salt.config.minion_config("/srv/etc/minion"); opts["file_client"]="local"
    opts["grains"]=salt.loader.grains(opts)
    opts["pillar"]={}
    open("/srv/grains.json","w").write(json.dumps({k:opts["grains"].get(k) for k in("os","os_family","osrelease","oscodename","osmajorrelease","osarch","cpuarch","osfinger","virtual","lsb_distrib_codename","lsb_distrib_id")}))
    m=salt.loader.minion_mods(opts,utils=salt.loader.utils(opts))
    m["test.ping"](); m["pkg.version"]("bash"); m["state.single"]("test.nop",name="x")
    def call(fun,args,kwargs,more=None):
        r,w=os.pipe()
        pid=os.fork()
        if pid==0:
            os.close(r)
            try:
                try:
                    if os.environ.get("NOSLEEP"): time.sleep=lambda s: None
                    own=dict(opts,**(more or {}))
                    mm=salt.loader.minion_mods(own,utils=salt.loader.utils(own))
                    v={"return":plainret(mm[fun](*args,**kwargs))}
                    rc=mm.pack["__context__"].get("retcode",0) if hasattr(mm,"pack") else 0
                    if rc: v["retcode"]=rc
                except BaseException as e:
                    v={"error":type(e).__name__,"text":str(e)}
                    if os.environ.get("TRACE"): traceback.print_exc()
                with os.fdopen(w,"w") as f: f.write(json.dumps(v,default=repr))
            finally: os._exit(0)
        os.close(w)
        with os.fdopen(r) as f: t=f.read()
        os.waitpid(pid,0)
        return json.loads(t)
else:
    def call(fun,args,kwargs,more=None):
        conf="/srv/etc"
        if more:
            conf="/srv/etc2"; os.makedirs(conf,exist_ok=True)
            open(conf+"/minion","w").write(open("/srv/etc/minion").read()+"".join(f"{k}: {json.dumps(v)}\n" for k,v in more.items()))
        argv=["/srv/salt-call","-c",conf,"--local","--out=json","-l","error",fun,*[json.dumps(a) if not isinstance(a,str) or re.fullmatch(r"[\d:.]+",a) else a for a in args],*[f"{k}={v if isinstance(v,str) and not v[:1] in '>=<' else json.dumps(v)}" for k,v in kwargs.items()]]
        p=subprocess.run(argv,stdout=subprocess.PIPE,stderr=subprocess.PIPE,text=True,env={**os.environ,"PATH":"/srv/shim:/usr/sbin:/usr/bin:/sbin:/bin"})
        try: v={"return":plainret(json.loads(p.stdout)["local"])}
        except Exception: v={"error":"?","text":p.stdout+p.stderr}
        if p.returncode and "return" in v and not kwargs.get("fun"): v["retcode"]=p.returncode
        return v
os.environ["PATH"]="/srv/shim:/usr/sbin:/usr/bin:/sbin:/bin"
import fcntl,socket,struct
fcntl.ioctl(socket.socket(),0x8914,struct.pack("16sh14x",b"lo",0x49))
web=subprocess.Popen([sys.executable,"-m","http.server","8000","--bind","127.0.0.1","-d","/srv/tree"],stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL); time.sleep(1)
res=[]
start=time.time()
for i,case in enumerate(cases):
    if only and str(i) not in only: continue
    setup(case)
    r={"case":i}
    for mode in case.get("modes") or (["test","apply","again"] if "state" in case else ["call"]):
        open(LOG,"w").close(); flag(True)
        if "state" in case:
            kw=dict(case["args"]); 
            if mode=="test": kw["test"]=True
            name=kw.pop("name")
            v=call("state.single",[case["state"]],{"name":name,**kw})
        elif "high" in case:
            v=call("state.high",[case["high"]],{"test":True} if mode=="test" else {})
        else:
            v=call(case["call"],case.get("args",[]),{**case.get("kwargs",{}),**({"test":True} if mode=="test" else {})},case.get("opts"))
        flag(False)
        if case.get("look"): v["look"]=sh(case["look"]).stdout
        v["commands"]=[json.loads(l) for l in open(LOG)]
        r[mode]=v
    res.append(r)
    open("/srv/progress","w").write(f"{i} {round(time.time()-start)}")
    if i%20==0: json.dump(res,open(out,"w"))
json.dump(res,open(out,"w"),indent=1)
for p in holders+[web]: p.kill()
print(len(res),"cases",round(time.time()-start),"s")
