#!/usr/bin/env bash
# The demo and the tests on Python 3.13 with the newest CASA.
#
#   tests/python313.sh [install | demo | test [PYTEST_ARGUMENT ...]]
#
# Without arguments: all three, the tests being those that are not end to end. Needs Linux x86_64, root and
# debootstrap (Debian: apt-get install debootstrap), which makes a root file system of Debian's suite trixie, whose
# Python is 3.13, in .python313/ (5 GB). DEBIAN_MIRROR names a mirror other than Debian's own; what pip needs here
# (proxy, certificates, index) is taken over. What was made is used again; `rm -r .python313` begins anew.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$PWD/.python313
root=$base/root

if [ "$(id -u)" != 0 ]; then
    echo "error: debootstrap and chroot need root: run this with sudo" >&2
    exit 1
fi
if [ -z "${VLASSCUBE_OWN_MOUNTS:-}" ]; then
    # Mounts in a namespace of its own end with this script, however it ends.
    exec env VLASSCUBE_OWN_MOUNTS=1 unshare --mount --propagation private "$0" "$@"
fi

make_root() {
    if [ ! -e "$base/made" ]; then
        command -v debootstrap >/dev/null || {
            echo "error: no debootstrap (Debian: apt-get install debootstrap)" >&2
            exit 1
        }
        echo "== Making a root file system of Debian trixie in $root"
        rm -rf "$root"
        mkdir -p "$root"
        debootstrap --variant=minbase \
            --include=ca-certificates,fitsverify,g++,git,make,openmpi-bin,python3-dev,python3-venv \
            trixie "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$base/debootstrap.log"
        touch "$base/made"
    fi
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
        [ ! -e "$file" ] || cp -L "$file" "$root$file"
    done
    rm -rf "$root/etc/ssl/certs"
    cp -rL /etc/ssl/certs "$root/etc/ssl/certs"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
}

# Folders of packages on this machine are not in the root file system.
inside() {
    chroot "$root" /usr/bin/env -u PIP_FIND_LINKS -u PIP_CONSTRAINT -u PYTHONPATH HOME=/root LANG=C.UTF-8 \
        PATH=/build/venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$@"
}

install() {
    echo "== Installing vlasscube and the newest CASA"
    rm -rf "$root/build/vlasscube"
    mkdir -p "$root/build/vlasscube"
    git ls-files -z --cached --others --exclude-standard |
        tar --create --null --files-from=- --ignore-failed-read |
        tar --extract --directory="$root/build/vlasscube"
    [ -x "$root/build/venv/bin/python" ] || inside python3 -m venv /build/venv
    inside python -m pip install --quiet --upgrade pip
    inside python -m pip install --quiet --upgrade --upgrade-strategy eager '/build/vlasscube[dev]'
    inside python --version
    inside python -m pip list | grep -E '^(astropy|casa|numpy|python-casacore|scipy|vlasscube)'
}

demo() {
    echo "== Running the demo"
    rm -rf "$root/build/demo"
    time inside vlasscube demo /build/demo
    inside vlasscube verify /build/demo
}

run_tests() {
    echo "== Running the tests"
    inside bash -c 'cd /build/vlasscube && exec python -m pytest "$@"' pytest "$@"
}

make_root
case "${1:-all}" in
    install) install ;;
    demo) demo ;;
    test) run_tests "${@:2}" ;;
    all)
        install
        demo
        run_tests -m "not endtoend"
        ;;
    *)
        echo "error: install, demo or test, not $1" >&2
        exit 2
        ;;
esac
