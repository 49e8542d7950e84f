#!/usr/bin/env bash
# Starts a trioetcd cluster of three nodes on this machine, for trying things out.
# Ctrl-C stops it; its data stay, and the next start goes on with them.
#
#   ./scripts/local-cluster.sh           data are kept in .local-cluster/
#   ./scripts/local-cluster.sh --fresh   begin with no data
#   ./scripts/local-cluster.sh --tls     mutual TLS, with a CA made on the spot
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=.venv
HOME_DIR=.local-cluster
NODES=(node1:2379:2380 node2:22379:22380 node3:32379:32380) # name:client port:peer port
COLOURS=(36 33 35)
SCHEME=http

fresh=no
for argument in "$@"; do
    case $argument in
    --fresh) fresh=yes ;;
    --tls) SCHEME=https ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
done

if [ ! -x $VENV/bin/trioetcd ]; then
    echo "making $VENV ..."
    [ -x $VENV/bin/python ] || "$PYTHON" -m venv $VENV
    $VENV/bin/python -m pip install -q --upgrade pip
    $VENV/bin/python -m pip install -q -e .
fi

DATA=$HOME_DIR/$SCHEME # a cluster's peer URLs are in its data: one for each scheme
[ $fresh = no ] || rm -rf "$DATA"
mkdir -p "$DATA"

security=()
ctl=()
if [ $SCHEME = https ]; then
    TLS=$HOME_DIR/tls
    if [ ! -e $TLS/client.pem ]; then # the last one: who finds it finds all
        rm -rf "$TLS"
        certs() { $VENV/bin/trioetcd util certs "$@" --dir $TLS >/dev/null; }
        certs init && certs node server --hosts localhost,127.0.0.1,::1 && certs client client
    fi
    security=(
        --client-cert-auth --trusted-ca-file=$TLS/ca.pem
        --cert-file=$TLS/server.pem --key-file=$TLS/server-key.pem
        --peer-client-cert-auth --peer-trusted-ca-file=$TLS/ca.pem
        --peer-cert-file=$TLS/server.pem --peer-key-file=$TLS/server-key.pem
    )
    ctl=("ETCDCTL_CACERT=$TLS/ca.pem" "ETCDCTL_CERT=$TLS/client.pem"
        "ETCDCTL_KEY=$TLS/client-key.pem")
fi

pids=()
stop() {
    trap '' INT TERM # once is enough
    trap - EXIT
    kill -TERM "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    echo "stopped; data are kept in $DATA"
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

cluster=$(printf '%s\n' "${NODES[@]}" |
    awk -F: -v scheme=$SCHEME '{printf "%s%s=%s://127.0.0.1:%s", sep, $1, scheme, $3; sep=","}')
endpoints=$(printf '%s\n' "${NODES[@]}" |
    awk -F: -v scheme=$SCHEME '{printf "%s%s://127.0.0.1:%s", sep, scheme, $2; sep=","}')

# Every line of a node's log, behind its name in its colour, and in a file without.
paint() {
    local name=$1 colour=$2 line
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$DATA/$name.log"
        if [ -t 1 ]; then
            printf '\e[%sm%s\e[0m %s\n' "$colour" "$name" "$line"
        else
            printf '%s %s\n' "$name" "$line"
        fi
    done
}

# In sessions of their own: Ctrl-C is for this script, which stops them in order.
at=0
for node in "${NODES[@]}"; do
    IFS=: read -r name client peer <<<"$node"
    setsid $VENV/bin/trioetcd serve \
        --name "$name" --data-dir "$DATA/$name.etcd" --log-format console --log-level warn \
        --listen-client-urls "$SCHEME://127.0.0.1:$client" \
        --advertise-client-urls "$SCHEME://127.0.0.1:$client" \
        --listen-peer-urls "$SCHEME://127.0.0.1:$peer" \
        --initial-advertise-peer-urls "$SCHEME://127.0.0.1:$peer" \
        --initial-cluster "$cluster" --initial-cluster-token local-cluster \
        "${security[@]}" > >(trap '' INT TERM; paint "$name" "${COLOURS[at]}") 2>&1 &
    pids+=($!)
    at=$((at + 1))
done

# Waits until all serve, and shows how they stand.
$VENV/bin/python scripts/cluster_status.py --wait 60 --alive "${pids[*]}" \
    ${TLS:+--tls "$TLS"} "${NODES[@]}" || {
    echo "the cluster did not start; see $DATA/*.log" >&2
    exit 1
}

cat <<HELP

Ready.  In another terminal:

  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$endpoints${ctl:+ ${ctl[*]}}
  etcdctl put greeting hello
  etcdctl get greeting
  etcdctl endpoint status -w table
  etcdctl watch --prefix ''

Ctrl-C stops it.
HELP
wait
