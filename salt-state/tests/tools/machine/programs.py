import os
OVERLAY = ["/etc"]
WATCH = ["/etc/kind"]
PROC = {"1/mounts": "proc /proc proc rw,nosuid 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\n", "self": "-> 1"}
TMPFS = ["/srv"]
DIRECTORIES = ["/srv/jail/bin", "/srv/jail/dev", "/srv/jail/proc", "/srv/jail/sys", "/srv/bare"]
FAKE = {name: f"#!/bin/sh\n{what}\n" for name, what in {
    "bash": "case \"$*\" in *--version*) echo 'GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)'; echo 'Copyright (C) 2022 Free Software Foundation, Inc.';; *) exec /bin/bash \"$@\";; esac",
    "perl": "echo; echo 'This is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64-linux-gnu-thread-multi'",
    "php": "echo 'PHP 8.2.7 (cli) (built: Jun  9 2023 19:37:27) (NTS)'", "ruby": "echo 'ruby 3.1.2p20 (2022-04-12 revision 4386a26) [x86_64-linux-gnu]'",
    "zsh": "echo 'zsh 5.9 (x86_64-debian-linux-gnu)'", "python": "echo 'Python 3.11.2'", "npm": "case \"$*\" in --version) echo 9.2.0;; *bad*) echo 'npm ERR! no' >&2; exit 1;; *'get cache'*) echo /root/.npm;; *'cache ls'*|*'cache list'*) echo a; echo b;; *) echo cleaned;; esac",
    "mount": "exit 0", "umount": "exit 0", "chroot": "case \"$*\" in *failing*) echo no >&2; exit 3;; esac; echo \"in: $*\"", "lsof": "echo",
    "systemd-firstboot": "case \"$*\" in *bad*) echo 'Failed' >&2; exit 1;; esac", "systemctl": "case \"$*\" in 'show ssh.service') printf 'ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D ; ignore_errors=no }\\n';; *list-unit-files*) printf 'ssh.service enabled enabled\\ncron.service disabled enabled\\n';; *'show '*) printf 'Id=x\\nExecStart={ path=/usr/sbin/cron ; argv[]=/usr/sbin/cron -f ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\\n';; *) exit 0;; esac"}.items()}
C = []
def fn(f, *a, **k): C.append({"fn": f, "args": list(a), "kw": k})
for s in ("bash", "perl", "php", "ruby", "zsh", "python", "powershell", "cmd", "fish", ""): fn("cmd.shell_info", s)
fn("cmd.shell_info", "bash", True)
fn("cmd.run_chroot", "/srv/jail", "ls -l"); fn("cmd.run_chroot", "/srv/jail", "failing"); fn("cmd.run_chroot", "/srv/jail", "echo a b", shell="/bin/sh"); fn("cmd.run_chroot", "/srv/jail", "ls", binds=["/srv/bare"]); fn("cmd.run_chroot", "/srv/nope", "ls"); fn("cmd.run_chroot", "/srv/jail", ["ls", "-l"]); fn("cmd.run_chroot", "/srv/jail", "pwd", cwd="/tmp"); fn("cmd.run_chroot", "/srv/jail", "pwd", runas="nobody"); fn("cmd.run_chroot", "/srv/jail", "x", env={"A": "b"}); fn("cmd.run_chroot", "/srv/jail", "x", group="nogroup")
fn("npm.cache_path"); fn("npm.cache_list"); fn("npm.cache_list", "pkg"); fn("npm.cache_list", "bad"); fn("npm.cache_clean"); fn("npm.cache_clean", "pkg"); fn("npm.cache_clean", "bad"); fn("npm.cache_clean", force=True); fn("npm.cache_clean", "pkg", force=True)
fn("service.firstboot"); fn("service.firstboot", locale="en_US.UTF-8", keymap="jp"); fn("service.firstboot", "C", "de_DE", "us", "UTC", "host", "0123", "/srv/jail"); fn("service.firstboot", "bad")
fn("test.deprecation_warning"); fn("status.proxy_reconnect", "x")
CASES = C
