import struct
def session(kind, user, line, host, at, pid):
    return struct.pack("<hxxi32s4s32s256shhiii4i20x", kind, pid, line, b"1", user, host, 0, 0, 0, at, 0, 0, 0, 0, 0)
TMPFS = ["/run", "/srv"]
DIRECTORIES = ["/srv/a b", "/srv/b"]
FILES = {"/run/utmp": session(2, b"reboot", b"~", b"6.1", 1699990000, 0) + session(7, b"root", b"tty1", b"", 1700000000, 77) + session(7, b"alice", b"pts/0", b"192.0.2.9", 1700000100, 78) + session(8, b"", b"pts/1", b"", 1700000200, 79)}
PERL = "use IO::Socket::INET; my $s=IO::Socket::INET->new(Listen=>1,LocalAddr=>'127.0.0.1',LocalPort=>8080); my $c=IO::Socket::INET->new(PeerAddr=>'127.0.0.1',PeerPort=>8080); my $a=$s->accept; open(F,'<','/etc/passwd'); sleep 1005"
PROCESSES = [["sleep", "1000"], ["sh", "-c", "sleep 1001; :"], {"argv": ["sleep", "1002"], "uid": 65534, "cwd": "/tmp"},
             {"argv": ["sleep", "1003"], "uid": 4000, "nice": 5}, ["perl", "-e", PERL]]
ZOMBIE = True
SYS = ["sda", "sr0", "dm-0"]
PROC = {"diskstats": "   8       0 sda 100 5 2048 300 50 6 1024 150 0 400 450 0 0 0 0 7 8\n   8       1 sda1 90 5 2000 290 40 6 1000 140 0 390 430 0 0 0 0\n  11       0 sr0 1 2 3 4 5 6 7 8 9 10 11\n 253       0 dm-0 7 0 56 4 9 0 72 8 0 12 12\n",
        "1/mounts": "proc /proc proc rw,nosuid 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/sdb1 /srv/a\\040b xfs ro,noatime 0 0\nnfs:/x /mnt nfs4 rw 0 0\n",
        "filesystems": "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\n\text4\n\txfs\nnodev\tnfs4\nnodev\tzfs\n",
        "net/dev": "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: 1000 10 0 0 0 0 0 0 1000 10 0 0 0 0 0 0\n  eth0: 123456 789 1 2 0 0 0 3 654321 987 4 5 0 0 0 0\n"}
for at, letter in enumerate("DTtXKWIPY"):
    PROC[f"{500 + at}/stat"] = f"{500 + at} (odd {letter}) {letter} 2 0 0 0 -1 69238880 0 0 0 0 3 4 5 6 20 0 1 0 {100 + at} 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 0 0 0 7 0 0 0 0 0 0 0 0 0 0"
    PROC[f"{500 + at}/status"] = "Name:\todd\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t1\n"
    PROC[f"{500 + at}/statm"] = "0 0 0 0 0 0 0\n"; PROC[f"{500 + at}/cmdline"] = ""; PROC[f"{500 + at}/fd/"] = ""
PROC["600/stat"] = "600 (a-very-long-nam) S 2 0 0 0 -1 69238880 0 0 0 0 300 4 5 6 20 0 1 0 100 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 0 0 0 7 0 0 0 0 0 0 0 0 0 0"
PROC["600/status"] = PROC["500/status"]; PROC["600/statm"] = "5 4 3 2 0 1 0\n"; PROC["600/cmdline"] = "/usr/bin/a-very-long-name-of-a-program\0--x\0\0y z\0"; PROC["600/fd/"] = ""
PROC["601/stat"] = PROC["600/stat"].replace("600 (a-very-long-nam)", "601 (title)"); PROC["601/status"] = PROC["500/status"]; PROC["601/statm"] = "5 4 3 2 0 1 0\n"; PROC["601/cmdline"] = "title: a process with blanks "; PROC["601/fd/"] = ""
FAKE = {"ps": "#!/bin/sh\ncat <<E\nUSER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\nroot           1  0.0  0.1 167000 11000 ?        Ss   10:00   0:01 /sbin/init\nroot          20  0.0  0.1 167000 11000 ?        S    10:00   0:00 sleep 1000\nnobody        21  0.0  0.1 167000 11000 ?        S    10:00   0:00 sleep 1002\nwww-data     300  0.1  0.1 167000 11000 ?        S    10:00   0:00 /usr/sbin/apache2 -k start\nE\n",
        "lsof": "#!/bin/sh\necho \"COMMAND PID USER FD\"; echo \"sleep $2 root cwd DIR\"\n",
        "netstat": "#!/bin/sh\nprintf 'Active Internet connections (servers and established)\\nProto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    \\ntcp        0      0 127.0.0.1:8080          0.0.0.0:*               LISTEN      300/perl            \\ntcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN      12/sshd             \\n'\n",
        "ss": "#!/bin/sh\nprintf 'Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\\ntcp LISTEN 0 1 127.0.0.1:8080 0.0.0.0:* users:((\"perl\",pid=300,fd=3))\\ntcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=12,fd=3))\\n'\n"}
FIRST = 8
C = []
def fn(f, *a, **k): C.append({"fn": "ps." + f, "args": list(a), "kw": k})
fn("boot_time"); fn("boot_time", "%Y-%m-%d %H:%M"); fn("boot_time", time_format="%c"); fn("boot_time", 5)
fn("cpu_percent"); fn("cpu_percent", 0.2, True); fn("cpu_percent", "x"); fn("cpu_percent", -1); fn("cpu_times"); fn("cpu_times", True)
fn("disk_io_counters"); fn("disk_io_counters", "sda"); fn("disk_io_counters", device="sda1"); fn("disk_io_counters", "nope")
fn("disk_partitions"); fn("disk_partitions", True); fn("disk_partition_usage"); fn("disk_usage", "/"); fn("disk_usage", "/nope"); fn("disk_usage", "")
fn("get_pid_list"); fn("get_users"); fn("num_cpus"); fn("total_physical_memory"); fn("virtual_memory"); fn("swap_memory")
fn("network_io_counters"); fn("network_io_counters", "eth0"); fn("network_io_counters", interface="nope")
for p in ("sleep", "slee", "nothing", "sl.*p", "100", "perl", "ps"): fn("pgrep", p); fn("pgrep", p, full=True)
fn("pgrep", "sleep", "nobody"); fn("pgrep", "sleep", user="root"); fn("pgrep", "sleep", "nouser"); fn("pgrep", "sl.*p", pattern_is_regex=True); fn("pgrep", "^leep", pattern_is_regex=True); fn("pgrep", "leep", pattern_is_regex=True); fn("pgrep", "sl.*1002", full=True, pattern_is_regex=True); fn("pgrep", "(", pattern_is_regex=True); fn("pgrep", 1000, full=True); fn("pgrep", ""); fn("pgrep", "sleep", user="4000"); fn("pgrep", "sleep", user=65534)
fn("pkill", "sleep"); fn("pkill", "sleep", "nobody", 9); fn("pkill", "nothing"); fn("pkill", "1001", full=True, signal=1); fn("pkill", "sleep", signal="x"); fn("pkill", "sleep", user="nouser")
fn("kill_pid", 99999); fn("kill_pid", "x"); fn("kill_pid", -1)
for s in ("running", "sleeping", "disk_sleep", "stopped", "tracing_stop", "zombie", "dead", "wake_kill", "waking", "parked", "idle", "locked", "bogus", "RUNNING", ""): fn("status", s)
fn("top"); fn("top", 2, 0.1); fn("top", num_processes=1, interval=0); fn("top", "x")
fn("lsof", "sleep"); fn("lsof", "nothing"); fn("netstat", "perl"); fn("netstat", "nothing"); fn("netstat", "p.rl"); fn("ss", "p.rl"); fn("ss", "perl"); fn("ss", "nothing"); fn("psaux", "sleep"); fn("psaux", "www-data.+apache2"); fn("psaux", "nothing"); fn("psaux", "(")
fn("proc_info", 99999); fn("proc_info", "x")
ALL = ["cmdline", "cpu_affinity", "cpu_num", "cpu_percent", "cpu_times", "create_time", "cwd", "environ", "exe", "gids", "io_counters", "ionice", "memory_full_info", "memory_info", "memory_maps", "memory_percent", "name", "net_connections", "nice", "num_ctx_switches", "num_fds", "num_threads", "open_files", "pid", "ppid", "status", "terminal", "threads", "uids", "username"]
LIST = ["sleep", "sh", "sleep", "sleep", "sleep", "perl", "zombie"]
for at, name in enumerate(LIST):
    # The first process that is started; the recorder runs programs of its own before.
    fn("proc_info", FIRST + at)
for at in (0, 3, 5, 6):
    for attr in ALL: fn("proc_info", FIRST + at, [attr])
for p in (500, 600, 601): fn("proc_info", p, ["name", "cmdline", "status", "username", "cpu_times", "create_time", "memory_info", "num_fds", "exe", "cwd", "terminal"])
fn("pgrep", "a-very-long-name-of"); fn("pgrep", "odd"); fn("pgrep", "process with", full=True); fn("pgrep", "title", full=True); fn("top", 50)
for s in ("disk-sleep", "disk_sleep", "tracing-stop", "wake-kill"): fn("status", s)
fn("proc_info", FIRST, ["pid", "name"]); fn("proc_info", FIRST, attrs=["name", "bogus"]); fn("proc_info", FIRST, attrs="name"); fn("proc_info", FIRST, attrs=[]); fn("proc_info", FIRST, ["connections"]); fn("proc_info", str(FIRST)); fn("proc_info", FIRST, 5); fn("proc_info", -1)
fn("kill_pid", FIRST); fn("kill_pid", FIRST, 9); fn("kill_pid", FIRST, "x"); fn("kill_pid", str(FIRST)); fn("kill_pid", FIRST, signal=0)
CASES = C
