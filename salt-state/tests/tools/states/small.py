PROGRAMS = ["uptime"]
import os
WATCH = ["/etc/sysfs.d/x"]
FILES = {}
SETUP = "mkdir -p /fake"
C = []
def fn(f, *a, **k): C.append({"fn": f, "args": list(a), "kw": k})
def st(f, n, **k): C.append({"st": f, "args": [n], "kw": k})
for n in ("1-min", "5-min", "15-min", "2-min"):
    st("status.loadavg", n); st("status.loadavg", n, maximum="1000.0"); st("status.loadavg", n, minimum="0.0"); st("status.loadavg", n, maximum="0.00001"); st("status.loadavg", n, minimum="900.0"); st("status.loadavg", n, minimum="0.0", maximum="1000.0"); st("status.loadavg", n, minimum="5", maximum="2"); st("status.loadavg", n, maximum=1000); st("status.loadavg", n, maximum="x")
for n in ("rec.py", "noSuchProcessAnywhere"): st("status.process", n); st("process.absent", n + "zz"); 
C.append({"st": "process.absent", "args": ["sleep 7777"], "setup": "sleep 7777 >/dev/null 2>&1 & sleep 7777 > /dev/null 2>&1 &"})
C.append({"st": "process.absent", "args": ["sleep 7778"], "kw": {"signal": 9}, "setup": "sleep 7778 >/dev/null 2>&1 &"})
C.append({"st": "process.absent", "args": ["sleep 7779"], "kw": {"user": "nobody"}, "setup": "sleep 7779 >/dev/null 2>&1 &"})
C.append({"st": "process.absent", "args": ["sleep"], "kw": {"user": "root"}, "setup": "sleep 7780 >/dev/null 2>&1 &"})
C.append({"st": "process.absent", "args": ["sleep 1234"], "kw": {"user": "nouser"}})
for k in ({}, {"maximum": "90%"}, {"maximum": "0%"}, {"minimum": "99%"}, {"minimum": "0%", "maximum": "100%"}, {"minimum": "50%", "maximum": "20%"}, {"maximum": 90}, {"maximum": 0}, {"minimum": 99}, {"maximum": "x"}, {"maximum": 101}, {"maximum": -1}, {"maximum": 10, "absolute": True}, {"minimum": 10, "absolute": True}, {"maximum": 99999999999, "absolute": True}, {"minimum": 1, "free": True}, {"maximum": 1, "free": True}, {"minimum": 1, "free": True, "absolute": True}, {"maximum": 1, "free": True, "absolute": True}, {"minimum": 99999999999, "free": True, "absolute": True}, {"minimum": "10%", "absolute": True}, {"maximum": "10"}):
    st("disk.status", "/", **k); 
    if len(k) < 2: st("disk.status", "/nope", **k); st("disk.status", "/etc", **k)
fn("sysfs.read", "kernel/fscaps"); fn("sysfs.attr", "kernel/fscaps"); fn("sysfs.attr", "nope/x"); fn("sysfs.read", "nope/x"); fn("sysfs.target", "class/net/lo"); fn("sysfs.target", "class/net/lo", full=False); fn("sysfs.target", "/sys/class/net/lo"); fn("sysfs.interfaces", "class/net/lo/queues"); fn("sysfs.read", ["mtu", "flags"], "class/net/lo"); fn("sysfs.interfaces", "nope"); fn("sysfs.read", "class/net/lo/queues/rx-0"); fn("sysfs.write", "class/net/lo/tx_queue_len", 1001); fn("sysfs.attr", "class/net/lo/tx_queue_len"); fn("sysfs.attr", "class/net/lo/tx_queue_len", 1000); fn("sysfs.write", "nope/x", 1); fn("sysfs.write", "class/net/lo/address", 1); fn("sysfs.read", "class/net/lo/queues", ""); fn("sysfs.target", "nope")
st("sysfs.present", "class/net/lo/tx_queue_len", value=1002); st("sysfs.present", "class/net/lo/tx_queue_len", value="1002"); st("sysfs.present", "nope/x", value=1); st("sysfs.present", "class/net/lo/queues/rx-0", value={"rps_flow_cnt": 0}); st("sysfs.present", "class/net/lo/queues/rx-0", value={"rps_flow_cnt": 16}); st("sysfs.present", "class/net/lo/address", value=3); st("sysfs.present", "class/net/lo/mtu", value={"a": 1}); st("sysfs.present", "kernel/fscaps", value=True); st("sysfs.present", "class/net/lo/queues/rx-0", value={"nope": 16})
st("loop.until", "test.ping", condition="m_ret is True", period=1, timeout=3); st("loop.until", "test.ping", condition="m_ret is False", period=1, timeout=2); st("loop.until", "nope.x", condition="m_ret", period=1, timeout=2); st("loop.until", "test.ping", period=1)
st("loop.until_no_eval", "test.ping", expected=True); st("loop.until_no_eval", "test.ping", expected=False, timeout=1, period=1); st("loop.until_no_eval", "nope.x", expected=1); st("loop.until_no_eval", "test.echo", expected="a", args=["a"]); st("loop.until_no_eval", "test.ping", expected=True, compare_operator="nope"); st("loop.until_no_eval", "test.arg", expected=1, compare_operator="ne"); st("loop.until_no_eval", "test.echo", expected="b", args=["a"], timeout=1, period=0.5)
CASES = C
