import os
PROC = {"net/arp": "IP address       HW type     Flags       HW address            Mask     Device\n192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0\n",
        "net/tcp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 93611 1 0000000000000000 100 0 0 10 0\n   1: 020200C0:A2F4 014433C6:01BB 01 00000000:00000000 02:00000A6C 00000000  1000        0 93612 2 0000000000000000 20 4 30 10 -1\n   3: 020200C0:A2F5 014433C6:01BB 01 00000000:00000000 02:00000A6C 00000000  1000        0 93618 2 0000000000000000 20 4 30 10 -1\n   2: 020200C0:A2F6 014433C6:01BB 06 00000000:00000000 02:00000A6C 00000000  1000        0 0 2 0000000000000000 20 4 30 10 -1\n",
        "net/tcp6": "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 93613 1 0000000000000000 100 0 0 10 0\n   1: 00000000000000000000000001000000:0017 00000000000000000000000001000000:1000 01 00000000:00000000 00:00000000 00000000     0        0 93619 1 0000000000000000 100 0 0 10 0\n"}
NETSTAT = ("#!/bin/sh\ncat <<'E'\nActive Internet connections (servers and established)\n"
           "Proto Recv-Q Send-Q Local Address           Foreign Address         State       User       Inode      PID/Program name\n"
           "tcp        0      0 127.0.0.1:8080          0.0.0.0:*               LISTEN      0          93611      12/perl\n"
           "tcp        0      0 192.0.2.2:41716         198.51.68.1:443         ESTABLISHED 1000       93612      13/curl\n"
           "tcp        0      0 192.0.2.2:41718         198.51.68.1:443         TIME_WAIT   0          0          -\n"
           "tcp6       0      0 :::22                   :::*                    LISTEN      0          93613      14/sshd: /usr/sbin\n"
           "udp        0      0 0.0.0.0:68              0.0.0.0:*                           0          18000      800/dhclient\n"
           "udp6       0      0 :::5353                 :::*                                108        18001      801/avahi-daemon: r\n"
           "raw        0      0 0.0.0.0:1               0.0.0.0:*               7           0          18002      802/ping\n"
           "E\n")
OVERLAY = ["/usr/sbin"]
IN_SBIN = ["ethtool"]
IP = ("#!/bin/sh\ncase \"$*\" in\n*neigh*) cat <<'E'\n192.0.2.1 dev eth0 lladdr 02:fc:00:00:00:05 REACHABLE\n192.0.2.9 dev eth0  FAILED\n192.0.2.8 dev eth0 lladdr 02:fc:00:00:00:08 STALE\nfe80::1 dev eth0 lladdr 02:fc:00:00:00:05 router REACHABLE\n2001:db8::9 dev eth0 lladdr 02:fc:00:00:00:06 STALE\n2001:db8::7 dev eth0  FAILED\nE\n;; *) exit 0;; esac\n")
ETHTOOL = ("#!/bin/sh\ncase \"$*\" in *eth9*) echo 'Cannot get device ring settings: No such device' >&2; exit 75;; "
           "'-g '*) cat <<'E'\nRing parameters for $2:\nPre-set maximums:\nRX:\t\t4096\nRX Mini:\t0\nRX Jumbo:\t0\nTX:\t\t4096\nCurrent hardware settings:\nRX:\t\t256\nRX Mini:\t0\nRX Jumbo:\t0\nTX:\t\t512\n\nE\n;; *-G*) exit 0;; esac\n")
DIG = "#!/bin/sh\ncase \"$*\" in *nosuch*) echo ';; connection timed out' >&2; exit 9;; esac\necho ';; ANSWER SECTION:'; echo \"$1. 300 IN A 198.51.100.7\"; echo; echo ';; Query time: 3 msec'\n"
TRACE = ("#!/bin/sh\ncase \"$*\" in --version) echo 'Modern traceroute for Linux, version 2.1.2'; echo 'Copyright (c) 2016'; exit 0;; *nosuch*) echo 'nosuch: Name or service not known' >&2; exit 2;; esac\ncat <<'E'\n"
         "traceroute to example.org (93.184.216.34), 30 hops max, 60 byte packets\n 1  gw.example (192.0.2.1)  0.521 ms  0.501 ms  0.488 ms\n 2  * * *\n 3  a.net (198.51.100.1)  4.2 ms b.net (198.51.100.2)  5.1 ms  5.3 ms\n 4  198.51.100.9 (198.51.100.9)  9.1 ms !X * *\n 5  c.net (198.51.100.3)  1.1 ms  1.2 ms *\n 6  * d.net (198.51.100.4)  1.1 ms  1.2 ms\n 7  198.51.100.5 (198.51.100.5)  7.1 ms  7.2 ms  7.3 ms\nE\n")
FAKE = {"ip": IP, "ethtool": ETHTOOL, "dig": DIG, "arp": "#!/bin/sh\nprintf '? (192.0.2.1) at 02:fc:00:00:00:05 [ether] on eth0\\ngw (192.0.2.3) at <incomplete> on eth0\\n'\n", "traceroute": TRACE}
FAKE["netstat"] = NETSTAT
HIDE = ["netstat", "ss", "traceroute6"]
if os.environ.get("BARE"): FAKE = {}; HIDE += ["dig", "traceroute", "ethtool", "ip", "arp"]
C = []
def fn(f, *a, **k): C.append({"fn": "network." + f, "args": list(a), "kw": k})
fn("active_tcp"); fn("netstat"); fn("dig", "example.org"); fn("dig", "nosuch.invalid"); fn("dig", "-x 1;rm"); fn("ip_neighs6"); fn("ipneighs6"); fn("ip_neighs"); fn("ipneighs"); fn("arp")
fn("traceroute", "example.org"); fn("traceroute", "nosuch"); fn("get_bufsize", "eth0"); fn("get_bufsize", "eth9"); fn("mod_bufsize", "eth0"); fn("mod_bufsize", "eth0", rx=1024); fn("mod_bufsize", "eth0", "rx=1024"); fn("mod_bufsize", "eth0", **{"rx": 1024, "tx": 2048, "rx-mini": 1, "rx-jumbo": 2}); fn("mod_bufsize", "eth0", tx=5, rx=0); fn("mod_bufsize", "eth9", tx=1)
fn("mod_bufsize", "eth0", bogus=1); 
CASES = C
