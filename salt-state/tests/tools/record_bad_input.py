#!/usr/bin/env python3
"""Records what states of Salt make of bad input: a dry run, the change and once more, each on a tree made anew.

    unshare -m -n -p -f --mount-proc bash in_overlay.sh salt-3008.3/bin/python record_bad_input.py bad_input/hashes.py > hashes.jsonl

Runs as root over a copy of the machine that is thrown away (an overlay, in namespaces for mounts, processes and the
network). A specification is Python that says

    FILES  what there is below /bi before each step, SRC what there is in the state tree; a text, or a mapping with
           `l` (a link), `d` (a directory with that mode), `b` (bytes, a character each), `m` (mode), `o` (owner)
    WEB    answers of the server at http://127.0.0.1:18099: [status, text] or [status, text, length that it claims]
    CASES  calls: `fn` with `args` and `kw`, and states: `st`, `kw`, and `files`, `src` besides; `setup` is a command run before each step

and the recording is replayed by `tests/it/bad_input/recorded.rs`. Names that are not UTF-8 are written with
U+E0xx for each such byte, and U+FFFD in answers, exceptions by their last line.
"""

import http.server
import json
import logging
import os
import shutil
import subprocess
import sys
import threading

logging.disable(50)
NS = {}
exec(open(sys.argv[1]).read(), NS)
import salt.config, salt.loader, salt.state
opts = salt.config.minion_config(None, minion_id="m1")
opts.update({"file_client": "local", "cachedir": "/bi-cache", "file_roots": {"base": ["/bi-src"]}, "pillar_roots": {"base": ["/bi-pillar"]}})
opts["grains"] = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "id": "m1", "osarch": "amd64", "shell": "/bin/sh"}
opts["pillar"] = {}
WEB = NS.get("WEB", {})

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, body):
        status, text, *claimed = WEB.get(self.path, [404, "nothing here"])
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(claimed[0] if claimed else len(data)))
        self.end_headers()
        if body: self.wfile.write(data)
        self.close_connection = True
    def do_GET(self): self.answer(True)
    def do_HEAD(self): self.answer(False)
if WEB:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 18099), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

def plant(root, tree):
    shutil.rmtree(os.fsencode(root), ignore_errors=True)
    os.makedirs(root, exist_ok=True)
    for name, what in tree.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        what = what if isinstance(what, dict) else {"c": what}
        if "l" in what: os.symlink(what["l"], path)
        elif "d" in what: os.makedirs(path, exist_ok=True); os.chmod(path, int(what["d"], 8))
        else:
            data = what["b"].encode("latin-1") if "b" in what else what["c"].encode()
            with open(path, "wb") as out: out.write(data)
            os.chmod(path, int(what.get("m", "644"), 8))
        if "o" in what: os.lchown(path, *what["o"])

def snap(root):
    out = {}
    for where, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(where, name); key = os.path.relpath(path, root); meta = os.lstat(path)
            owner = "" if (meta.st_uid, meta.st_gid) == (0, 0) else f" {meta.st_uid}:{meta.st_gid}"
            if os.path.islink(path): out[key] = "link " + os.readlink(path) + owner
            elif os.path.isdir(path): out[key] = f"{meta.st_mode & 0o7777:04o}{owner} dir"
            elif os.path.isfile(path): out[key] = f"{meta.st_mode & 0o7777:04o}{owner} " + open(path, "rb").read().decode("latin-1")
            else: out[key] = f"{meta.st_mode & 0o7777:04o}{owner} node"
    return dict(sorted(out.items()))

def last(text):
    text = "\n".join(text) if isinstance(text, list) else text
    if "Traceback (most recent call last)" in str(text): return "EXC " + text.strip().splitlines()[-1]
    return text

RUNS = {t: salt.state.State(dict(opts, test=t), initial_pillar={}) for t in (False, True)}
def clean(what, sign):
    """Bytes that are no UTF-8, as a sign that JSON can hold."""
    if isinstance(what, str): return "".join(sign(ord(c) - 0xdc00) if 0xdc80 <= ord(c) <= 0xdcff else c for c in what)
    if isinstance(what, dict): return {clean(k, sign): clean(v, sign) for k, v in what.items()}
    if isinstance(what, (list, tuple)): return [clean(v, sign) for v in what]
    return what
def named(byte): return chr(0xe000 + byte)
def say(rec):
    rec = {k: clean(v, named if k in ("files", "kw", "args") else lambda _: "\ufffd") for k, v in rec.items()}
    print(json.dumps(rec, default=repr), flush=True)
say({"files": NS.get("FILES", {}), "src": NS.get("SRC", {}), "web": WEB})
CALL = RUNS[False].functions
for case in NS["CASES"]:
    if "fn" in case:
        rec = {"call": case["fn"], "args": case.get("args", []), "kw": case.get("kw", {})}
        try:
            files = {**NS.get("FILES", {}), **case.get("files", {})}
            plant("/bi", files)
            given = json.loads(json.dumps(rec))
            rec["ret"] = CALL[case["fn"]](*given["args"], **given["kw"])
        except BaseException as error:
            rec["error"] = f"{type(error).__name__}: {error}"
        if isinstance(rec.get("ret"), dict): rec["ret"].pop("pid", None)
        say(rec)
        continue
    files = {**NS.get("FILES", {}), **case.get("files", {})}
    src = {**NS.get("SRC", {}), **case.get("src", {})}
    rec = {"fun": case["st"], "kw": case["kw"]}
    for key in ("files", "src", "setup"):
        if key in case: rec[key] = case[key]
    for step in case.get("steps", ["test", "run", "again"]):
        if step != "again":
            plant("/bi", files); plant("/bi-src", src); shutil.rmtree("/bi-cache", ignore_errors=True); os.makedirs("/bi-cache")
            if "setup" in case: subprocess.run(["sh", "-c", case["setup"]], stdout=2)
            before = snap("/bi")
        state, fun = case["st"].split(".")
        low = {"state": state, "fun": fun, "__id__": "x", "name": "x", "__sls__": "s", "__env__": "base", "order": 1}
        low.update(json.loads(json.dumps(case["kw"])))
        try:
            got = RUNS[step == "test"].call(low)
            rec[step] = {key: got.get(key) for key in ("result", "comment", "changes")}
            if isinstance(rec[step]["changes"], dict): rec[step]["changes"].pop("pid", None)
            if got.get("warnings"): rec[step]["warnings"] = got["warnings"]
            rec[step]["comment"] = last(got["comment"])
        except BaseException as error:
            rec[step] = {"raised": f"{type(error).__name__}: {error}"}
        if step != "test": 
            after = snap("/bi")
            if step == "run": rec["after"] = {k: after.get(k) for k in sorted({*before, *after}) if before.get(k) != after.get(k)}
    say(rec)
