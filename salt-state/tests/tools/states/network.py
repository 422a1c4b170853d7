import os
PROGRAMS = ["ifup", "ifdown", "modprobe", "hostname", "service", "systemctl"]
FAKE = {k: "#!/bin/sh\ncase \"$*\" in *bad*) echo \"$0: unknown interface bad\" >&2; exit 1;; esac\nexit 0\n" for k in PROGRAMS}
WATCH = ["/etc/network/interfaces", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/default/networking", "/etc/modprobe.d/bond0.conf", "/etc/network/if-up.d/route-eth0", "/etc/network/if-down.d/route-eth0", "/etc/dhcp/dhclient.conf"]
FILES = {"/etc/network/interfaces": "# interfaces\nauto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n", "/etc/hostname": "m1\n", "/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": "nameserver 1.1.1.1\n", "/etc/default/networking": "# Configuration\nCONFIGURE_INTERFACES=yes\n"}
FILES.update({p: None for p in WATCH if p not in FILES})
FILES["/etc/network/if-up.d/"] = ""; FILES["/etc/network/if-down.d/"] = ""; FILES["/etc/modprobe.d/"] = ""
FILES_IN_TEST = {"/etc/network/if-up.d/": "", "/etc/network/if-down.d/": "", "/etc/modprobe.d/": ""}
C = []
def fn(f, *a, **k): C.append({"fn": "ip." + f, "args": list(a), "kw": k, "reset": True})
def st(f, n, **k): C.append({"st": "network." + f, "args": [n], "kw": k, "reset": True})
fn("get_interface", "lo"); fn("get_interface", "eth0"); fn("get_interface", "nope"); fn("get_network_settings"); fn("get_routes", "eth0"); fn("get_bond", "bond0")
fn("up", "eth0", "eth"); fn("down", "eth0", "eth"); fn("up", "bad", "eth"); fn("up", "eth0", "slave"); fn("apply_network_settings"); fn("apply_network_settings", require_reboot=True)
ST = dict(proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", gateway="10.1.0.254", dns=["8.8.8.8", "8.8.4.4"])
for k in (dict(proto="dhcp"), ST, dict(proto="static", ipaddr="10.1.0.1/24"), dict(proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", mtu=9000, hwaddress="aa:bb:cc:dd:ee:ff"), dict(proto="manual"), dict(proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", enable_ipv6=True, ipv6proto="static", ipv6ipaddr="2001:db8::1", ipv6netmask=64, ipv6gateway="2001:db8::ff"), dict(proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", up_cmds=["echo a", "echo b"], pre_up_cmds=["echo p"], post_up_cmds=["echo q"], down_cmds=["echo d"]), dict(proto="dhcp", noifupdown=True), dict(proto="bogus"), dict(), dict(proto="static", ipaddr="10.1.0.1", ipaddrs=["10.1.0.2/24"]), dict(proto="loopback")):
    fn("build_interface", "eth1", "eth", True, test=True, **k); fn("build_interface", "eth1", "eth", False, **k)
    st("managed", "eth1", type="eth", **k); st("managed", "eth0", type="eth", **k)
st("managed", "eth1", type="eth", enabled=False, **ST); st("managed", "eth1", enabled=True, **ST); st("managed", "br0", type="bridge", proto="dhcp", bridge="br0", ports="eth0 eth1", stp="on", delay=0); st("managed", "eth0.10", type="vlan", **ST); st("managed", "bond0", type="bond", proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", mode="gre", slaves="eth2 eth3"); st("managed", "bond0", type="bond", proto="static", ipaddr="10.1.0.1", netmask="255.255.255.0", mode="active-backup", slaves="eth2 eth3", miimon=100); st("managed", "eth2", type="slave", master="bond0"); st("managed", "lo", type="eth", proto="loopback"); st("managed", "bad", type="eth", proto="dhcp"); st("managed", "eth1", type="eth", proto="dhcp", noifupdown=True)
R = [{"name": "secure_network", "ipaddr": "10.2.0.0", "netmask": "255.255.255.0", "gateway": "10.1.0.3"}, {"name": "HQ", "ipaddr": "10.100.0.0", "netmask": "255.255.0.0", "gateway": "10.1.0.10"}]
fn("build_routes", "eth0", routes=R); fn("build_routes", "eth0", routes=R, test=True)
st("routes", "eth0", routes=R); st("routes", "eth0"); st("routes", "eth0", routes=R[:1])
for k in (dict(enabled=True), dict(enabled=True, hostname="server1.example.com"), dict(enabled=True, hostname="server1.example.com", apply_hostname=True), dict(enabled=False), dict(enabled=True, hostname="server1", gateway="1.2.3.4", gatewaydev="eth0", require_reboot=True, nozeroconf=True), dict(enabled=True, dns=["8.8.8.8"], search="a.b", domain="x.y"), dict()):
    fn("build_network_settings", **k); st("system", "n", **k)
CASES = C
