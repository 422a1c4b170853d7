PROGRAMS = ["debconf-get-selections", "debconf-set-selections"]
WATCH = ["/lib/sel"]
FAKE = {"debconf-get-selections": "#!/bin/sh\ncat /lib/sel\n", "debconf-set-selections": r'''#!/bin/sh
[ "$1" ] && f=$1 || f=/dev/stdin
grep -q BAD "$f" && { echo "error: Cannot find a question for BAD" >&2; exit 1; }
tr -s ' \t' '\t' < $f | while IFS="$(printf '\t')" read -r p q t v; do case $p in '#'*|'') continue;; esac; grep -v "^$p	$q	" /lib/sel > /lib/sel.n; mv /lib/sel.n /lib/sel; printf '%s\t%s\t%s\t%s\n' "$p" "$q" "$t" "$v" >> /lib/sel; done
'''}
FILES = {"/lib/sel": "# Comment with words\ndebconf\tdebconf/frontend\tselect\tDialog\npkg\tpkg/bool\tboolean\ttrue\npkg\tpkg/str\tstring\ta b  c\npkg\tpkg/empty\tstring\t\npkg\tpkg/password\tpassword\tsecret\nx\tx/multi\tmultiselect\ta, b\n",
"/tmp/sel.txt": "pkg pkg/bool boolean false\nnew new/q string hello\n", "/srv/salt/sel.txt": "pkg pkg/bool boolean false\nnew new/q string hello\n", "/srv/salt/sel.j": "pkg pkg/str string {{ v }} {{ grains['os'] }}\n", "/srv/salt/bad": "BAD line\n"}
FILES_IN_TEST = dict(FILES)

C = []
def fn(f, *a, **k): C.append({"fn": "debconf." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "debconf." + f, "args": [n], "kw": k, "reset": True})
fn("get_selections"); fn("get_selections", False)
for p in ("pkg", "x", "nope", "debconf"): fn("show", p)
for a in (["pkg", "pkg/bool", "boolean", "false"], ["pkg", "pkg/bool", "boolean", False], ["new", "new/q", "string", "a b"], ["p", "BAD", "string", "a"], ["new", "new/n", "string", 3], ["new", "new/n", "string", ""]): fn("set", *a)
fn("set_file", "/tmp/sel.txt"); fn("set_file", "salt://sel.txt"); fn("set_file", "salt://nope"); fn("set_file", "/tmp/none"); fn("set_file", "salt://bad")
fn("set_template", "salt://sel.j", "jinja", {"v": 5}, {}); fn("set_template", "salt://sel.j", "jinja", {}, {"v": 6}); fn("set_template", "salt://nope", "jinja", {}, {}); fn("set_file", "salt://sel.j", template="jinja", context={"v": 7})
st("set", "pkg", data={"pkg/bool": {"type": "boolean", "value": True}}); st("set", "pkg", data={"pkg/bool": {"type": "boolean", "value": False}}); st("set", "pkg", data={"pkg/bool": {"type": "boolean", "value": "true"}, "pkg/str": {"type": "string", "value": "z"}}); st("set", "new", data={"new/q": {"type": "string", "value": "v"}, "new/p": {"type": "password", "value": "s3"}}); st("set", "pkg", data={"pkg/password": {"type": "password", "value": "secret"}}); st("set", "pkg", data={"pkg/str": {"type": "string"}}); st("set", "pkg", data={"pkg/str": "x"}); st("set", "pkg", data={}); st("set", "pkg"); st("set", "x", data={"x/multi": {"type": "multiselect", "value": "b, a"}}); st("set", "x", data={"x/multi": {"type": "multiselect", "value": ["a", "b"]}}); st("set", "pkg", data={"pkg/str": {"type": "text", "value": "a b  c"}}); st("set", "pkg", data={"pkg/n": {"type": "string", "value": 3}}); st("set", "pkg", data={"BAD": {"type": "string", "value": "q"}}); st("set", "pkg", data={"pkg/empty": {"type": "string", "value": ""}})
st("set", "pkg", data={"pkg/str": {"type": "bogus", "value": "x"}})
st("set", "pkg", data=["a"])
st("set_file", "n", source="salt://sel.txt"); st("set_file", "n", source="salt://nope"); st("set_file", "n", source="/tmp/sel.txt"); st("set_file", "n", source="salt://sel.j", template="jinja", context={"v": 5}); st("set_file", "salt://sel.txt"); st("set_file", "n", source="salt://sel.j", template="jinja", defaults={"v": 9}); st("set_file", "n", source="salt://sel.j", template="jinja", context="bad"); st("set_file", "n", source="salt://bad")
CASES = C
