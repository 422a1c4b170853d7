TMPFS = ["/srv", "/etc/init.d", "/etc/systemd", "/usr/lib/systemd"]
FILES = {"/usr/lib/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n", "/usr/lib/systemd/system/cron.service": "[Service]\n", "/usr/lib/systemd/system/bare.service": "[Service]\n", "/etc/systemd/system/own.timer": "[Timer]\n", "/srv/a": "one\ntwo\n", "/srv/new": "one\nthree\n", "/srv/same": "one\ntwo\n", "/srv/empty": "", "/srv/bin": b"\x00\x01\x02", "/srv/held": "x", "/srv/with space": "y", "/srv/salt/f": "one\ntwo\n", "/srv/salt/g": "g\n", "/srv/order": "two\none\n", "/srv/spaces": "one  \n two\n"}
DIRECTORIES = ["/srv/dir"]
THERE = ["/dev/null", "/usr/bin/sleep", "/usr/bin/perl"]
PROCESSES = [["perl", "-e", "open(F, '<', '/srv/a'); open(G, '>>', '/srv/held'); pipe(A, B); socket(S, 1, 1, 0); sleep 100"], ["sh", "-c", "exec sleep 100 8< /srv/held 9< '/srv/with space'"], ["sh", "-c", "exec sleep 101 9< /srv/held"], ["sh", "-c", "echo > /srv/gone; exec 7< /srv/gone; rm /srv/gone; exec sleep 102 6< /srv"], {"argv": ["sleep", "103"], "uid": 65534}]
FAKE = {"lsattr": "#!/bin/sh\nfor last; do :; done\necho \"----i---------e------- $last\"\n", "tune2fs": "#!/bin/sh\necho 'tune2fs 1.47.0 (5-Feb-2023)' >&2\n", "systemctl": "#!/bin/sh\ncase \"$*\" in\n*'list-unit-files'*) printf 'ssh.service enabled enabled\\ncron.service disabled enabled\\nbare.service static -\\n';;\n*'show ssh'*) printf 'Id=ssh.service\\nExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $OPTS ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\\nExecStartPre={ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no }\\n';;\n*'show cron'*) printf 'Id=cron.service\\nExecStart={ path=/usr/sbin/cron ; argv[]=/usr/sbin/cron -f ; ignore_errors=no }\\nExecStart={ path=/bin/second ; argv[]=/bin/second ; ignore_errors=no }\\n';;\n*'show '*) printf 'Id=x\\n';;\nesac\n"}
C = []
def fn(f, *a, **k): C.append({"fn": f, "args": list(a), "kw": k})
import hashlib
def sums(text): return {"hash_type": "sha256", "hsum": hashlib.sha256(text).hexdigest()}
ONE, NEW = sums(b"one\ntwo\n"), sums(b"one\nthree\n")
def meta(name, sfn=None, source=None, sum=None, user=None, group=None, mode=None, attrs=None, saltenv="base", *more, **k): fn("file.check_file_meta", name, sfn, source, sum, user, group, mode, attrs, saltenv, *more, **k)
meta("/srv/nope", "/srv/new", "/srv/new", NEW); meta("/srv/nope", "/srv/new", "/srv/new", NEW, new_file_diff=True); meta("/srv/nope", contents="x\n"); meta("/srv/nope", contents="x\n", new_file_diff=True); meta("/srv/nope")
meta("/srv/nope", "/srv/new", "/srv/new", NEW, "root", "root", "0600")
meta("/srv/nope", None, "salt://f", ONE)
meta("/srv/a", "/srv/new", "/srv/new", NEW); meta("/srv/a", "/srv/same", "/srv/same", ONE); meta("/srv/a", None, "/srv/new", NEW); meta("/srv/a", None, "salt://f", ONE); meta("/srv/a", None, "salt://g", sums(b"g\n")); meta("/srv/a", None, "salt://nope", NEW)
meta("/srv/a", "", "", {}); meta("/srv/a"); meta("/srv/a", None, None, {}); meta("/srv/a", "/srv/bin", "/srv/bin", sums(b"\0\1\2")); meta("/srv/bin", "/srv/a", "/srv/a", ONE)
meta("/srv/a", "/srv/empty", "/srv/empty", sums(b"")); meta("/srv/empty", "/srv/a", "/srv/a", ONE)
meta("/srv/a", contents="one\ntwo\n"); meta("/srv/a", contents="one\nfour\n"); meta("/srv/a", contents=""); meta("/srv/a", contents="one\ntwo"); meta("/srv/empty", contents=""); meta("/srv/bin", contents="x\n")
meta("/srv/a", user="root", group="root", mode="0644"); meta("/srv/a", user="nobody"); meta("/srv/a", group="nogroup"); meta("/srv/a", mode="0600"); meta("/srv/a", mode="600"); meta("/srv/a", mode=644); meta("/srv/a", mode=600); meta("/srv/a", user="nobody", mode="0755", contents="z\n"); meta("/srv/a", user=0); meta("/srv/a", user=1); meta("/srv/a", group=0); meta("/srv/a", user="nobody-there"); meta("/srv/a", mode="keep")
meta("/srv/dir", mode="0755"); meta("/srv/dir", contents="x\n"); meta("/srv/dir", "/srv/new", "/srv/new", NEW)
meta("/srv/a", "/srv/nope", "/srv/nope", NEW)
for how in ({"ignore_ordering": True}, {"ignore_whitespace": True}): meta("/srv/a", "/srv/order", "/srv/order", sums(b"two\none\n"), **how); meta("/srv/a", "/srv/spaces", "/srv/spaces", sums(b"one  \n two\n"), **how)
meta("relative", contents="x")
meta("/srv/nope", new_file_diff=True); meta("/srv/nope", mode="0600", user="root", new_file_diff=True); meta("/srv/nope", contents="", new_file_diff=True); meta("/srv/nope", "/srv/new", "/srv/new", {}, new_file_diff=True); meta("/srv/nope", contents="x\n", mode="0600", new_file_diff=True)
meta("/srv/a", None, None, ONE); meta("/srv/a", None, None, NEW); meta("/srv/a", "/srv/new", None, {}); meta("/srv/a", "/srv/new", "/srv/new", {"hsum": NEW["hsum"], "hash_type": "md5"}); meta("/srv/a", "/srv/new", "/srv/new", {"hsum": ONE["hsum"]}); meta("/srv/a", "/srv/new", "/srv/new", NEW, contents="x\n")
meta("/srv/a", mode="0600", ignore_ordering=True); meta("/srv/a", contents="one\n# x\ntwo\n", ignore_comment_characters="#"); meta("/srv/a", contents="two\none\n", ignore_ordering=True); meta("/srv/a", contents="two\none\n", mode="0600", ignore_ordering=True); meta("/srv/a", contents="one\ntwo\n", ignore_ordering=True); meta("/srv/nope", contents="x\n", ignore_ordering=True)
for attrs in ("i", "a", "ai", "", "ie"): meta("/srv/a", attrs=attrs)
fn("file.open_files"); fn("file.open_files", by_pid=True)
fn("service.execs"); fn("service.execs", root="/srv"); fn("service.execs", "x")
CASES = C
