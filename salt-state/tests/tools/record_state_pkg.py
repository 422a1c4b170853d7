#!/usr/bin/env python3
"""Records what Salt's `state.pkg` returns for tarballs as salt-ssh sends them.

    salt-3008.3/bin/python record_state_pkg.py > ../vectors/states/state_pkg.json

Works in a directory of its own, which stands as `@W@` in the recording. `tests/it/states/packed.rs` replays it.
"""

import hashlib
import io
import json
import logging
import os
import shutil
import sys
import tarfile
import tempfile

logging.disable(50)
import salt.config, salt.loader

W = tempfile.mkdtemp()
OPTS = salt.config.minion_config(None, minion_id="m1")
OPTS.update({"file_client": "local", "local": True, "cachedir": W + "/cache", "root_dir": W, "pki_dir": W + "/pki", "sock_dir": W + "/sock",
             "file_roots": {"base": [W + "/nothing"]}, "pillar_roots": {"base": [W + "/nothing"]}})
OPTS["grains"] = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "id": "m1", "own": "minion"}
OPTS["pillar"] = {"own": "minion"}


def low(state, name, order=1, **more):
    module, fun = state.split(".")
    return {"state": module, "fun": fun, "name": name, "__id__": more.pop("id", name), "__sls__": "s", "__env__": "base", "order": 10000 + order, **more}


PLAIN = [low("file.managed", "@W@/out", source="salt://f.txt", template="jinja"), low("test.succeed_with_changes", "second", 2)]
FILES = {"base/f.txt": "{{ pillar.get('p') }} {{ pillar.get('own') }} {{ grains.get('g') }} {{ grains.get('own') }}\n", "pillar.json": '{"p": "from the tarball"}', "roster_grains.json": '{"g": "of the roster", "os": "Debian", "os_family": "Debian", "kernel": "Linux"}'}


def case(lows, files=FILES, **more):
    text = lows if isinstance(lows, str) or lows is None else json.dumps(lows)
    files = dict(files)
    if text is not None:
        files["lowstate.json"] = text
    return {"files": files, **more}


CASES = [
    case(PLAIN, modes=["test", "apply", "again"]),
    case(PLAIN, sum="0" * 64),
    case(PLAIN, sum=""),
    *(case(PLAIN, hash=kind) for kind in ("md5", "sha1", "sha224", "sha384", "sha512")),
    case(PLAIN, hash="sha256", sum="upper"),
    case(PLAIN, missing=True),
    case(PLAIN, kwargs={"test": True}),
    case(PLAIN, kwargs={"test": False}, opts={"test": True}),
    case(PLAIN, opts={"test": True}),
    case(PLAIN, kwargs={"test": None}, opts={"test": True}),
    case(PLAIN, {"base/f.txt": FILES["base/f.txt"]}),
    case(PLAIN, {"base/f.txt": FILES["base/f.txt"], "pillar.json": "{}"}),
    case(PLAIN, {**FILES, "roster_grains.json": "[]"}),
    case(PLAIN, {**FILES, "pillar.json": "nonsense"}),
    case(None),
    case("nonsense"), case("{}"), case("[]"), case('"text"'), case("null"), case("[1]"), case("{\"a\": [\"b\"]}"),
    case([low("test.fail_without_changes", "first"), low("test.nop", "second", 2, require=[{"test": "first"}]), low("test.nop", "third", 3)]),
    case([low("test.succeed_with_changes", "first"), low("test.nop", "second", 2, watch=[{"test": "first"}])], modes=["test", "apply"]),
    case([low("test.nop", "late", 3), low("test.nop", "early", 1)]),
    case([low("test.nop", "first", require=[{"test": "nobody"}])]),
    case([low("nosuch.state", "first")]),
    case([low("test.nosuch", "first")]),
    case([low("test.fail_without_changes", "first", failhard=True), low("test.nop", "second", 2)]),
    case([{"state": "test", "name": "x"}]),
    case([low("test.nop", "same"), low("test.nop", "same", 2)]),
    case([low("file.managed", "@W@/out", source="salt://g.txt", saltenv="dev")], {"dev/g.txt": "of dev\n"}),
    case([low("file.managed", "@W@/out", source="salt://g.txt?saltenv=dev")], {"dev/g.txt": "of dev\n", "base/g.txt": "of base\n"}),
    case([low("file.managed", "@W@/out", source="salt://sub/g.txt")], {"base/sub/g.txt": "below\n"}),
    case([low("file.managed", "@W@/out", source="salt://nosuch")], {"base/g.txt": "x\n"}),
    case([low("file.managed", "@W@/out", source="salt://g.txt")], {"g.txt": "beside\n"}),
    case([low("file.recurse", "@W@/tree", source="salt://d")], {"base/d/a": "a\n", "base/d/e/b": "b\n"}, modes=["test", "apply", "again"]),
    case(PLAIN, garbage=True),
]


def tarball(path, files, case):
    if case.get("garbage"):
        open(path, "w").write("no tarball\n")
        return
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            data = text.replace("@W@", W).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def even(value):
    text = json.dumps(value, default=str).replace(W, "@W@")
    value = json.loads(text)
    for entry in value.values() if isinstance(value, dict) else []:
        if isinstance(entry, dict):
            for key in ("duration", "start_time"):
                entry.pop(key, None)
            comment = entry.get("comment")
            if isinstance(comment, str) and "Traceback (most recent call last):" in comment:
                head, rest = comment.split("Traceback (most recent call last):", 1)
                entry["comment"] = head + "Traceback (most recent call last):\n" + rest.strip().splitlines()[-1] + "\n"
    return value


out = []
for case in CASES:
    for name in ("out", "tree", "pkg.tgz"):
        path = os.path.join(W, name)
        shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
    path = W + "/pkg.tgz"
    tarball(path, case["files"], case)
    kind = case.get("hash", "sha256")
    sum = hashlib.new(kind, open(path, "rb").read()).hexdigest()
    if case.get("sum") == "upper":
        sum = sum.upper()
    elif "sum" in case:
        sum = case["sum"]
    if case.get("missing"):
        os.remove(path)
    steps = []
    for mode in case.get("modes", ["apply"]):
        opts = dict(OPTS, **case.get("opts", {}))
        mods = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
        kwargs = dict(case.get("kwargs", {}))
        if mode == "test":
            kwargs["test"] = True
        try:
            step = {"mode": mode, "ret": even(mods["state.pkg"](path, sum, kind, **kwargs))}
        except Exception as error:
            step = {"mode": mode, "raised": type(error).__name__, "text": str(error).replace(W, "@W@")}
        retcode = mods.pack["__context__"].get("retcode", 0)
        if retcode:
            step["retcode"] = retcode
        step["out"] = open(W + "/out").read() if os.path.exists(W + "/out") else None
        steps.append(step)
    out.append({**{key: value for key, value in case.items() if key != "modes"}, "steps": steps})
print("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]")
shutil.rmtree(W)
