PROGRAMS = []
WATCH = ["/etc/logrotate.conf", "/etc/logrotate.d/apt", "/etc/logrotate.d/web", "/tmp/a.conf"]
FILES = {"/etc/logrotate.conf": "# see \"man logrotate\" for details\n\n# rotate log files weekly\nweekly\n\n# keep 4 weeks\nrotate 4\ncreate\n#dateext\ncompress\nsize 10M\ninclude /etc/logrotate.d\n\n/var/log/wtmp {\n    missingok\n    monthly\n    create 0664 root utmp\n    rotate 1\n}\n/var/log/btmp{\n\trotate 2\n}\n",
"/etc/logrotate.d/apt": "/var/log/apt/term.log {\n  rotate 12\n  monthly\n  compress\n}\n\n/var/log/apt/history.log {\n  rotate 12\n  missingok\n}\n",
"/etc/logrotate.d/web": "/var/log/web/*.log /var/log/web2.log {\n  daily\n  sharedscripts\n  postrotate\n    if [ -x /usr/bin/x ]; then \\\n      run it > /dev/null; \\\n    fi;\n  endscript\n}\n",
"/tmp/a.conf": "rotate 3\n"}
FILES.update({"/etc/logrotate.d/" + k: None for k in ("alternatives", "dpkg", "btmp", "wtmp", "sysstat", "cron")})
C = []
def fn(f, *a, **k): C.append({"fn": "logrotate." + f, "args": list(a), "kw": k, "reset": True})
def st(n, **k): C.append({"st": "logrotate.set", "args": [n], "kw": k, "reset": True})
fn("show_conf"); fn("show_conf", "/tmp/a.conf"); fn("show_conf", "/tmp/none.conf")
for a in (["rotate"], ["weekly"], ["create"], ["compress"], ["size"], ["include"], ["nope"], ["dateext"], ["/var/log/wtmp"], ["/var/log/wtmp", "rotate"], ["/var/log/wtmp", "monthly"], ["/var/log/wtmp", "create"], ["/var/log/wtmp", "nope"], ["/var/log/btmp", "rotate"], ["/var/log/apt/term.log", "rotate"], ["rotate", "x"], ["weekly", "x"], ["/var/log/web/*.log", "daily"], ["/var/log/web/*.log /var/log/web2.log", "daily"], ["/var/log/web2.log"], ["rotate", None, "/tmp/a.conf"], ["rotate", None, "/tmp/none.conf"]): fn("get", *a)
SETS = (["rotate", 5], ["rotate", "5"], ["rotate", 4], ["rotate", "4"], ["weekly", True], ["weekly", False], ["weekly", "True"], ["create", True], ["create", "0644 root root"], ["daily", True], ["maxage", 30], ["nope", False], ["size", "10M"], ["size", "20M"], ["compress", False], ["/var/log/wtmp", "rotate", 2], ["/var/log/wtmp", "rotate", 1], ["/var/log/wtmp", "monthly", False], ["/var/log/wtmp", "monthly", True], ["/var/log/wtmp", "create", "0600 a b"], ["/var/log/wtmp", "weekly", True], ["/var/log/wtmp", "rotate"], ["/var/log/wtmp", True], ["/var/log/btmp", "rotate", 9], ["/var/log/btmp", "daily", True], ["/var/log/apt/term.log", "rotate", 3], ["/var/log/apt/term.log", "daily", True], ["/var/log/apt/history.log", "missingok", False], ["/var/log/new.log", "rotate", 3], ["/var/log/new.log", "daily", True], ["rotate", "x", "y"], ["include", "/etc/other"], ["/var/log/web/*.log", "weekly", True], ["weekly", 3], ["rotate", True], ["rotate", False], ["rotate", None])
for s in SETS: fn("set", *s)
fn("set", "rotate", 7, conf_file="/tmp/a.conf"); fn("set", "rotate", 7, None, "/tmp/none.conf"); fn("set", "/var/log/z", "daily", True, "/tmp/a.conf")
for s in SETS:
    k = {"key": s[0], "value": s[1]}
    if len(s) > 2: k["setting"] = s[2]
    st("n", **k)
st("n", key="rotate", value=7, conf_file="/tmp/a.conf"); st("n", key="rotate", value=7, conf_file="/tmp/none.conf"); st("n", key="/var/log/z", value="daily", setting=True, conf_file="/tmp/a.conf")
CASES = C
