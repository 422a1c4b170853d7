PROGRAMS = ["crontab"]
FAKE = {"crontab": r'''#!/bin/sh
u=root; while [ $# -gt 0 ]; do case $1 in -u) u=$2; shift;; -l) l=1;; -r) r=1;; *) f=$1;; esac; shift; done
t=/var/spool/cron/crontabs/$u
if [ "$l" ]; then [ -f $t ] && cat $t || { echo "no crontab for $u" >&2; exit 1; }
elif [ "$r" ]; then rm -f $t
else if grep -q BAD $f; then echo '"/tmp/x":1: bad minute' >&2; exit 1; fi; mkdir -p $(dirname $t); cat $f > $t; fi
'''}
WATCH = ["/var/spool/cron/crontabs/root", "/var/spool/cron/crontabs/bin"]
FILES = {"/srv/salt/tab": "0 1 * * * echo hi\n", "/srv/salt/tab.j": "0 {{ n }} * * * echo {{ grains['os'] }}\n", "/srv/salt/bad": "BAD line\n", "/srv/salt/empty": ""}
FILES_IN_TEST = dict(FILES)
O = {"/var/spool/cron/crontabs/root": "# old\n5 5 * * * old\n"}
C = []
def fn(f, *a, **k):
    for fl in ({}, O): C.append({"fn": "cron." + f, "args": list(a), "kw": k, "reset": True, "files": fl})
def st(n, **k):
    for fl in ({}, O): C.append({"st": "cron.file", "args": [n], "kw": k, "reset": True, "files": fl})
st("salt://tab"); st("salt://tab", user="root"); st("salt://tab", user="bin"); st("salt://tab", user="nobodyhere"); st("salt://nope"); st("salt://bad"); st("salt://empty"); st("salt://tab.j", template="jinja", context={"n": 3}); st("salt://tab.j", template="jinja", defaults={"n": 4}); st("salt://tab.j", template="jinja"); st("x", source="salt://tab"); st("salt://tab", backup="minion"); st("salt://tab", replace=False); st("tab"); st("/srv/salt/tab"); st("salt://tab", source_hash="md5=00000000000000000000000000000000"); st("x", source=["salt://nope", "salt://tab"])
C.append({"st": "cron.file", "args": ["salt://tab"], "reset": True, "files": {"/var/spool/cron/crontabs/root": "0 1 * * * echo hi\n"}})
CASES = C
