#!/usr/bin/env python3
"""Records what Salt's functions make of a machine: its /proc, its programs, its files.

    unshare -p -f -m -n --mount-proc salt-3008.3/bin/python record_machine.py machine/ps.py > recording.json

Runs as root in namespaces of its own. The processes that a specification starts are looked at once, and Salt sees that
copy of /proc from then on, which is also what the recording has. No signal reaches a process: they are written down. A
specification is Python that says

    PROCESSES  command lines (a list, with `uid` and `nice` in a mapping) that are started and looked at
    PROC       files of /proc that are made up
    SYS        directories of /sys/block
    FILES      files put below / (in a tmpfs where the directory is one of TMPFS, over it where it is one of OVERLAY),
               DIRECTORIES that are made
    IN_SBIN    names of FAKE that are put into /usr/sbin, which has to be in OVERLAY
    THERE      files of the machine itself, of which nothing is recorded but that they are there
    WATCH      files that are looked at before and after each call
    FAKE       programs that stand in for real ones, HIDE those that are not there
    CASES      calls: `fn` with `args` and `kw`, and `setup`, a line of shell

and the recording is replayed by `tests/it/machine.rs`.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time

logging.disable(50)
NS = {}
exec(open(sys.argv[1]).read(), NS)
# A specification may have a mount(8) of its own.
MOUNT = shutil.which("mount")
def mount(at, *how):
    subprocess.run([MOUNT, *how, "none", at], check=True)
    assert os.path.ismount(at), at
top = tempfile.mkdtemp(prefix="record.")
for at in NS.get("TMPFS", []) + [top]:
    os.makedirs(at, exist_ok=True)
    mount(at, "-t", "tmpfs")
subprocess.run(["ip", "link", "set", "lo", "up"])
os.makedirs(top + "/bin"); os.makedirs(top + "/base"); os.makedirs(top + "/rec")
import psutil, salt.config, salt.loader

GR = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "osrelease": "12", "osmajorrelease": 12, "oscodename": "bookworm",
      "osfinger": "Debian-12", "osarch": "amd64", "id": "m1", "init": "systemd", "systemd": {"version": "252"}, "kernelrelease": "6.1.0-fake"}
opts = salt.config.minion_config(None, minion_id="m1")
opts.update({"file_client": "local", "cachedir": top + "/cache", "file_roots": {"base": ["/srv/salt"]}, "grains": GR, "pillar": {}})
opts.update(NS.get("OPTS", {}))
utils = salt.loader.utils(opts)
CALL = salt.loader.minion_mods(opts, utils=utils)

# Programs: the real ones but for those that are hidden or stood in for.
FAKE, HIDE = NS.get("FAKE", {}), set(NS.get("HIDE", []))
for where in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
    for name in os.listdir(where):
        if name not in FAKE and name not in HIDE and not os.path.lexists(f"{top}/base/{name}"):
            os.symlink(f"{where}/{name}", f"{top}/base/{name}")
WRAP = r'''#!/bin/sh
while :; do i=$(ls %(top)s/rec | wc -l); d=%(top)s/rec/$(printf %%04d $i); mkdir $d 2>/dev/null && break; done
printf '%%s\0' "%(name)s" "$@" > $d/argv
%(top)s/real_%(name)s "$@" > $d/out 2> $d/err; rc=$?
echo $rc > $d/rc
cat $d/out; cat $d/err >&2; exit $rc
'''
SBIN = []
for name, script in FAKE.items():
    open(f"{top}/real_{name}", "w").write(script); os.chmod(f"{top}/real_{name}", 0o755)
    open(f"{top}/bin/{name}", "w").write(WRAP % {"top": top, "name": name}); os.chmod(f"{top}/bin/{name}", 0o755)
    # Some are looked for at their place.
    if name in NS.get("IN_SBIN", []): SBIN.append((f"/usr/sbin/{name}", f"{top}/bin/{name}"))
os.environ["PATH"] = f"{top}/bin:{top}/base"

for at in NS.get("OVERLAY", []):
    work = tempfile.mkdtemp(dir=top)
    os.mkdir(work + "/upper"); os.mkdir(work + "/work")
    # What is below must not be reached by another way.
    assert os.path.realpath(at) == at
    mount(at, "-t", "overlay", "-o", f"lowerdir={at},upperdir={work}/upper,workdir={work}/work")
for place, program in SBIN:
    # A link would lead out of the overlay, and the copy over the real program.
    if os.path.lexists(place): os.remove(place)
    shutil.copy2(program, place)
for path, text in NS.get("FILES", {}).items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(text if isinstance(text, bytes) else text.encode())

# Processes.
children = []
for line in NS.get("PROCESSES", []):
    how = {}
    if isinstance(line, dict): how, line = line, line["argv"]
    def before(how=how):
        os.nice(how.get("nice", 0))
        if "uid" in how: os.setgid(how["uid"]); os.setuid(how["uid"])
    children.append(subprocess.Popen(line, preexec_fn=before, cwd=how.get("cwd", "/"), env={"PATH": "/usr/bin:/bin", "LANG": "C"},
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
if NS.get("ZOMBIE") and os.fork() == 0: os._exit(0)
time.sleep(0.6)
FILES = {}
def take(path):
    try:
        if os.path.islink(path): FILES[path] = "-> " + os.readlink(path)
        elif os.path.isdir(path):
            names = os.listdir(path)
            FILES[path + "/"] = ""
            for name in names: take(f"{path}/{name}")
        else:
            FILES[path] = open(path, errors="replace").read()
    except OSError as e:
        print(path, e, file=sys.stderr)
own = str(os.getpid())
print("own", own, "children", [c.pid for c in children], file=sys.stderr)
if NS.get("PROCESSES"):
    for pid in sorted((n for n in os.listdir("/proc") if n.isdigit()), key=int):
        d = f"/proc/{pid}"
        for name in ("stat", "statm", "status", "cmdline", "comm", "io", "smaps_rollup", "cwd", "exe"): take(f"{d}/{name}")
        if pid == own:
            FILES.update({d + "/fd/": "", d + "/environ": "", d + "/cmdline": "python\0record_machine.py\0", d + "/exe": "-> /usr/bin/python", d + "/cwd": "-> /"})
            continue
        for name in ("environ", "smaps", "fd"): take(f"{d}/{name}")
        for fd in os.listdir(d + "/fdinfo"): take(f"{d}/fdinfo/{fd}")
        for task in os.listdir(d + "/task"):
            for name in ("stat", "fd", "exe"): take(f"{d}/task/{task}/{name}")
    for name in ("stat", "meminfo", "vmstat", "cpuinfo", "filesystems", "uptime", "loadavg", "version"): take("/proc/" + name)
    for name in ("tcp", "tcp6", "udp", "udp6", "unix", "arp", "dev"): take("/proc/net/" + name)
    FILES["/proc/self"] = "-> " + own
FILES.update({"/proc/" + k: v for k, v in NS.get("PROC", {}).items()})
if FILES:
    mount("/proc", "-t", "tmpfs")
    for path, text in FILES.items():
        if path.endswith("/"): os.makedirs(path, exist_ok=True); continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text.startswith("-> "): os.symlink(text[3:], path)
        else: open(path, "w").write(text)
if "SYS" in NS:
    mount("/sys/block", "-t", "tmpfs")
    for name in NS["SYS"]:
        os.makedirs("/sys/block/" + name); FILES[f"/sys/block/{name}/"] = ""
# What there is, without what is in it.
for path in NS.get("THERE", []): assert os.path.exists(path), path; FILES[path] = ""
for path in NS.get("DIRECTORIES", []): os.makedirs(path, exist_ok=True); FILES[path + "/"] = ""
for path, text in NS.get("FILES", {}).items(): FILES[path] = text if isinstance(text, str) else text.decode("latin-1")

# The file system of the machine that the recording is replayed on.
real_statvfs = os.statvfs
def statvfs(path):
    if not os.path.exists(path): return real_statvfs(path)
    return os.statvfs_result((4096, 4096, 1 << 20, 1 << 19, 1 << 19, 1 << 16, 1 << 15, 1 << 15, 0, 255))
os.statvfs = statvfs
signals = []
def kill(pid, signal):
    if not os.path.isdir(f"/proc/{int(pid)}"): raise ProcessLookupError(3, "No such process")
    if signal: signals.append([pid, int(signal)])
os.kill = kill

def commands():
    out = []
    for n in sorted(os.listdir(top + "/rec")):
        d = top + "/rec/" + n
        if not os.path.exists(d + "/rc"): continue
        ran = {"argv": open(d + "/argv").read().split("\0")[:-1]}
        rc = int(open(d + "/rc").read())
        if rc: ran["rc"] = rc
        for k in ("out", "err"):
            t = open(d + "/" + k, errors="replace").read()
            if t: ran[k] = t
        out.append(ran)
    shutil.rmtree(top + "/rec"); os.mkdir(top + "/rec")
    return out
WATCH = NS.get("WATCH", [])
def snap(): return {p: open(p).read() for p in WATCH if os.path.isfile(p)}

cases = []
commands()
for case in NS["CASES"]:
    if "setup" in case: subprocess.run(["sh", "-c", case["setup"]], stdout=2)
    del signals[:]
    before = snap()
    try:
        ret = CALL[case["fn"]](*case.get("args", []), **case.get("kw", {}))
        if hasattr(ret, "__next__"): ret = list(ret)
    except BaseException as e:
        ret = {"__raised__": type(e).__name__, "text": str(e)}
    one = {"call": case["fn"], "args": case.get("args", []), "kw": case.get("kw", {}), "ret": json.loads(json.dumps(ret, default=str))}
    for key in ("sorted", "loose"):
        if case.get(key): one[key] = case[key]
    if before: one["before"] = before
    if snap() != before: one["after"] = snap()
    if signals: one["signals"] = list(signals)
    ran = commands()
    if ran: one["commands"] = ran
    cases.append(one)
for child in children: child.send_signal = None
text = json.dumps({"salt": "3008.3", "own": int(own), "programs": sorted(FAKE), "files": FILES}, ensure_ascii=False)[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n"
sys.stdout.write(text.replace(top, "/tmp/recorded"))
sys.stdout.flush()
