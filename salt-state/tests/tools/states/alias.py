PROGRAMS = ["newaliases"]
FAKE = {"newaliases": "#!/bin/sh\necho built\n"}
WATCH = ["/etc/aliases"]
FILES = {"/etc/aliases": "# comment\n\nroot: admin\npostmaster:    root\nlist: a, b,c\n\"quoted\": x\npipe: \"|/usr/bin/prog a\"   # trailing\nmulti: a,\n  b\nbad line\n"}
C = []
def fn(f, *a, **k): C.append({"fn": "aliases." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "alias." + f, "args": [n], "kw": k, "reset": True})
fn("list_aliases")
for a in ("root", "list", "nope", "quoted", "pipe", "multi", ""): fn("get_target", a); fn("rm_alias", a)
for a, t in (("root", "admin"), ("root", "x"), ("list", "a, b,c"), ("list", ["a", "b", "c"]), ("list", ["c", "b", "a"]), ("list", "a"), ("nope", "a"), ("root", ""), ("root", []), ("", "a"), ("new", "a@b"), ("new", ["a", "b"]), ("root", "other"), ("list", ["a", "b"]), ("pipe", "\"|/usr/bin/prog a\""), ("postmaster", "root")):
    fn("has_target", a, t); fn("set_target", a, t); st("present", a, target=t)
for a in ("root", "list", "nope", "pipe", "multi"): st("absent", a)
for c in (("fn", "aliases.list_aliases", [], {}), ("fn", "aliases.set_target", ["a", "b"], {}), ("fn", "aliases.rm_alias", ["a"], {}), ("st", "alias.present", ["a"], {"target": "b"}), ("st", "alias.absent", ["a"], {})):
    C.append({c[0]: c[1], "args": c[2], "kw": c[3], "reset": True, "files": {"/etc/aliases": None}})
CASES = C
