REAL_GRAINS = 1
PROGRAMS = ["service", "update-rc.d", "runlevel"]
GRAINS = {"init": "unknown"}
FILES_IN_TEST = {"/etc/init.d/README": "x"}
import os
FAKE = {"runlevel": "#!/bin/sh\necho unknown\nexit 1\n", "service": "#!/bin/sh\n[ -x /etc/init.d/$1 ] || { echo \"$1: unrecognized service\" >&2; exit 1; }\nn=$1; shift; exec /etc/init.d/$n \"$@\"\n"}
INIT = r'''#!/bin/sh
### BEGIN INIT INFO
# Provides: NAME
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: x
### END INIT INFO
f=/run/NAME.pid
case $1 in start) [ NAME = broken ] && { echo "cannot start" >&2; exit 1; }; touch $f; echo "Starting NAME.";; stop) [ NAME = stuck ] && exit 1; rm -f $f; echo "Stopping NAME.";; restart|force-reload) touch $f;; reload) [ -e $f ];; status) [ -e $f ] && { echo "NAME is running."; exit 0; }; echo "NAME is not running."; exit 3;; *) echo usage >&2; exit 2;; esac
'''
NAMES = ["alpha", "beta", "broken", "stuck"]
SETUP = "rm -f /etc/init.d/* /etc/rc?.d/*; " + "".join("cat > /etc/init.d/%s <<'EOF'\n%sEOF\nchmod 755 /etc/init.d/%s\n" % (n, INIT.replace("NAME", n), n) for n in NAMES) + "touch /etc/init.d/README; update-rc.d beta defaults; update-rc.d stuck defaults; touch /run/beta.pid /run/stuck.pid"
WATCH = ["/etc/init.d/" + n for n in NAMES] + ["/run/%s.pid" % n for n in NAMES] + ["/etc/rc%d.d/%s01%s" % (l, k, n) for n in NAMES for l in (2,) for k in "SK"]
C = []
def fn(f, *a, **k): C.append({"fn": "service." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "service." + f, "args": [n], "kw": k, "reset": True})
for f in ("get_all", "get_enabled", "get_disabled"): fn(f)
for f in ("available", "missing", "status", "enabled", "disabled", "start", "stop", "restart", "reload", "force_reload", "enable", "disable"):
    for n in NAMES + ["nope"]: fn(f, n)
fn("status", "*"); fn("status", "b*"); fn("status", "nope*"); fn("status", "alpha", sig="rec.py"); fn("status", "alpha", sig="noSuchThing"); fn("masked", "alpha"); fn("mask", "alpha"); fn("unmask","alpha"); fn("offline"); fn("get_running"); fn("get_static"); fn("show","alpha"); fn("execs")
for n in ["alpha", "beta", "broken", "stuck", "nope"]:
    for f in ("running", "dead"):
        st(f, n); st(f, n, enable=True); st(f, n, enable=False)
    st("enabled", n); st("disabled", n); st("masked", n); st("unmasked", n)
for n in ("alpha", "beta"):
    st("mod_watch", n, sfun="running"); st("mod_watch", n, sfun="running", reload=True); st("mod_watch", n, sfun="running", full_restart=True); st("mod_watch", n, sfun="dead")
CASES = C
