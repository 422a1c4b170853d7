# Output that is no text, or more than anybody wants.
CASES = []
P = "printf '%b' "
OUT = {"latin": P + r"'caf\0351\n'", "bytes": P + r"'\0377\0376\n'", "nul": P + r"'a\0000b\n'", "cut": P + r"'\0342\0202'", "long": P + r"'\0342\0202\0254 ok\n'", "cr": P + r"'a\rb\r\n'", "esc": P + r"'\033[1mx\n'",
       "none": "true", "blank": P + r"'  \n\n'", "err": P + r"'\0377\n' >&2", "both": P + r"'o\0377\n'; " + P + r"'e\0376\n' >&2; exit 3", "mixed": P + r"'a\0303b\0251c\0303\0251\n'", "surrogate": P + r"'\0355\0240\0200\n'", "bom": P + r"'\0357\0273\0277x\n'", "utf16": P + r"'\0377\0376x\0000'"}
for line in OUT.values():
    for fn in ("cmd.run", "cmd.run_all", "cmd.run_stdout", "cmd.run_stderr", "cmd.retcode", "cmd.shell", "cmd.exec_code_all"):
        if fn == "cmd.exec_code_all": CASES.append({"fn": fn, "args": ["sh", line]})
        else: CASES.append({"fn": fn, "args": [line], "kw": {"python_shell": True, "ignore_retcode": True} if fn != "cmd.shell" else {}})
    CASES.append({"st": "cmd.run", "kw": {"name": line}})
for enc in ("latin-1", "utf-8", "utf-16", "ascii", "cp1252", "nosuch", ""):
    for key in ("latin", "bytes", "utf16", "long"):
        CASES.append({"fn": "cmd.run", "args": [OUT[key]], "kw": {"python_shell": True, "output_encoding": enc}})
        CASES.append({"fn": "cmd.run_all", "args": [OUT[key]], "kw": {"python_shell": True, "output_encoding": enc}})
for kw in ({"output_loglevel": "quiet"}, {"hide_output": True}, {"output_loglevel": "nosuch"}, {"rstrip": False}, {"redirect_stderr": False}):
    for fn in ("cmd.run", "cmd.run_all", "cmd.run_stdout", "cmd.run_stderr"):
        if "redirect_stderr" in kw and fn not in ("cmd.run", "cmd.run_all"): continue
        for key in ("latin", "both", "blank"):
            CASES.append({"fn": fn, "args": [OUT[key]], "kw": {"python_shell": True, "ignore_retcode": True, **kw}})
    if "output_loglevel" in kw or "hide_output" in kw:
        CASES.append({"st": "cmd.run", "kw": {"name": OUT["both"], **kw}})
        CASES.append({"st": "cmd.run", "kw": {"name": "echo hi", **kw}})
        CASES.append({"fn": "cmd.retcode", "args": [OUT["both"]], "kw": {"python_shell": True, "ignore_retcode": True, "output_loglevel": "quiet"}})
SRC = {"b.sh": {"b": "#!/bin/sh\nprintf '\\377\\376\\n'\nexit 4\n"}, "raw.sh": {"b": "#!/bin/sh\necho caf\xe9\n"}}
for name in SRC:
    CASES.append({"st": "cmd.script", "kw": {"name": "salt://" + name}})
    CASES.append({"st": "cmd.script", "kw": {"name": "salt://" + name, "hide_output": True}})
for stdin in ("caf\u00e9\n", "\x00\n"):
    CASES.append({"fn": "cmd.run", "args": ["cat"], "kw": {"stdin": stdin}})
for line in ("echo a\x00b", "echo 'caf\u00e9'"):
    CASES.append({"fn": "cmd.run", "args": [line], "kw": {"python_shell": True}})
CASES.append({"fn": "cmd.run", "args": ["cat"], "kw": {"cwd": "/a\x00b"}})
CASES.append({"fn": "cmd.run", "args": ["env | grep ^X"], "kw": {"python_shell": True, "env": {"X": "caf\u00e9"}}})
CASES.append({"fn": "cmd.run", "args": ["true"], "kw": {"env": {"X": "a\x00b"}}})
CASES.append({"st": "cmd.run", "kw": {"name": "echo a\x00b"}})
CASES.append({"st": "cmd.run", "kw": {"name": "true", "cwd": "/a\x00b"}})
CASES.append({"st": "cmd.run", "kw": {"name": "sleep 5", "timeout": 1}})
CASES.append({"fn": "cmd.run", "args": ["sleep 5"], "kw": {"timeout": 1}})
CASES.append({"fn": "cmd.run_all", "args": ["echo x; sleep 5"], "kw": {"timeout": 1, "python_shell": True}})
for case in CASES:
    if "st" in case: case["steps"] = ["run"]
