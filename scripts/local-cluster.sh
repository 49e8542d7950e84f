#!/usr/bin/env bash
# Starts trioetcd on this machine, for trying things out; Ctrl-C stops it.
#
#   ./scripts/local-cluster.sh           data are kept in .local-cluster/
#   ./scripts/local-cluster.sh --fresh   begin with no data
#
# One node for now: NODES will name three once members can join each other.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=.venv
HOME_DIR=.local-cluster
NODES=(node1:2379:2380) # name:client port:peer port

case "${1:-}" in
"") ;;
--fresh) rm -rf $HOME_DIR ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

if [ ! -x $VENV/bin/trioetcd ]; then
    echo "making $VENV ..."
    [ -x $VENV/bin/python ] || "$PYTHON" -m venv $VENV
    $VENV/bin/python -m pip install -q --upgrade pip
    $VENV/bin/python -m pip install -q -e .
fi
mkdir -p $HOME_DIR

pids=()
stop() {
    trap - INT TERM EXIT
    kill -TERM "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
    echo "stopped; data are kept in $HOME_DIR"
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

cluster=$(printf '%s\n' "${NODES[@]}" |
    awk -F: '{printf "%s%s=http://127.0.0.1:%s", sep, $1, $3; sep=","}')
endpoints=$(printf '%s\n' "${NODES[@]}" | awk -F: '{printf "%s127.0.0.1:%s", sep, $2; sep=","}')
for node in "${NODES[@]}"; do
    IFS=: read -r name client peer <<<"$node"
    $VENV/bin/trioetcd serve \
        --name "$name" --data-dir "$HOME_DIR/$name.etcd" \
        --listen-client-urls "http://127.0.0.1:$client" \
        --advertise-client-urls "http://127.0.0.1:$client" \
        --listen-peer-urls "http://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
        --initial-cluster "$cluster" --initial-cluster-token local-cluster \
        >>"$HOME_DIR/$name.log" 2>&1 &
    pids+=($!)
done

for node in "${NODES[@]}"; do
    IFS=: read -r name client _ <<<"$node"
    until $VENV/bin/python - "$client" <<'PROBE' 2>/dev/null; do
import sys, urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=5)
PROBE
        for pid in "${pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || {
                echo "$name did not start:" >&2
                tail -n 3 "$HOME_DIR/$name.log" >&2
                exit 1
            }
        done
        read -r -t 0.1 <> <(:) || true # a tenth of a second between looks
    done
    echo "$name  http://127.0.0.1:$client  log $HOME_DIR/$name.log"
done

cat <<HELP

Ready.  In another terminal:

  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$endpoints
  etcdctl put greeting hello
  etcdctl get greeting
  etcdctl watch --prefix ''
  curl -s http://${endpoints%%,*}/debug/actors -H 'accept: text/plain'

Ctrl-C stops it.
HELP
wait
