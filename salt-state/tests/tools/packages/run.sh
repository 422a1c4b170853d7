#!/bin/sh
# Compares package states with Salt's in a Debian root of their own, with a repository of its own:
#
#     run.sh SALT-VENV SALT-CALL DIRECTORY
#
# SALT-VENV has bin/python with Salt 3008.3, SALT-CALL is ours, DIRECTORY gets the roots (about 600 MB). Needs root,
# debootstrap, unshare, dpkg-dev, curl and a Python whose directory can be mounted into the roots. Nothing outside
# DIRECTORY is changed.
set -e
HERE=$(dirname "$(readlink -f "$0")")
VENV=$(readlink -f "$1") CALL=$(readlink -f "$2") W=$(mkdir -p "$3" && readlink -f "$3")
PYTHON=$(readlink -f "$VENV/bin/python") HOME_OF_PYTHON=$(dirname "$(dirname "$(readlink -f "$VENV/bin/python")")")

python3 "$HERE/debs.py" "$W"
cp "$HERE"/keys/* "$W/tree/"
(cd "$W/repo" && dpkg-scanpackages -m . > Packages)
test -d "$W/base" || debootstrap --variant=minbase --include=gpg,gpg-agent,dirmngr,ca-certificates,apt-utils bookworm "$W/base"
B=$W/base
mkdir -p "$B/srv/etc" "$B/srv/tree" "$B/srv/repo" "$B/srv/shim" "$B/etc/apt/keyrings" "$B$VENV" "$B$HOME_OF_PYTHON"
cp "$W"/repo/* "$B/srv/repo/"; cp "$W"/tree/* "$B/srv/tree/"; cp "$HERE/record.py" "$B/srv/"; cp "$HERE/cases.json" "$B/srv/"
for n in dpkg dpkg-query dpkg-deb apt-get apt-cache apt-mark apt-key apt-config gpg checkrestart; do
    sed "s|@PYTHON@|$PYTHON|" "$HERE/shim.py" > "$B/srv/shim/$n"; chmod 755 "$B/srv/shim/$n"
done
cat > "$B/srv/etc/minion" <<X
id: bench
file_client: local
local: true
root_dir: /
cachedir: /srv/cache
pki_dir: /srv/pki
sock_dir: /srv/sock
log_file: /srv/log
log_level: error
file_roots: {base: [/srv/tree]}
grains: {virtual: physical}
enable_fqdns_grains: false
X
echo 'deb [trusted=yes] file:/srv/repo ./' > "$B/srv/sources.list"; cp "$B/srv/sources.list" "$B/etc/apt/sources.list"

for side in salt ours; do
    R=$W/$side
    rm -rf "$R"; cp -a "$B" "$R"
    if [ $side = ours ]; then
        cp "$CALL" "$R/srv/salt-call"
        # Ours fetches with curl.
        for f in $(ldd /usr/bin/curl | grep -o '/[^ ]*'); do test -e "$R$f" || { mkdir -p "$R$(dirname "$f")"; cp -L "$f" "$R$f"; }; done
        cp /usr/bin/curl "$R/usr/bin/"
    fi
    unshare --mount --uts --ipc --pid --net --fork --kill-child sh -ec '
        R=$1 VENV=$2 HOME_OF_PYTHON=$3; shift 3
        mount -t proc proc "$R/proc"; mount -t tmpfs tmp "$R/tmp"; mount --bind /dev "$R/dev"
        for d in "$VENV" "$HOME_OF_PYTHON"; do mount --bind "$d" "$R$d"; mount -o remount,bind,ro "$R$d"; done
        hostname bench
        exec chroot "$R" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb PYTHONDONTWRITEBYTECODE=1 \
            PYTHONWARNINGS=ignore DEBIAN_FRONTEND=noninteractive "$@"
    ' sh "$R" "$VENV" "$HOME_OF_PYTHON" "$VENV/bin/python" /srv/record.py $side /srv/cases.json /srv/out.json
    cp "$R/srv/out.json" "$W/$side.json"
done
python3 "$HERE/compare.py" "$HERE/cases.json" "$W/salt.json" "$W/ours.json"
