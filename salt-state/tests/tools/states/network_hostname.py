PROGRAMS = ["ifup", "ifdown", "modprobe", "hostname", "service", "systemctl", "hostnamectl", "ifenslave"]
FAKE = {k: "#!/bin/sh\ncase \"$*\" in *bad*) echo \"$0: unknown interface bad\" >&2; exit 1;; esac\nexit 0\n" for k in PROGRAMS}
FAKE["hostnamectl"] = "#!/bin/sh\n[ $1 = status ] && printf ' Static hostname: m1\\n       Icon name: computer-vm\\n'\nexit 0\n"
WATCH = ["/etc/network/interfaces", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/default/networking", "/etc/modprobe.d/bond0.conf", "/etc/network/if-up.d/route-eth0", "/etc/network/if-down.d/route-eth0"]
FILES = {"/etc/network/interfaces": "auto lo\niface lo inet loopback\n", "/etc/hostname": "m1\n", "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 m1.old m1\n", "/etc/resolv.conf": "nameserver 1.1.1.1\n", "/etc/default/networking": "CONFIGURE_INTERFACES=yes\n"}
FILES.update({p: None for p in WATCH if p not in FILES})
FILES["/etc/network/if-up.d/"] = ""; FILES["/etc/network/if-down.d/"] = ""; FILES["/etc/modprobe.d/"] = ""
FILES_IN_TEST = {"/etc/network/if-up.d/": "", "/etc/network/if-down.d/": "", "/etc/modprobe.d/": ""}
GRAINS = {"osfullname": "Debian", "lsb_distrib_id": "Debian"}
C = []
def fn(f, *a, files=None, **k): C.append({"fn": f, "args": list(a), "kw": k, "reset": True, "files": files or {}})
def st(f, n, files=None, **k): C.append({"st": "network." + f, "args": [n], "kw": k, "reset": True, "files": files or {}})
L = dict(type="eth", proto="loopback")
st("managed", "lo", **L); st("managed", "lo", mtu=9000, **L); st("managed", "lo", enabled=False, **L); st("managed", "lo", enabled=False, mtu=5, **L); st("managed", "lo", mtu=9000, noifupdown=True, **L); st("managed", "lo", type="slave", master="b"); st("managed", "lo", enabled=False, type="slave", master="b")
B = dict(type="bond", proto="dhcp", mode="active-backup")
st("managed", "bond0", slaves="eth2 eth3", **B); st("managed", "bond0", slaves=["eth2", "eth3"], **B); st("managed", "bond0", slaves="bad", **B)
C.append({"fn": "ip.build_routes", "args": ["eth0"], "kw": {"routes": [{"ipaddr": "1.2.3.0"}]}}); C.append({"fn": "file.get_mode", "args": ["/etc/network/if-up.d/route-eth0"]}); C.append({"fn": "file.get_mode", "args": ["/etc/network/if-down.d/route-eth0"]}); C.append({"fn": "file.get_mode", "args": ["/etc/network/interfaces"]})
C.append({"fn": "ip.build_interface", "args": ["e1", "eth", True], "kw": {"proto": "dhcp"}}); C.append({"fn": "file.get_mode", "args": ["/etc/network/interfaces"]}); 
for k in (dict(enabled=True, hostname="server1.example.com", apply_hostname=True), dict(enabled=True, hostname="m1", apply_hostname=True), dict(enabled=True, apply_hostname=True), dict(hostname="q", enabled=True, apply_hostname=True, retain_settings=True)): st("system", "n", **k)
fn("network.mod_hostname", "new.example.com"); fn("network.mod_hostname", "m1"); fn("network.mod_hostname", "new"); fn("network.mod_hostname", ""); fn("network.mod_hostname", "new", files={"/etc/hosts": None}); fn("network.mod_hostname", "bad"); fn("network.mod_hostname", "n2", files={"/etc/hosts": "127.0.0.1 localhost\n::1 m1\n10.0.0.1 m1 m1.x other\n# m1\n"})
fn("ip.apply_network_settings", apply_hostname=True, hostname="h.x"); fn("ip.apply_network_settings", apply_hostname=True, hostname="h", require_reboot=True)
CASES = C
