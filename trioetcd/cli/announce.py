"""The first lines of the log: what a member is about to run with.

Source: etcd server/embed/etcd.go (print).
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

from actors.apply.quota import DEFAULT_BYTES
from actors.cluster.initial import show_initial_cluster
from trioetcd.cli.logs import LineLog
from trioetcd.config.server import ServerConfig
from trioetcd.config.values import show_duration
from wire.version import ETCD_VERSION


def version_text() -> str:
    """The answer to `--version`, in the shape that scripts cut up."""
    return (
        f"etcd Version: {ETCD_VERSION}\nGit SHA: trioetcd\n"
        f"Go Version: none (Python {platform.python_version()})\n"
        f"Go OS/Arch: {sys.platform}/{platform.machine()}\n"
    )


def introduce(config: ServerConfig, log: LineLog, arguments: Sequence[str]) -> None:
    """How it was started, and what there is to say about that."""
    log.info("Running: ", args=["trioetcd", "serve", *arguments])
    for remark in config.remarks:
        say = log.warning if remark.is_warning else log.info
        say(remark.message, **remark.fields)


def announce(config: ServerConfig, log: LineLog, is_new: bool) -> None:
    """What is about to run."""
    data_dir = str(config.node.data_dir)
    if is_new:
        log.info("Initialize and start etcd server", data_dir=data_dir, dir_type="empty")
    else:
        log.info("server has already been initialized", data_dir=data_dir, dir_type="member")
    log.info("configuring peer listeners", listen_peer_urls=config.listen.peer_urls)
    log.info("configuring client listeners", listen_client_urls=config.listen.client_urls)
    log.info("starting an etcd server", **_fields(config, is_new))


def _fields(config: ServerConfig, is_new: bool) -> dict[str, object]:
    """With etcd's names, dashes as underscores; `initial-cluster` only counts for a new one."""
    node, listen, cluster = config.node, config.listen, config.cluster
    return {
        "etcd_version": ETCD_VERSION,
        "python_version": platform.python_version(),
        "member_initialized": not is_new,
        "name": node.name,
        "data_dir": str(node.data_dir),
        "wal_dir": str(node.wal_dir or ""),
        "heartbeat_interval": show_duration(node.heartbeat_interval),
        "election_timeout": show_duration(node.election_timeout),
        "snapshot_count": node.retention.snapshot_count,
        "max_wals": node.retention.max_wals,
        "max_snapshots": node.retention.max_snapshots,
        "snapshot_catchup_entries": node.retention.catchup_entries,
        "initial_advertise_peer_urls": node.peer_urls,
        "listen_peer_urls": listen.peer_urls,
        "advertise_client_urls": node.client_urls,
        "listen_client_urls": listen.client_urls,
        "listen_metrics_urls": listen.metrics_urls,
        "initial_cluster": show_initial_cluster(node.initial_cluster) if is_new else "",
        "initial_cluster_state": "new" if cluster.is_new else "existing",
        "initial_cluster_token": node.cluster_token if is_new else "",
        "quota_backend_bytes": node.quota_bytes or DEFAULT_BYTES,
        "max_request_bytes": node.max_request_bytes,
        "max_concurrent_streams": listen.limits.concurrent_streams,
        "pre_vote": node.pre_vote,
        "unsafe_no_fsync": not node.fsync,
        "feature_gates": ",".join(
            f"{gate}={str(value).lower()}" for gate, value in sorted(config.gates.items()) if value
        ),
    }
