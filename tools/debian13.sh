#!/usr/bin/env bash
# Runs `make demo` and `make test` on Debian 13 with Python 3.13, from nothing, in a root of its own.
#
#   tools/debian13.sh [FOLDER]        as root, with debootstrap; FOLDER is kept for the next time (default: build/debian13)
#
# The mirror is $DEBIAN_MIRROR, or the one that this system uses. What tells pip where its packages are (PIP_* variables,
# /etc/pip.conf, the user's pip.conf, certificates) holds inside, too. Only what is committed is tested.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(realpath -m "${1:-build/debian13}")
here=$PWD

mirror() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        echo "$DEBIAN_MIRROR"
    else
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
            grep -Eo '^(URIs:|deb)[^#]*https?://[^ ]+' | grep -v security | grep -Eo 'https?://[^ ]+' | head -1
    fi
}

if [ ! -e "$root/ready" ]; then
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates,libgomp1 trixie "$root" "$(mirror)"
    touch "$root/ready"
fi

rm -rf "$root/work" "$root/root/.config/pip"
git clone -q "$here" "$root/work"
for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" /etc/ssl/certs/ca-certificates.crt /etc/resolv.conf /etc/hosts \
    ${PIP_CERT:+"$PIP_CERT"}; do
    if [ -e "$file" ]; then
        place=${file/#$HOME\//\/root\/}
        mkdir -p "$root$(dirname "$place")"
        cp -L "$file" "$root$place"
    fi
done

mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
trap 'umount "$root/proc" "$root/dev"' EXIT
pip=()
while IFS= read -r line; do pip+=("$line"); done < <(env | grep -E '^(PIP_|https?_proxy=|HTTPS?_PROXY=|no_proxy=|NO_PROXY=)' || true)
chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "${pip[@]}" \
    sh -c 'cd /work && python3 --version && make demo && make test'
