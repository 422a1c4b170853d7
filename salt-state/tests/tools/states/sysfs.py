"""Attributes of the kernel, and what is waited for."""
PROGRAMS = []
WATCH = ["/etc/sysfs.d/x"]
FILES = {}
C = []
def fn(f, *a, **k): C.append({"fn": f, "args": list(a), "kw": k})
def st(f, n, **k): C.append({"st": f, "args": [n], "kw": k})
for k in ("class/net/lo", "class/net/lo/uevent", "kernel/mm/transparent_hugepage/enabled", "class/net/lo/address", "class/net/lo/", "/sys/kernel/fscaps", "/kernel/fscaps", "", "/", "class", "/etc/hostname", "../etc/hostname", "devices/virtual/net/lo/mtu", "kernel", "fs/cgroup"):
    for f in ("read", "attr", "target", "interfaces"): 
        if k in ("", "/", "class", "kernel", "fs/cgroup") and f != "target": continue
        fn("sysfs." + f, k)
    fn("sysfs.target", k, False)
fn("sysfs.read", "mtu", "class/net/lo"); fn("sysfs.read", ["mtu", "nope"], "class/net/lo"); fn("sysfs.read", "/mtu", "class/net/lo"); fn("sysfs.read", [], "class/net/lo"); fn("sysfs.read", "mtu", "nope"); fn("sysfs.write", "class/net/lo", 1); fn("sysfs.write", "class/net/lo/mtu", "x"); fn("sysfs.write", "class/net/lo/mtu", True); fn("sysfs.attr", "class/net/lo/tx_queue_len", False); fn("sysfs.attr", "class/net/lo/tx_queue_len", 0); fn("sysfs.write", "class/net/lo/tx_queue_len", "1000"); fn("sysfs.attr", "class/net/lo/tx_queue_len", "")
st("sysfs.present", "class/net/lo/tx_queue_len", value=1003, config="/etc/sysfs.d/x"); st("sysfs.present", "class/net/lo/tx_queue_len", value=1003.0); st("sysfs.present", "class/net/lo", value=1); st("sysfs.present", "class/net/lo/tx_queue_len", value=None); st("sysfs.present", "class/net/lo/address", value="00:00:00:00:00:00"); st("sysfs.present", "class/net/lo/mtu", value="x"); st("sysfs.present", "class/net/lo/mtu", value=[1])
for op, e in (("gt", 1), ("lt", 5), ("le", 3), ("ge", 3), ("eq", "3"), ("is_", 3), ("is_not", 3), ("contains", 3), ("truth", 3), ("not_", 1), ("add", 1), ("sub", 3), ("and_", 1), ("test.false", 1), ("test.nope", 1), ("test.arg", 1), ("match.compound", 1)):
    st("loop.until_no_eval", "test.echo", expected=e, args=[3], compare_operator=op, timeout=1, period=1)
st("loop.until_no_eval", "test.echo", expected="b", args=["abc"], compare_operator="contains"); st("loop.until_no_eval", "nope.x", expected=1, compare_operator="nope"); st("loop.until_no_eval", "test.echo", expected=1, timeout=1); st("loop.until_no_eval", "test.exception", expected=1, timeout=1, kwargs={"message": "boom"}); st("loop.until_no_eval", "test.kwarg", expected={"a": 1}, kwargs={"a": 1}, init_wait=0.1); st("loop.until_no_eval", "test.ping", expected=True, timeout=0); st("loop.until_no_eval", "test.ping", expected=False, timeout=1, period=0.4); st("loop.until_no_eval", "test.ping", expected=False, timeout="x"); st("loop.until_no_eval", "test.ping", expected=False, args="ab"); st("loop.until_no_eval", "test.arg", expected=False, kwargs=[1], timeout=1, period=1); st("loop.until_no_eval", "test.false", expected=[], timeout=1, period=2); st("loop.until_no_eval", "test.arg", expected={"args": [1, 2], "kwargs": {"x": 3}}, args=[1, 2], kwargs={"x": 3})
st("loop.until", "test.echo", m_args=["a"], condition="m_ret == 'a'"); st("loop.until", "test.echo", m_args=[1], m_kwargs={}, condition="m_ret > ", timeout=1); 
CASES = C
