# Names that are no text, hold line breaks and blanks, are as long as can be or longer, and links that lead round.
L255, L256, DEEP = "n" * 255, "n" * 256, "/bi/" + "/".join(["d" * 200] * 21)
ODD = {"\udcff\udcfe": "bytes\n", "caf\udce9": "latin\n", "a\nb": "break\n", "end ": "blank\n", " lead": "blank\n", "-rf": "dash\n", "\u00e9\U0001f600": "text\n", L255: "long\n", "back\\slash": "x\n", "quo'te\"": "x\n", "tab\t": "x\n", "st*r": "x\n"}
FILES = {f"r/{k}": v for k, v in ODD.items()}
FILES.update({"r/s\udcff/x": "below\n", "l/loop": {"l": "loop"}, "l/one": {"l": "two"}, "l/two": {"l": "one"}, "l/up/here": {"l": ".."}, "l/self": {"l": "."}, "l/gone": {"l": "nosuch"}, "l/f": "one\n", "f": "one\n"})
SRC = {"tree/t": "t\n", "tree/a b": "t\n", "tree/\u00e9": "t\n"}
CASES = []
def case(st, steps=None, **kw): CASES.append({"st": st, "kw": kw, **({"steps": steps} if steps else {})})
case("file.directory", name="/bi/r", clean=True)
case("file.directory", name="/bi/r", clean=True, exclude_pat="*b*")
case("file.directory", name="/bi/r", dir_mode="700", file_mode="600", recurse=["mode"])
case("file.directory", name="/bi/r", user="daemon", recurse=["user"])
case("file.directory", name="/bi/r", dir_mode="700", file_mode="600", recurse=["mode", "silent"])
case("file.recurse", name="/bi/r", source="salt://tree")
case("file.recurse", name="/bi/r", source="salt://tree", clean=True)
case("file.recurse", name="/bi/new", source="salt://tree", keep_symlinks=True)
for m in (None, [".*"], [r"a.b"], ["caf."], ["end $"]):
    case("file.tidied", name="/bi/r", **({"matches": m} if m else {}), age=0)
    case("file.tidied", name="/bi/r", **({"matches": m} if m else {}), rmdirs=True, age=0)
case("file.absent", name="/bi/r")
case("file.pruned", name="/bi/r", recurse=True)
for n in ("/bi/r/a\nb", "/bi/r/end ", "/bi/r/" + L255, "/bi/r/" + L256, DEEP, "/bi/l/loop", "/bi/l/loop/x", "/bi/l/one", "/bi/l/self/self/f", "/bi/l/gone", "/bi/r/new\nname", "/bi/r/a\u202eb", "/bi/f/", "/bi/f/x", "/bi//f", "/bi/./f", "/bi/l/../f", "/bi/r/\u00e9\U0001f600", "/bi/a\x00b"):
    for st, kw in [("file.managed", {"contents": "x"}), ("file.managed", {"contents": "x", "follow_symlinks": False}), ("file.managed", {"contents": "x", "makedirs": True}), ("file.absent", {}), ("file.touch", {}), ("file.directory", {}), ("file.directory", {"makedirs": True}), ("file.symlink", {"target": "/bi/f"}), ("file.symlink", {"target": "/bi/f", "force": True}),
                   ("file.append", {"text": "x"}), ("file.replace", {"pattern": "o", "repl": "x"}), ("file.line", {"mode": "insert", "content": "x", "location": "end"}), ("file.exists", {}), ("file.missing", {}), ("file.copy", {"source": "/bi/f"}), ("file.rename", {"source": "/bi/f"}), ("file.hardlink", {"target": "/bi/f"}), ("file.comment", {"regex": "o"}), ("file.blockreplace", {"content": "x", "append_if_not_found": True}), ("file.keyvalue", {"key": "a", "value": "b", "append_if_not_found": True}), ("file.serialize", {"dataset": {"a": 1}}), ("file.recurse", {"source": "salt://tree"}), ("file.tidied", {}), ("file.mknod", {"ntype": "p"})]:
        # A pipe is waited for where it is read.
        case(st, ["test", "run"] if st in ("file.mknod", "file.touch", "file.copy") else None, name=n, **kw)
for kw in ({}, {"type": "f"}, {"name": "*b"}, {"iname": "CAF*"}, {"regex": "a.b"}, {"type": "l"}, {"print": "name,size"}, {"maxdepth": 1}, {"grep": "blank"}):
    for p in ("/bi/r", "/bi/l", "/bi/nosuch", "/bi/f"):
        CASES.append({"fn": "file.find", "args": [p], "kw": kw})
for fn in ("file.readdir", "file.stats", "file.get_hash", "file.read", "file.is_link", "file.readlink", "file.file_exists", "file.directory_exists", "file.path_exists_glob", "file.lsattr"):
    if fn == "file.lsattr": continue
    for p in ("/bi/r/a\nb", "/bi/r/" + L256, "/bi/l/loop", "/bi/l/gone", "/bi/f/x", "/bi/nosuch"):
        if fn == "file.stats" and p == "/bi/r/a\nb": continue
        CASES.append({"fn": fn, "args": [p]})
