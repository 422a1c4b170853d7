PROGRAMS = ["npm"]
# What npm keeps is a file here; `bad` cannot be listed, `stuck` not be removed.
FAKE = {"npm": "#!/bin/sh\ncase \"$*\" in\n--version) echo 9.2.0;;\n*bad*) echo 'npm ERR! no' >&2; exit 1;;\n'cache clean'*stuck*) echo 'npm ERR! busy' >&2; exit 1;;\n'cache clean'*) if grep -q locked /srv/kept; then echo 'npm ERR! busy' >&2; exit 1; fi; : > /srv/kept; echo cleaned;;\n'cache ls'*) if grep -q broken /srv/kept; then echo 'npm ERR! no' >&2; exit 1; fi; cat /srv/kept;;\n*'get cache'*) echo /root/.npm;;\nesac\n"}
WATCH = ["/srv/kept"]
KEPT = "/root/.npm/coffee/1.0.0\n/root/.npm/stuck/1.0.0\n"
FILES = {"/srv/kept": KEPT}
C = []
def st(*n, **k):
    files = k.pop("files", {"/srv/kept": KEPT})
    C.append({"st": "npm.cache_cleaned", "args": list(n), "kw": k, "files": files, "reset": True})
for how in ({}, {"force": True}):
    for n in (["coffee"], ["stuck"], ["bad"], ["nope"], ["npm-cache"]): st(*n, **how)
st("coffee", files={"/srv/kept": ""}); st("coffee", files={"/srv/kept": "/root/.npm\n"})
st("coffee", user="root"); st("coffee", user="nobody-there")
# Without a name of its own: everything.
st(name=None); st(name=None, force=True); st(name="", force=True); st(name=None, files={"/srv/kept": ""})
st(name="/root/.npm/coffee/1.0.0"); st(name="1.0.0")
for text in ("locked\n", "broken\n"): st(name=None, files={"/srv/kept": text}); st(name="", files={"/srv/kept": text})
st(name=None, user="nobody-there"); st("x", user="root", files={"/srv/kept": "/x/\n//x/"})
st("@a/b", files={"/srv/kept": "//@a/b/\n"})
CASES = C
# Salt takes the first letter of the list for the place of the cache, and looks for that, the name and slashes in the list.
for text in ("//coffee/1.0.0/\n", "/root//coffee/\n", "/root/.npm\n/coffee/\n", "x/coffee/\n", "x\nx/coffee/\n", "x\nx/coffee\n", "//coffee\n", "//coffee", "/ //coffee /"):
    for how in ({}, {"force": True}): st("coffee", files={"/srv/kept": text}, **how)
for text in ("//stuck/1.0.0/\n", "x/stuck/\n"):
    for how in ({}, {"force": True}): st("stuck", files={"/srv/kept": text}, **how)
for n in ("", "c"): st(name=n, files={"/srv/kept": "//c/\n"})
for text in ("locked\n", "broken\n"): st(name=None, files={"/srv/kept": text}); st(name="", files={"/srv/kept": text})
st(name=None, user="nobody-there"); st("x", user="root", files={"/srv/kept": "/x/\n//x/"})
st("@a/b", files={"/srv/kept": "//@a/b/\n"})
CASES = C
