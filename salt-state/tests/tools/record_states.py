#!/usr/bin/env python3
"""Records what states and functions of Salt do on a machine whose programs are watched.

    salt-3008.3/bin/python record_states.py states/lvm.py > recording.json

Runs as root in a chroot of its own (debootstrap, in namespaces for mounts, processes and the network): it replaces
programs, writes files and changes links. A specification is Python that says

    PROGRAMS  the programs that are watched, FAKE the scripts that stand in for some of them
    FILES     what there is before, WATCH the files that are looked at before and after each step
    GRAINS    differences to the usual grains (None takes one away), REAL_GRAINS that Salt finds out its own
    CASES     calls: `fn` or `st` with `args`, `kw`, `files`; a state runs dry, for real and once more
    FRESH     every step is a run of its own: nothing that Salt remembered of the last, and with `mod_init`
    FORETELL  of the argv of a command that changed something, the one that only asks what it would do: where a case is
              `foretold`, the answers to these are recorded too, as Salt's dry run does not ask but ours does

and the recording is replayed by `tests/it/states.rs`. What comes in an order of chance (the names of several kernel
modules), or in a file with a random name, is taken out or made even by hand.
"""

import json
import logging
import os
import shutil
import subprocess
import sys

logging.disable(50)
NS = {}
exec(open(sys.argv[1]).read(), NS)
import salt.config, salt.loader, salt.state
GR = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "osrelease": "12", "osmajorrelease": 12, "oscodename": "bookworm",
      "osfinger": "Debian-12", "osarch": "amd64", "id": "m1", "init": "systemd", "systemd": {"version": "252"}, "kernelrelease": "6.1.0-fake"}
GR.update(NS.get("GRAINS", {})); GR = {k: v for k, v in GR.items() if v is not None}
opts = salt.config.minion_config(None, minion_id="m1")
opts.update({"file_client": "local", "cachedir": "/var/cache/salt", "file_roots": {"base": ["/srv/salt"]}, "pillar_roots": {"base": ["/srv/pillar"]}})
opts.update(NS.get("OPTS", {}))
if NS.get("REAL_GRAINS"):
    opts["grains"] = salt.loader.grains(opts)
else:
    opts["grains"] = dict(GR)
opts["pillar"] = {}
PROGRAMS = NS.get("PROGRAMS", [])
FAKE = NS.get("FAKE", {})
WATCH = NS.get("WATCH", [])
open("/watch", "w").write("\n".join(WATCH) + "\n")
os.makedirs("/real", exist_ok=True)
WRAP = r'''#!/bin/sh
while :; do i=$(ls /rec | wc -l); d=/rec/$(printf %%04d $i); mkdir $d 2>/dev/null && break; done
printf '%%s\0' "%s" "$@" > $d/argv
/hostpre $d pre
/real/%s "$@" > $d/out 2> $d/err; rc=$?
/hostpre $d post
echo $rc > $d/rc
cat $d/out; cat $d/err >&2; exit $rc
'''
open("/hostpre", "w").write('''#!/bin/sh
mkdir -p $1/$2
while read -r f; do if [ -n "$f" ] && { [ -f "$f" ] || [ -L "$f" ]; }; then mkdir -p "$1/$2${f%/*}"; cp -P "$f" "$1/$2$f"; fi; done < /watch
exit 0
''')
os.chmod("/hostpre", 0o755)
for name in PROGRAMS:
    where = shutil.which(name)
    if where:
        real = os.path.realpath(where)
        shutil.copy2(real, "/real/" + name)
        os.remove(where)
for name in PROGRAMS:
    if name in FAKE:
        open("/real/" + name, "w").write(FAKE[name]); os.chmod("/real/" + name, 0o755)
    if not os.path.exists("/real/" + name):
        print("no program", name, file=sys.stderr); continue
    if os.path.lexists("/usr/sbin/" + name): os.remove("/usr/sbin/" + name)
    open("/usr/sbin/" + name, "w").write(WRAP % (name, name)); os.chmod("/usr/sbin/" + name, 0o755)

def content(path):
    if path.endswith(".rpm"): return "package" if os.path.exists(path) else None
    if os.path.islink(path): return "-> " + os.readlink(path)
    if os.path.isfile(path): return open(path, errors="surrogateescape").read()
    return None
def snap(root=""):
    return {p: c for p in WATCH if (c := content(root + p)) is not None}
def put(files):
    for path, text in files.items():
        if os.path.islink(path) or os.path.isfile(path): os.remove(path)
        if text is None: continue
        if path.endswith("/"): os.makedirs(path, exist_ok=True); continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text.startswith("-> "): os.symlink(text[3:], path)
        else:
            open(path, "w").write(text)
            if path.startswith("/etc/init.d/"): os.chmod(path, 0o755)
put(NS.get("FILES", {}))
if "SETUP" in NS: subprocess.run(["sh", "-c", NS["SETUP"]], stdout=2)
CONTEXTS = {t: {} for t in (False, True)}
RUNS = {t: salt.state.State(dict(opts, test=t), initial_pillar={}, context=CONTEXTS[t]) for t in (False, True)}
FRESH = NS.get("FRESH")
CALL = RUNS[False].functions
def commands():
    out = []
    for n in sorted(os.listdir("/rec")):
        d = "/rec/" + n
        if not os.path.exists(d + "/rc"): continue
        argv = open(d + "/argv").read().split("\0")[:-1]
        ran = {"argv": argv}
        rc = int(open(d + "/rc").read())
        if rc: ran["rc"] = rc
        for k in ("out", "err"):
            t = open(d + "/" + k, errors="replace").read()
            if t: ran[k] = t
        pre, post = snap(d + "/pre"), snap(d + "/post")
        changed = {p: post.get(p) for p in {**pre, **post} if pre.get(p) != post.get(p)}
        if changed: ran["files"] = changed
        out.append(ran)
    shutil.rmtree("/rec"); os.mkdir("/rec")
    return out

def tb(text):
    if "Traceback (most recent call last):" in str(text):
        before, after = text.split("Traceback (most recent call last):", 1)
        return before + "Traceback (most recent call last):\n" + after.strip().splitlines()[-1] + "\n"
    return text

def one(call, args, kw, mode):
    if FRESH:
        for context in CONTEXTS.values(): context.clear()
    if mode == "call":
        try:
            ret = CALL[call](*args, **kw)
            if hasattr(ret, "__next__"): ret = list(ret)
        except BaseException as e:
            ret = {"__raised__": type(e).__name__, "text": str(e)}
        return json.loads(json.dumps(ret, default=str))
    run = RUNS[mode == "test"]
    st, fun = call.split(".")
    low = {"state": st, "fun": fun, "__id__": args[0] if args else "i", "name": args[0] if args else "i", "__sls__": "s", "__env__": "base", "order": 1}
    low.update(json.loads(json.dumps(kw)))
    if FRESH:
        run.mod_init = set(); run.active = set()
        parts = [fun] + [{k: v} for k, v in low.items() if k not in ("state", "fun", "__id__", "__sls__", "__env__", "order")]
        ret = run.call_high({low["__id__"]: {st: parts, "__sls__": "s", "__env__": "base"}})
        if not isinstance(ret, dict): return {"name": low["name"], "changes": {}, "result": False, "comment": str(ret)}
        (e,) = ret.values()
    else:
        e = run.call(low)
    return json.loads(json.dumps({"name": e["name"], "changes": e["changes"], "result": e["result"], "comment": tb(e["comment"])}, default=str))

commands()
first = snap()
out = {"programs": PROGRAMS, "files": NS.get("FILES_IN_TEST", {})}
if NS.get("GRAINS"): out["grains"] = NS["GRAINS"]
sys.stdout.write(json.dumps(out, ensure_ascii=False)[:-1] + ', "cases": [')
between = "\n"
for case in NS["CASES"]:
    case = dict(case)
    if case.get("reset", True) and "files" in case or case.get("reset"):
        put({p: first.get(p) for p in WATCH})
    put(case.get("files", {}))
    if "setup" in case: subprocess.run(["sh", "-c", case["setup"]], stdout=2); commands()
    before = snap()
    modes = case.get("modes") or (["call"] if case.get("fn") else ["test", "real", "again"])
    rec = {"call": case.get("fn") or case["st"], "args": case.get("args", []), "kw": case.get("kw", {}), "before": before, "steps": []}
    for mode in modes:
        ret = one(rec["call"], rec["args"], rec["kw"], mode)
        step = {"mode": mode, "ret": ret}
        cmds = commands()
        if cmds: step["commands"] = cmds
        now = snap()
        if now != before: step["after"] = now
        rec["steps"].append(step)
    if case.get("foretold"):
        real = [step for step in rec["steps"] if step["mode"] == "real"]
        asked = [argv for step in real for ran in step.get("commands", []) if (argv := NS["FORETELL"](ran["argv"]))]
        if asked:
            put({p: first.get(p) for p in WATCH}); put(case.get("files", {}))
            if "setup" in case: subprocess.run(["sh", "-c", case["setup"]], stdout=2); commands()
            for argv in asked: subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            answers = commands()
            for step in rec["steps"]:
                if step["mode"] in ("test", "real"): step.setdefault("commands", []).extend(answers)
    sys.stdout.write(between + json.dumps(rec, ensure_ascii=False)); sys.stdout.flush()
    between = ",\n"
sys.stdout.write("\n]}\n")
