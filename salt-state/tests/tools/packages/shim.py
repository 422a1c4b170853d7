#!@PYTHON@ -ISE
"""Stands before a program of packages and writes down what was asked of it and what it said."""
import os,sys,subprocess,json
name=os.path.basename(sys.argv[0])
real=next((d+"/"+name for d in ("/srv/fakebin","/usr/sbin","/usr/bin","/sbin","/bin","/usr/local/bin") if os.path.exists(d+"/"+name)),None)
log=os.environ.get("SHIM_LOG") or (open("/srv/shimlog").read().strip() if os.path.exists("/srv/shimlog") else "")
env=dict(os.environ); env["PATH"]="/srv/fakebin:/usr/sbin:/usr/bin:/sbin:/bin"
if not log: os.execve(real,[name]+sys.argv[1:],env)
data=b""
import select
if not sys.stdin.isatty():
    try:
        r,_,_=select.select([0],[],[],0.05)
        if r: data=sys.stdin.buffer.read()
    except Exception: pass
p=subprocess.run([real]+sys.argv[1:],input=data,stdout=subprocess.PIPE,stderr=subprocess.PIPE,env=env)
with open(log,"a") as f:
    f.write(json.dumps({"argv":[name]+sys.argv[1:],"in":data.decode("utf-8","replace"),"out":p.stdout.decode("utf-8","replace"),"err":p.stderr.decode("utf-8","replace"),"rc":p.returncode})+"\n")
sys.stdout.buffer.write(p.stdout);sys.stdout.buffer.flush();sys.stderr.buffer.write(p.stderr);sys.exit(p.returncode if p.returncode>=0 else 128-p.returncode)
