#!/usr/bin/env python3
"""Records what Salt makes of `onlyif`, `unless`, `creates` and `check_cmd` in every form.

    salt-3008.3/bin/python record_conditions.py > ../vectors/conditions.jsonl

Needs a machine with /bin/sh and no user `nosuchuser`. Runs nothing but harmless commands in a directory of its own,
which stands in the recording as `@TOP@`. Replayed by `tests/it/conditions.rs`.
"""

import copy
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile

logging.disable(50)
import salt.config, salt.state

TOP = tempfile.mkdtemp(prefix="conditions-")
open(TOP + "/there", "w").close()
open(TOP + "/there2", "w").close()
os.chmod(TOP, 0o755)
opts = salt.config.minion_config(None, minion_id="m1")
opts.update({"file_client": "local", "cachedir": TOP + "/cache", "file_roots": {"base": [TOP + "/tree"]}, "pillar_roots": {"base": [TOP + "/pillar"]}})
opts["grains"] = {"os": "Debian", "os_family": "Debian", "kernel": "Linux", "id": "m1", "shell": "/bin/sh"}
opts["pillar"] = {}
RUNS = {t: salt.state.State(dict(opts, test=t), initial_pillar={}) for t in (False, True)}

TEXTS = ["true", "false", "exit 3", "", " ", "nosuchprogram", "true\nfalse", "test -e @TOP@/there", "test -e @TOP@/not", "echo x >&2; false", "exit 256"]
CALLS = [
    {"fun": "test.true"}, {"fun": "test.false"}, {"fun": "test.echo", "args": ["x"]}, {"fun": "test.echo", "args": [""]},
    {"fun": "test.echo", "args": [0]}, {"fun": "test.echo", "args": [None]}, {"fun": "test.echo", "args": [[]]}, {"fun": "test.echo", "args": [{}]},
    {"fun": "test.echo", "args": "x"}, {"fun": "test.echo", "args": "xy"}, {"fun": "test.true", "args": None}, {"fun": "test.true", "args": {}},
    {"fun": "test.true", "args": []}, {"fun": "test.echo", "args": {"x": 1}}, {"fun": "test.echo", "args": 5}, {"fun": "test.echo", "text": "y"},
    {"fun": "test.echo", "text": None}, {"fun": "test.echo", "text": False}, {"fun": "test.echo", "text": "False"}, {"fun": "test.echo"},
    {"fun": "test.echo", "text": "x", "args": ["y"]},
    {"fun": "test.true", "bad": 1}, {"fun": "test.kwarg", "a": {"b": 1, "c": 0}, "get_return": "a:b"}, {"fun": "test.kwarg", "a": {"b": 1, "c": 0}, "get_return": "a:c"},
    {"fun": "test.kwarg", "a": {"b": 1}, "get_return": "a"}, {"fun": "test.kwarg", "a": {"b": 1}, "get_return": "x"}, {"fun": "test.kwarg", "a": 1, "get_return": ""},
    {"fun": "test.kwarg", "a": 1, "get_return": None}, {"fun": "test.kwarg", "a": ["p", ""], "get_return": "a:0"}, {"fun": "test.kwarg", "a": ["p", ""], "get_return": "a:1"},
    {"fun": "test.true", "get_return": "a"}, {"fun": "test.kwarg", "a": 1, "get_return": 5},
    {"fun": "file.file_exists", "args": ["@TOP@/there"]}, {"fun": "file.file_exists", "path": "@TOP@/not"}, {"fun": "file.file_exists", "path": "@TOP@/there"},
    {"fun": "cmd.run", "cmd": "true"}, {"fun": "cmd.run", "cmd": "false"}, {"fun": "cmd.run", "args": ["echo x; exit 2"], "python_shell": True},
    {"fun": "cmd.retcode", "cmd": "true"}, {"fun": "cmd.retcode", "args": ["false"]}, {"fun": "cmd.run_all", "cmd": "false"},
    {"fun": "cmd.run_all", "cmd": "false", "get_return": "retcode"}, {"fun": "cmd.run_all", "cmd": "true", "get_return": "retcode"}, {"fun": "cmd.run_all", "cmd": "echo x", "get_return": "stdout"},
    {"fun": "test.retcode", "code": 3}, {"fun": "test.retcode", "code": 0}, {"fun": "nosuch.function"}, {"fun": "nosuch"}, {"fun": ""}, {"fun": None}, {"fun": 5},
    {"fun": "test.exception"}, {"fun": "test.exception", "message": "no"}, {"nofun": 1}, {"test.true": []}, {},
    {"fun": "test.echo", "text": "__slot__:salt:test.echo(x)"}, {"fun": "test.echo", "args": ["__slot__:salt:test.echo('')"]}, {"fun": "__slot__:salt:test.echo(test.true)"},
    {"fun": "test.echo", "text": "__slot__:salt:test.false()"}, {"fun": "test.arg_clean", "args": [1], "a": 2, "get_return": "args"}, {"fun": "test.arg_clean", "args": [1], "get_return": "kwargs"},
    {"fun": ["test.true"]}, {"fun": "test.true", "args": [1]},
]
ODD = [None, True, False, 0, 1, 5, 1.5, [], [None], [True], [False], [0], [1], [[]], [["true"]], [["false"]], [{}]]
LISTS = [list(p) for p in itertools.product(["true", "false"], repeat=2)] + [
    ["true", None], [None, "false"], ["true", 5], [5, "false"], ["false", 5], ["true", 5, "false"], ["true", ["false"]], ["", "true"], ["true", ""], ["true", "nosuchprogram"],
    ["true", {"fun": "test.true"}], ["true", {"fun": "test.false"}], ["false", {"fun": "test.true"}], [{"fun": "test.true"}, "false"], [{"fun": "test.false"}, "true"],
    [{"fun": "test.true"}, {"fun": "test.true"}], [{"fun": "test.true"}, {"fun": "test.false"}], [{"fun": "test.false"}, {"fun": "test.false"}],
    [{"nofun": 1}, "false"], ["true", {"nofun": 1}, "false"], [{"fun": "test.true"}, {"nofun": 1}, {"fun": "test.false"}], ["true", {"fun": "test.exception"}], ["false", {"fun": "test.exception"}],
    ["true", "true", "true", "false"], ["false", "false", "false", "true"],
]
OPTIONS = [
    {"cwd": "/nosuchdirectory"}, {"cwd": "@TOP@"}, {"shell": "/bin/bash"}, {"shell": "/nosuchshell"}, {"runas": "nosuchuser"}, {"runas": "root"}, {"env": {"A": "b"}}, {"env": [{"A": "b"}]},
    {"env": "A"}, {"success_retcodes": [3]}, {"success_retcodes": 3}, {"success_stdout": ["x"]}, {"timeout": 5}, {"umask": "022"}, {"umask": "xyz"},
    {"cmd_opts_exclude": ["cwd"], "cwd": "/nosuchdirectory"}, {"cmd_opts_exclude": "cwd", "cwd": "/nosuchdirectory"}, {"cmd_opts_exclude": ["env"], "env": {"A": "b"}}, {"prepend_path": "@TOP@"},
]
CREATES = ["@TOP@/there", "@TOP@/not", "", " ", None, 5, True, {}, [], ["@TOP@/there"], ["@TOP@/there", "@TOP@/there2"], ["@TOP@/there", "@TOP@/not"], ["@TOP@/not", "@TOP@/there"],
           [""], [5], [None], [["@TOP@/there"]], "there", {"@TOP@/there": 1}, "@TOP@", ["@TOP@"], "@TOP@/*"]

def cases():
    ok = "test.succeed_with_changes"
    for key in ("onlyif", "unless"):
        for value in TEXTS + ODD + LISTS:
            yield ok, {key: value}
        for call in CALLS:
            yield ok, {key: [call]}
            yield ok, {key: call}
        for value in ("test \"$A\" = b", "exit 3", "test \"$PWD\" = @TOP@", "echo x; exit 1"):
            for option in OPTIONS:
                yield ok, {key: value, **option}
        for value in ["true", "false", ["false", "true"], {"fun": "test.false"}, [{"fun": "test.true"}], [], None, 5]:
            yield "test.nop", {key: value, "test": True}
            yield ok, {key: value, "test": True}
            yield "cmd.run", {"name": "echo hi", key: value}
            yield "cmd.run", {"name": "echo hi", key: value, "test": True}
            yield "test.fail_with_changes", {key: value}
    for value in CREATES:
        yield ok, {"creates": value}
        yield "cmd.run", {"name": "echo hi", "creates": value}
    for value in TEXTS + ODD + LISTS:
        yield ok, {"check_cmd": value}
    for call in CALLS:
        yield ok, {"check_cmd": [call]}
    for call in CALLS[:4]:
        yield ok, {"check_cmd": call}
    for value in ["true", "false", ["true", "false"], [], None]:
        for fun in ("test.nop", "test.fail_without_changes", "test.fail_with_changes", "test.configurable_test_state", "cmd.run"):
            yield fun, {"name": "echo hi", "check_cmd": value}
            yield fun, {"name": "echo hi", "check_cmd": value, "test": True}
    for option in OPTIONS:
        yield ok, {"check_cmd": "test \"$A\" = b", **option}
        yield ok, {"check_cmd": "exit 3", **option}
    for onlyif, unless, creates, check in itertools.product(["-", "true", "false"], ["-", "true", "false"], ["-", "@TOP@/there", "@TOP@/not"], ["-", "true", "false"]):
        kw = {k: v for k, v in (("onlyif", onlyif), ("unless", unless), ("creates", creates), ("check_cmd", check)) if v != "-"}
        if len(kw) > 1:
            yield ok, kw

def real(value):
    return json.loads(json.dumps(value).replace("@TOP@", TOP))

def short(text):
    if "Traceback (most recent call last):" in str(text):
        before, after = text.split("Traceback (most recent call last):", 1)
        return before + "Traceback (most recent call last):\n" + after.strip().splitlines()[-1]
    return text

seen = set()
for fun, kw in cases():
    key = json.dumps([fun, kw], sort_keys=True)
    if key in seen:
        continue
    seen.add(key)
    given = real(kw)
    test = given.pop("test", False)
    state, function = fun.split(".")
    low = {"state": state, "fun": function, "name": "x", "__id__": given.get("name", "x"), "__env__": "base", "__sls__": "s", "order": 1, **given}
    run = RUNS[test]
    run.opts["test"] = test
    wrong = run.verify_data(copy.deepcopy(low))
    if wrong:
        out = {"errors": wrong}
    else:
        try:
            entry = run.call(low)
            out = {k: v for k, v in entry.items() if k not in ("start_time", "duration", "__run_num__", "__sls__", "__id__", "__env__")}
        except Exception as error:
            out = {"raised": type(error).__name__ + ": " + str(error)}
    if isinstance(out.get("comment"), str):
        out["comment"] = short(out["comment"])
    if isinstance(out.get("changes"), dict) and "pid" in out["changes"]:
        out["changes"]["pid"] = 1
    try:
        line = json.dumps({"fun": fun, "kw": kw, "ret": out})
    except TypeError:
        line = json.dumps({"fun": fun, "kw": kw, "ret": out}, default=repr)
    print(line.replace(TOP, "@TOP@"), flush=True)
shutil.rmtree(TOP)
