"""Records what Salt's grains are on prepared machines.

    <python that has Salt> record_grains.py [--calls] [--missing] [--only NAME] VECTORS.json...

Runs as root on Linux. A vector file holds

    salt    the release whose answers are the ones to follow
    keep    the grains whose values are kept, patterns as in a shell
    cases   name, and what is on that machine:
            files        path -> text (or {"latin1": text} for bytes)
            directories  paths
            links        path -> target
            programs     name -> what it answers: {"stdout", "retcode"}, or a mapping from
                         its arguments in one line to that
            env          the environment
            kernel       name, node, release, version, machine of uname(2)
            network      lines for `ip -batch`
            config       the minion's configuration
            tables       the kernel's routes after that (filled in)

The tool fills in `grains`, or `differs: {release: grains}` (what differs there, null for a
grain that is missing there) when it runs with another release than `salt`. Each case runs
in a mount, network and UTS namespace of its own, whose root has an empty /etc, /sys, /run
and /proc but for what the case says, and no program but its own. Salt is only asked,
through its documented Python client API (salt.config.minion_config, salt.loader.grains).
"""

import ctypes
import fnmatch
import json
import logging
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import salt.config
import salt.loader
import salt.version

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x20000, 0x4000000, 0x40000000
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE, MS_REMOUNT = 1, 4096, 16384, 1 << 18, 32

PLAIN = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "/etc/group": "root:x:0:\n",
    "/etc/nsswitch.conf": "hosts: files\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    "/proc/meminfo": "MemTotal: 0 kB\nMemFree: 0 kB\nBuffers: 0 kB\nCached: 0 kB\n",
}
# On Debian's family Salt fails without dpkg, on Xen without dmesg; it asks which(1) for some programs.
PROGRAMS = {
    "dpkg": {"--print-architecture": {"stdout": "amd64\n"}},
    "dmesg": {},
    "which": '#!/bin/sh\ncommand -v "$1"\n',
}
KERNEL = {
    "name": "Linux",
    "node": "host",
    "release": "6.1.0-18-amd64",
    "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
    "machine": "x86_64",
}
NEEDED = ["/usr/lib64", "/dev", "/usr/bin/dash", "/sbin/ldconfig", "/etc/ld.so.cache"]
FRESH = """
import json, salt.config, salt.loader
grains = salt.loader.grains(salt.config.minion_config("/tmp/minion"))
print(json.dumps(grains, default=str))
"""
# What the interpreter itself needs of /proc.
OF_PROC = ["self", "thread-self", "mounts", "net", "sys", "stat", "filesystems", "uptime"]


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source, target, kind=None, flags=0):
    kind = kind and kind.encode()
    checked(LIBC.mount(str(source).encode(), str(target).encode(), kind, flags, None))


def bind(source, target):
    if os.path.isdir(source):
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, flags=MS_BIND | MS_REC)


def below(root, path):
    return root / path.lstrip("/")


def write(root, path, text, mode=0o644):
    target = below(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = text["latin1"].encode("latin1") if isinstance(text, dict) else text.encode()
    target.write_bytes(data)
    target.chmod(mode)


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def script(answers):
    lines = ["#!/bin/sh", 'echo "${0##*/} $*" >> /.calls']

    def say(answer):
        return "printf %%s %s; exit %d" % (
            quoted(answer.get("stdout", "")),
            answer.get("retcode", 0),
        )

    if not answers or set(answers) <= {"stdout", "retcode"}:
        lines.append(say(answers))
    else:
        lines.append('case "$*" in')
        for arguments, answer in answers.items():
            lines.append("%s) %s ;;" % (quoted(arguments), say(answer)))
        lines.append("esac; exit 2")
    return "\n".join(lines) + "\n"


def build(root, case):
    mount("none", root, "tmpfs")
    for path in ("etc", "proc", "sys", "run", "tmp", "var/cache", "usr/bin", "usr/sbin", "root"):
        below(root, path).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        below(root, name).symlink_to("usr/" + name)
    prefixes = {sys.prefix, sys.base_prefix, "/usr/lib/locale", "/usr/share/zoneinfo"}
    libraries = [str(path) for path in pathlib.Path("/usr/lib").glob("*-linux-gnu")]
    for path in sorted(prefixes) + libraries + NEEDED:
        if os.path.exists(path):
            bind(path, below(root, path))
    below(root, "usr/bin/sh").symlink_to("dash")
    bind("/proc", below(root, ".proc"))
    given = {**PLAIN, **case.get("files", {})}
    for name in OF_PROC:
        if not any(path.startswith(f"/proc/{name}") for path in given):
            below(root, f"proc/{name}").symlink_to(f"/.proc/{name}")
    for path, text in given.items():
        if text is not None:
            write(root, path, text)
    for path in case.get("directories", []):
        below(root, path).mkdir(parents=True, exist_ok=True)
    for path, target in case.get("links", {}).items():
        below(root, path).parent.mkdir(parents=True, exist_ok=True)
        below(root, path).symlink_to(target)
    for name, answers in {**PROGRAMS, **case.get("programs", {})}.items():
        path = name if "/" in name else f"/usr/bin/{name}"
        write(root, path, answers if isinstance(answers, str) else script(answers), 0o755)


def gathered(case, root):
    """The grains, in a process that is done afterwards."""
    checked(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET))
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    kernel = {**KERNEL, **case.get("kernel", {})}
    node = kernel["node"].encode()
    checked(LIBC.sethostname(node, len(node)))
    if case.get("network"):
        lines = "\n".join(case["network"]).encode()
        subprocess.run(["ip", "-batch", "-"], input=lines, check=True)
    build(root, case)
    if case.get("network"):
        bind(shutil.which("ip"), below(root, "/usr/sbin/ip"))
    os.chroot(root)
    os.chdir("/root")
    os.environ.clear()
    os.environ.update({"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", **case.get("env", {})})
    order = ("name", "node", "release", "version", "machine")
    os.uname = lambda: os.uname_result(tuple(kernel[key] for key in order))
    platform._uname_cache = None
    config = {"id": "tester", "file_client": "local", "root_dir": "/tmp/salt"}
    config.update(case.get("config", {}))
    write(pathlib.Path("/"), "/tmp/minion", json.dumps(config))
    if any(name.startswith(("LC_", "LANG")) for name in case.get("env", {})):
        # An interpreter looks at these when it starts.
        words = [sys.executable, "-c", FRESH]
        grains = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    else:
        grains = salt.loader.grains(salt.config.minion_config("/tmp/minion"))
    calls = pathlib.Path("/.calls")
    if case.get("network"):
        tables = ("/proc/net/route", "/proc/net/ipv6_route")
        case["tables"] = {path: pathlib.Path(path).read_text() for path in tables}
    return {"tables": case.get("tables"), "grains": grains, "calls": calls.read_text() if calls.exists() else ""}


def asked(case):
    root = pathlib.Path(tempfile.mkdtemp(prefix="grains-"))
    read, wrote = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            with open(wrote, "w", encoding="utf-8") as out:
                out.write(json.dumps(gathered(case, root), default=str))
        except BaseException as error:  # its text only: no line of Salt's source
            print(f"{case['name']}: {type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(wrote)
    with open(read, encoding="utf-8") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    root.rmdir()
    if status != 0 or not text:
        return None
    return json.loads(text)


def text_of(vectors):
    """One case a line."""
    cases = vectors.pop("cases")
    head = json.dumps(vectors, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    vectors["cases"] = cases
    return f'{head},\n "cases": [\n{lines}\n]\n}}\n'


def main(arguments):
    show, missing = "--calls" in arguments, "--missing" in arguments
    arguments = [word for word in arguments if word not in ("--calls", "--missing")]
    only = None
    if "--only" in arguments:
        at = arguments.index("--only")
        only = arguments[at + 1]
        del arguments[at : at + 2]
    logging.disable(logging.CRITICAL)
    release = str(salt.version.__version__)
    for name in arguments:
        path = pathlib.Path(name)
        vectors = json.loads(path.read_text())
        for case in vectors["cases"]:
            if only and not fnmatch.fnmatch(case["name"], only):
                continue
            if missing and "grains" in case:
                continue
            answer = asked(case)
            if answer is None:
                case.pop("grains", None)
                continue
            if answer["tables"] and release == vectors["salt"]:
                case["tables"] = answer["tables"]
            if show:
                print(case["name"], answer["calls"], sep="\n")
            keep = case.get("keep", vectors["keep"])
            grains = {
                key: value
                for key, value in answer["grains"].items()
                if any(fnmatch.fnmatch(key, pattern) for pattern in keep)
            }
            if release == vectors["salt"]:
                case["grains"] = grains
                continue
            ours = case["grains"]
            differs = {
                key: grains.get(key)
                for key in [*ours, *(key for key in grains if key not in ours)]
                if ours.get(key) != grains.get(key)
            }
            others = case.setdefault("differs", {})
            others.pop(release, None)
            if differs:
                others[release] = differs
            if not others:
                del case["differs"]
        path.write_text(text_of(vectors))
        print(f"{path}: {len(vectors['cases'])} cases with Salt {release}")


if __name__ == "__main__":
    main(sys.argv[1:])
