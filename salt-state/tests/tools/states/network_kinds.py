PROGRAMS = ["modprobe"]
FAKE = {"modprobe": "#!/bin/sh\nexit 0\n"}
WATCH = ["/etc/network/interfaces", "/etc/modprobe.d/bond0.conf"]
FILES = {"/etc/network/interfaces": "auto lo\niface lo inet loopback\n", "/etc/modprobe.d/bond0.conf": None}
GRAINS = {"osfullname": "Debian"}
C = []
def fn(f, *a, **k): C.append({"fn": "ip." + f, "args": list(a), "kw": dict(k, test=True)})
S = dict(proto="static", ipaddr="10.1.0.1")
for k in (dict(speed="100"), dict(speed="7"), dict(speed=7), dict(duplex="half"), dict(autoneg=1), dict(autoneg="True"), dict(autoneg=False), dict(gro=0), dict(lro="yes"), {"ethernet-port": "x", "link-speed": "10"}, dict(server="1.2.3.4"), dict(mode="gre"), dict(media="x"), dict(hotplug=False), dict(remote="1.2.3.4"), {"wireless-mode": "managed"}, {"bond-master": "bond0"}, {"bond_master": "x"}, {"bridge_stp": "on"}):
    fn("build_interface", "e1", "eth", True, **{**S, **k})
for k in (dict(fd="2"), dict(delay="3"), dict(ageing="1", hello="3", maxage="4", maxwait="5", bridgeprio="6", waitport="7", gcint="8"), dict(maxage="x"), dict(stp=True), dict(stp="yes"), dict(vlan_aware="yes"), dict(pathcost=["eth0 1", "eth1 2"]), dict(hw="zz"), dict(bypassfirewall="yes"), dict(priority="5")):
    fn("build_interface", "br0", "bridge", True, proto="dhcp", ports="eth0", **k)
for m in ("0", "1", "2", "4", "5"):
    for k in (dict(arp_ip_target=["1.2.3.4"]), dict(arp_ip_target=["1.2.3.4", "1.2.3.5"], arp_interval="300"), dict(arp_ip_target=["1.2.3.4"], arp_interval=300), dict(arp_ip_target=["1.2.3.4"], arp_interval="x"), dict(arp_ip_target=[]), dict(arp_ip_target=["1.2.3.4"], miimon="50", downdelay="300", updelay="9"), {"arp_ip_target": ["1.2.3.4"], "hashing-algorithm": "layer3+4", "primary": "eth9", "max_bonds": "1", "lacp_rate": "fast", "ad_select": "1"}, {"arp_ip_target": ["1.2.3.4"], "hashing-algorithm": "bogus"}, dict(arp_ip_target=["1"] * 17), dict(arp_ip_target=["1.2.3.4"], primary="e1", use_carrier="no"), dict(arp_ip_target=["1.2.3.4"], primary=3)):
        fn("build_bond", "bond0", mode=m, slaves="eth2", **k); fn("build_interface", "bond0", "bond", True, mode=m, slaves="eth2", proto="dhcp", **k)
fn("build_interface", "vlan10", "vlan", True, vlan_raw_device="eth0", **S); fn("build_interface", "vlan10", "vlan", True, **{**S, "vlan-raw-device": "eth0"}); fn("build_interface", "eth0.5.6", "vlan", True, **S); fn("build_interface", "e0", "alias", True, **S); fn("build_interface", "e0", "clone", True, **S); fn("build_interface", "e0", "ipsec", True, **S); fn("build_interface", "e0", "dialup", True, **S); fn("build_interface", "E0", "ETH", True, **S); fn("build_interface", "E0", "SLAVE", True, master="x"); fn("build_interface", "e0", "source", True, sources=["/etc/network/interfaces.d/*"]); fn("build_interface", "source", "source", True, sources=["/etc/network/interfaces.d/*"]); fn("build_interface", "e0", "eth", "no", **S); fn("build_interface", "e0", "eth", None, **S)
C += [{"fn": "ip.get_interface", "args": [n], "files": {"/etc/network/interfaces": "source /a/*\nsource-directory /b\nauto e0\niface e0 inet dhcp\n"}} for n in ("source", "e0", "/a/*")]
CASES = [dict(c, reset=True) for c in C]
