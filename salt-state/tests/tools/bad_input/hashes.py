# Checksums that are wrong, malformed, of another length or kind, in files that are missing or do not have the name,
# and sources that are missing.
A = "source a\n"
MD5, SHA1 = "f7bb6b78826d22bf3eb4e0a784535710", "ab587e1aed590032bf1fd28b982ffe0f1dff0ad3"
SHA256 = "f24f57e5a350c0c6833f16941d3a61f2186f3caa27ab639cdab3aedd873a91b1"
B256 = "0" * 64
FILES = {"r/d": {"d": "755"}, "s/a": A, "s/b": "source b\n", "s/a.sha256": SHA256 + "  a\n", "s/bare": SHA256 + "\n", "s/empty": "",
         "s/none": "no sums here\n", "s/many": f"{B256}  one\n{SHA256}  two\n{MD5}  f\n", "s/other": f"{SHA256}  other\n{B256}  another\n",
         "s/wrong": f"{B256}  a\n", "s/bsd": f"SHA256 (a) = {SHA256}\n", "s/a.md5": f"{MD5} *a\n", "s/bin": {"b": "\xff\xfe" + SHA256 + "  a\n"},
         "s/paths": f"{B256}  x/y/a\n{SHA256}  ./z/a\n", "s/short": "abc  a\n", "s/twice": f"{B256}  a\n{SHA256}  a\n", "s/dir": {"d": "755"}}
SRC = {"a": A, "sums/a.sha256": SHA256 + "  a\n", "sums/wrong": f"{B256}  a\n", "sums/none": "nothing\n"}
U = "http://127.0.0.1:18099"
WEB = {"/a": [200, A], "/a.sha256": [200, SHA256 + "  a\n"], "/wrong": [200, B256 + "  a\n"], "/none": [200, "nothing\n"],
       "/500": [500, "broken"], "/403": [403, "no"], "/cut": [200, "source", 100], "/empty": [200, ""]}
F = {"name": "/bi/r/f"}
HASHES = ["md5=" + MD5, MD5, "md5:" + MD5, MD5.upper(), "md5=" + MD5[:-1], MD5[:-1], MD5 + "0", "sha256=" + MD5, "sha1=" + SHA1, "sha999=" + MD5, "foo=bar", "=",
          "md5=", "=" + MD5, "g" * 32, "sha256=" + "z" * 64, " " + SHA256 + " ", "sha256 = " + SHA256, "SHA256=" + SHA256, B256, "sha256=" + B256, "md5=" + "0" * 32, "", 0, 5,
          None, [SHA256], {"sha256": SHA256}, "/bi/s/a.sha256", "/bi/s/bare", "/bi/s/empty", "/bi/s/none", "/bi/s/many", "/bi/s/other",
          "/bi/s/wrong", "/bi/s/bsd", "/bi/s/a.md5", "/bi/s/bin", "/bi/s/paths", "/bi/s/short", "/bi/s/twice", "/bi/s/dir", "/bi/s/nosuch", "file:///bi/s/a.sha256",
          "file:///bi/s/nosuch", "salt://sums/a.sha256", "salt://sums/wrong", "salt://sums/none", "salt://nosuch", "salt://", U + "/a.sha256", U + "/wrong",
          U + "/none", U + "/404", U + "/500", U + "/cut", "http://127.0.0.1:1/x", "ftp2://x/y", "bi/s/a.sha256"]
CASES = []
def case(st, **kw): CASES.append({"st": st, "kw": kw})
for h in HASHES:
    case("file.managed", name="/bi/r/f", source="/bi/s/a", source_hash=h)
for h in ["", B256, MD5, "bad", "/bi/s/many", "/bi/s/nosuch", "salt://nosuch", U + "/404", "/bi/s/wrong"]:
    case("file.managed", name="/bi/r/f", source="salt://a", source_hash=h)
    case("file.managed", name="/bi/r/f", source=U + "/a", source_hash=h)
    case("file.managed", name="/bi/r/f", source="/bi/s/a", source_hash=h, skip_verify=True)
    case("file.managed", name="/bi/r/f", source=U + "/a", source_hash=h, skip_verify=True)
    case("file.cached", name="/bi/s/a", source_hash=h)
    case("file.cached", name="salt://a", source_hash=h)
    case("file.cached", name=U + "/a", source_hash=h)
    case("file.cached", name=U + "/a", source_hash=h, skip_verify=True)
for f, n in [("many", "one"), ("many", "two"), ("many", "three"), ("many", ""), ("many", None), ("many", 5), ("many", ["two"]), ("paths", "x/y/a"), ("paths", "z/a"), ("paths", "./z/a"),
             ("paths", "/z/a"), ("twice", "a"), ("bsd", "a"), ("bare", "a"), ("wrong", "a"), ("many", "f")]:
    case("file.managed", name="/bi/r/f", source="/bi/s/a", source_hash="/bi/s/" + f, source_hash_name=n)
    case("file.cached", name="/bi/s/a", source_hash="/bi/s/" + f, source_hash_name=n)
for s in [U + "/a", U + "/404", U + "/500", U + "/403", U + "/cut", U + "/empty", "http://127.0.0.1:1/x", "https://127.0.0.1:18099/a", "http://", "http:///x", "ftp2://x/y",
          "salt://nosuch", "salt://", "salt://sums", "/bi/s/nosuch", "/bi/s/dir", "file:///bi/s/nosuch"]:
    for more in ({}, {"skip_verify": True}, {"source_hash": SHA256}, {"source_hash": B256}):
        case("file.managed", name="/bi/r/f", source=s, **more)
        case("file.cached", name=s, **more)
for s in [["salt://nosuch", "salt://a"], ["salt://nosuch", "salt://nosuch2"], ["/bi/s/nosuch", "/bi/s/a"], [U + "/404", U + "/a"], [U + "/500", "salt://a"], ["http://127.0.0.1:1/x", "salt://a"],
          [{"salt://nosuch": "md5=" + MD5}, {"salt://a": "md5=" + MD5}], [{"/bi/s/nosuch": SHA256}, {"/bi/s/a": B256}], [{"/bi/s/a": SHA256}], [{"/bi/s/a": "bad"}], [{U + "/404": SHA256}, {U + "/a": SHA256}],
          [{U + "/a": B256}], [{U + "/a": None}], [{"salt://a": 5}], [{"salt://a": "x", "salt://b": "y"}], [[]], [5], [None], [""], ["a"], {"salt://a": "x"}, [{"/bi/s/nosuch": SHA256}, "salt://a"], ["salt://sums"],
          ["/bi/s/dir", "/bi/s/a"], ["salt://a?saltenv=nope", "salt://a"], ["ftp2://x", "salt://a"]]:
    case("file.managed", name="/bi/r/f", source=s)
    case("file.managed", name="/bi/r/f", source=s, source_hash="sha256=" + SHA256)
case("file.managed", name="/bi/r/f", source="salt://a", saltenv="nope")
case("file.managed", name="/bi/r/f", source="salt://a?saltenv=nope")
case("file.managed", name="/bi/r/nosuch/f", source="salt://a")
case("file.managed", name="/bi/s/a/f", source="salt://a")
case("file.managed", name="/bi/s/a/f", source="salt://a", makedirs=True)
case("file.managed", name="/bi/r/d", source="salt://a")
case("file.managed", name="/bi/r/f", source="salt://a", source_hash=SHA256, keep_source=False)
case("file.managed", name="/bi/r/f", source=U + "/a", source_hash=SHA256, keep_source=False)
case("file.managed", name="/bi/r/f", source=U + "/a", source_hash=SHA256, template="jinja")
case("file.managed", name="/bi/r/f", source=U + "/a", source_hash=B256, template="jinja")
for source in (U + "/a", "/bi/s/a", "salt://a"):
    for old in (A, "other\n"):
        for h in (SHA256, B256, "md5=" + MD5.upper()):
            CASES.append({"st": "file.managed", "kw": {"name": "/bi/r/f", "source": source, "source_hash": h}, "files": {"r/f": old}})
            CASES.append({"st": "file.managed", "kw": {"name": "/bi/r/f", "source": source, "source_hash": h, "mode": "600"}, "files": {"r/f": old}})
            CASES.append({"st": "file.managed", "kw": {"name": "/bi/r/f", "source": source, "source_hash": h, "template": "jinja"}, "files": {"r/f": old}})
for s in (["a", "/bi/s/a"], ["salt://nosuch", "a"], ["", "/bi/s/a"], ["file:///bi/s/nosuch", "file:///bi/s/a"], ["salt://sums", "salt://a"], ["ftp2://x/y"]):
    case("file.managed", name="/bi/r/f", source=s)
for st, kw in [("file.recurse", {"name": "/bi/r/d", "source": "salt://nosuch"}), ("file.recurse", {"name": "/bi/r/d", "source": "/bi/s"}), ("file.recurse", {"name": "/bi/r/d", "source": U + "/a"}),
               ("file.recurse", {"name": "/bi/r/d", "source": ["salt://nosuch", "salt://sums"]}), ("file.recurse", {"name": "/bi/r/d", "source": ["salt://nosuch", "salt://nosuch2"]}),
               ("file.recurse", {"name": "/bi/r/d", "source": "salt://a"}), ("file.recurse", {"name": "/bi/r/d", "source": ""}), ("file.recurse", {"name": "/bi/r/d", "source": []}),
               ("file.append", {"name": "/bi/s/b", "source": "salt://nosuch"}), ("file.append", {"name": "/bi/s/b", "source": "/bi/s/a", "source_hash": B256}), ("file.append", {"name": "/bi/s/b", "source": "/bi/s/nosuch"}),
               ("file.append", {"name": "/bi/s/b", "sources": ["salt://nosuch", "salt://a"]}), ("file.append", {"name": "/bi/s/b", "sources": ["salt://nosuch"], "source_hashes": [SHA256]}),
               ("file.append", {"name": "/bi/s/b", "sources": ["/bi/s/a"], "source_hashes": [B256]}), ("file.append", {"name": "/bi/s/b", "sources": ["/bi/s/a"], "source_hashes": ["bad"]}),
               ("file.prepend", {"name": "/bi/s/b", "source": "salt://nosuch"}), ("file.prepend", {"name": "/bi/s/b", "source": "/bi/s/a", "source_hash": "bad"}), ("file.prepend", {"name": "/bi/s/b", "sources": ["salt://nosuch"]}),
               ("file.blockreplace", {"name": "/bi/s/b", "source": "salt://nosuch", "append_if_not_found": True}), ("file.blockreplace", {"name": "/bi/s/b", "source": "/bi/s/a", "source_hash": B256, "append_if_not_found": True}),
               ("file.blockreplace", {"name": "/bi/s/b", "sources": ["salt://nosuch"], "append_if_not_found": True}),
               ("file.patch", {"name": "/bi/s/b", "source": "salt://nosuch"}), ("file.patch", {"name": "/bi/s/b", "source": "/bi/s/nosuch"}), ("file.patch", {"name": "/bi/s/b", "source": "/bi/s/a", "source_hash": B256}),
               ("file.patch", {"name": "/bi/s/b", "source": "/bi/s/a", "source_hash": "bad"}), ("file.patch", {"name": "/bi/s/b", "source": U + "/404", "source_hash": SHA256}), ("file.patch", {"name": "/bi/s/b", "source": U + "/a"}),
               ("file.copy", {"name": "/bi/r/f", "source": "/bi/s/nosuch"}), ("file.copy", {"name": "/bi/r/f", "source": "salt://a"}), ("file.rename", {"name": "/bi/r/f", "source": "/bi/s/nosuch"}),
               ("file.symlink", {"name": "/bi/r/nosuch/l", "target": "/bi/s/a"}), ("file.hardlink", {"name": "/bi/r/l", "target": "/bi/s/nosuch"}), ("cmd.script", {"name": "salt://nosuch"}),
               ("cmd.script", {"name": "x", "source": "salt://nosuch"}), ("cmd.script", {"name": "/bi/s/nosuch"}), ("cmd.script", {"name": U + "/404"}), ("cmd.script", {"name": "salt://"})]:
    case(st, **kw)
    # A dry run of patch tells its process id.
    if st == "file.patch": CASES[-1]["steps"] = ["run"]
for s in ["/bi/s/a", "/bi/s/nosuch.tar", "salt://nosuch.tar", "salt://a.tar", U + "/a.tar", U + "/404.tar", U + "/500", ["salt://nosuch.tar", "/bi/s/nosuch.tar"], [{"salt://nosuch.tar": MD5}], "http://127.0.0.1:1/x.tar", "ftp2://x/y.tar", "/bi/s/dir.tar"]:
    for more in ({}, {"skip_verify": True}, {"source_hash": SHA256}, {"source_hash": "bad"}, {"source_hash": "/bi/s/nosuch"}, {"source_hash": "salt://nosuch"}, {"source_hash": "/bi/s/none"}, {"source_hash": U + "/404"}):
        case("archive.extracted", name="/bi/r/d", source=s, **more)
