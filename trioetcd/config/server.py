"""What a server is made of: all flags as values, grouped by who needs them.

Times in seconds, sizes in bytes.  `build` makes it from what was given, checked as etcd checks it.
Source: etcd server/embed/config.go, server/etcdmain/etcd.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.cluster.initial import parse_initial_cluster
from actors.cluster.urls import BadURL
from actors.snapshot.actor import Retention
from trioetcd.api.proposals import REQUEST_OVERHEAD_BYTES
from trioetcd.config import checks, gates
from trioetcd.config.certificates import serves_tls
from trioetcd.config.log import LogSettings, log_settings
from trioetcd.config.sources import ConfigError, Given, Remark
from trioetcd.node.settings import CompactionSettings, NodeSettings
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.tls import TLSSettings

BODY_PER_REQUEST = 4  # bytes of JSON for one of a request: base64, names, escapes
DEFAULT_BATCH_SECONDS = 0.1
DEFAULT_BATCH_ROWS = 10_000
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ListenSettings:
    """Where clients and members are waited for, and how."""

    client_urls: tuple[str, ...]
    client_http_urls: tuple[str, ...]  # if any, HTTP is served there and not at client_urls
    peer_urls: tuple[str, ...]
    metrics_urls: tuple[str, ...]
    client_tls: TLSSettings
    peer_tls: TLSSettings
    client_auto_tls: bool
    peer_auto_tls: bool
    certificate_years: int
    reuse_port: bool
    reuse_address: bool
    limits: Limits
    keep_alive: KeepAlive


@dataclass(frozen=True)
class HTTPSettings:
    """What else is served beside gRPC; `*` among names means all."""

    gateway: bool  # JSON
    cors: tuple[str, ...]
    host_whitelist: tuple[str, ...]
    extensive_metrics: bool
    profiles: bool


@dataclass(frozen=True)
class DiscoverySettings:
    """The v3 discovery service, and DNS."""

    endpoints: tuple[str, ...]
    token: str
    dial_timeout: float
    request_timeout: float
    keepalive_time: float
    keepalive_timeout: float
    insecure_transport: bool
    insecure_skip_tls_verify: bool
    cert_file: str
    key_file: str
    ca_file: str
    user: str
    password: str = field(repr=False)
    srv_domain: str
    srv_name: str

    @property
    def is_asked(self) -> bool:
        """Whether anybody is to be asked at all."""
        return bool(self.srv_domain or self.endpoints)


@dataclass(frozen=True)
class ClusterSettings:
    """How the member comes to its cluster, and what it has to do with the others."""

    is_new: bool  # --initial-cluster-state; counts only while there are no data
    discovery: DiscoverySettings
    strict_reconfig_check: bool
    force_new_cluster: bool
    hasten_first_election: bool
    peer_read_timeout: float
    peer_write_timeout: float
    skip_client_san_verification: bool
    corrupt_check_interval: float  # 0: never
    compact_hash_check_interval: float
    downgrade_check_interval: float


@dataclass(frozen=True)
class AuthSettings:
    token: str  # `simple`, or `jwt,key=value…`
    token_ttl: float  # of simple ones, in seconds


@dataclass(frozen=True)
class ServerConfig:
    node: NodeSettings
    listen: ListenSettings
    http: HTTPSettings
    cluster: ClusterSettings
    auth: AuthSettings
    log: LogSettings
    gates: Mapping[str, bool]
    remarks: tuple[Remark, ...] = ()


def build(given: Given) -> ServerConfig:
    """Raises ConfigError, in etcd's words."""
    checks.check(given)
    chosen = gates.all_gates(checks.named_gates(given))
    remarks = [*given.remarks, *checks.remarks(given, chosen)]
    return ServerConfig(
        node=_node(given, chosen),
        listen=_listen(given),
        http=HTTPSettings(
            given.get("enable-grpc-gateway"),
            given.get("cors"),
            given.get("host-whitelist"),
            given.get("metrics") == "extensive",
            given.get("enable-pprof"),
        ),
        cluster=_cluster(given),
        auth=AuthSettings(given.get("auth-token"), float(given.get("auth-token-ttl"))),
        log=log_settings(given),
        gates=chosen,
        remarks=tuple(remarks),
    )


def _node(given: Given, chosen: Mapping[str, bool]) -> NodeSettings:
    name = given.get("name")
    wal_dir = given.get("wal-dir")
    return NodeSettings(
        name=name,
        data_dir=Path(given.get("data-dir") or f"{name}.etcd"),
        wal_dir=Path(wal_dir) if wal_dir else None,
        peer_urls=given.get("initial-advertise-peer-urls"),
        client_urls=given.get("advertise-client-urls"),
        initial_cluster=_initial_cluster(given),
        cluster_token=given.get("initial-cluster-token"),
        heartbeat_interval=given.get("heartbeat-interval") / 1000,
        election_timeout=given.get("election-timeout") / 1000,
        pre_vote=given.get("pre-vote"),
        fsync=not given.get("unsafe-no-fsync"),
        batch_interval=given.get("backend-batch-interval") or DEFAULT_BATCH_SECONDS,
        batch_rows=given.get("backend-batch-limit") or DEFAULT_BATCH_ROWS,
        quota_bytes=given.get("quota-backend-bytes"),
        retention=Retention(
            snapshot_count=given.get("snapshot-count"),
            catchup_entries=given.get("snapshot-catchup-entries"),
            max_snapshots=given.get("max-snapshots"),
            max_wals=given.get("max-wals"),
        ),
        max_request_bytes=given.get("max-request-bytes"),
        max_txn_ops=given.get("max-txn-ops"),
        max_learners=given.get("max-learners"),
        bcrypt_cost=given.get("bcrypt-cost"),
        client_cert_auth=given.get("client-cert-auth"),
        lease_checkpoints=chosen["LeaseCheckpoint"],
        slow_apply=given.get("warning-apply-duration"),
        slow_request=given.get("warning-unary-request-duration"),
        gates=chosen,
        audit_log=Path(given.get("audit-log")) if given.get("audit-log") else None,
        profiles=given.get("enable-pprof"),
        extensive_metrics=given.get("metrics") == "extensive",
        check_initially=chosen["InitialCorruptCheck"],
        corrupt_check_interval=given.get("corrupt-check-time"),
        compact_hash_check_interval=(
            given.get("compact-hash-check-time") if chosen["CompactHashCheck"] else 0.0
        ),
        compaction=CompactionSettings(
            by_revision=given.get("auto-compaction-mode") == "revision",
            retention=checks.retention(given),
            batch_keys=_if_given(given, "compaction-batch-limit"),
            pause=_if_given(given, "compaction-sleep-interval"),
        ),
        defrag_threshold_bytes=given.get("bootstrap-defrag-threshold-megabytes") * MEGABYTE,
        joins=given.get("initial-cluster-state") == "existing",
        force_new_cluster=given.get("force-new-cluster"),
        strict_reconfig_check=given.get("strict-reconfig-check"),
        hasten_first_election=given.get("initial-election-tick-advance"),
        watch_progress_interval=given.get("watch-progress-notify-interval"),
    )


def _if_given(given: Given, flag: str) -> Any:
    """0 otherwise: etcd's default suits etcd."""
    return given.get(flag) if given.is_set(flag) else 0


def _initial_cluster(given: Given) -> dict[str, tuple[str, ...]]:
    """If not given, the member itself; whether it fits is checked when there are no data yet."""
    text = given.get("initial-cluster")
    if not given.is_set("initial-cluster"):
        return {given.get("name"): given.get("initial-advertise-peer-urls")}
    try:
        return parse_initial_cluster(text)
    except BadURL as error:
        raise ConfigError(f"error setting up initial cluster: {error}") from error


def _listen(given: Given) -> ListenSettings:
    return ListenSettings(
        client_urls=given.get("listen-client-urls"),
        client_http_urls=given.get("listen-client-http-urls"),
        peer_urls=given.get("listen-peer-urls"),
        metrics_urls=given.get("listen-metrics-urls"),
        # Files that no URL needs are not looked at; to other members we are a client too.
        client_tls=_tls(given, "", "client-") if serves_tls(given) else TLSSettings(),
        peer_tls=_tls(given, "peer-", "peer-"),
        client_auto_tls=given.get("auto-tls") and serves_tls(given),
        peer_auto_tls=given.get("peer-auto-tls"),
        certificate_years=given.get("self-signed-cert-validity") or 1,
        reuse_port=given.get("socket-reuse-port"),
        reuse_address=given.get("socket-reuse-address"),
        limits=Limits(
            message_bytes=given.get("max-request-bytes") + REQUEST_OVERHEAD_BYTES,
            http_body_bytes=BODY_PER_REQUEST
            * (given.get("max-request-bytes") + REQUEST_OVERHEAD_BYTES),
            concurrent_streams=given.get("max-concurrent-streams"),
        ),
        keep_alive=KeepAlive(
            interval=given.get("grpc-keepalive-interval"),
            timeout=given.get("grpc-keepalive-timeout"),
            min_time=given.get("grpc-keepalive-min-time"),
        ),
    )


def _tls(given: Given, prefix: str, kind: str) -> TLSSettings:
    """`--cert-file` … with prefix; names like `--peer-cert-allowed-cn` go by kind."""
    return TLSSettings(
        cert_file=given.get(f"{prefix}cert-file"),
        key_file=given.get(f"{prefix}key-file"),
        client_cert_file=given.get(f"{prefix}client-cert-file"),
        client_key_file=given.get(f"{prefix}client-key-file"),
        trusted_ca_file=given.get(f"{prefix}trusted-ca-file"),
        crl_file=given.get(f"{kind}crl-file"),
        client_cert_auth=given.get(f"{prefix}client-cert-auth"),
        allowed_cn=given.get(f"{kind}cert-allowed-cn"),
        allowed_hostname=given.get(f"{kind}cert-allowed-hostname"),
        min_version=given.get("tls-min-version"),
        max_version=given.get("tls-max-version"),
        cipher_suites=given.get("cipher-suites"),
    )


def _cluster(given: Given) -> ClusterSettings:
    discovery = DiscoverySettings(
        endpoints=given.get("discovery-endpoints"),
        token=given.get("discovery-token"),
        dial_timeout=given.get("discovery-dial-timeout"),
        request_timeout=given.get("discovery-request-timeout"),
        keepalive_time=given.get("discovery-keepalive-time"),
        keepalive_timeout=given.get("discovery-keepalive-timeout"),
        insecure_transport=given.get("discovery-insecure-transport"),
        insecure_skip_tls_verify=given.get("discovery-insecure-skip-tls-verify"),
        cert_file=given.get("discovery-cert"),
        key_file=given.get("discovery-key"),
        ca_file=given.get("discovery-cacert"),
        user=given.get("discovery-user"),
        password=given.get("discovery-password"),
        srv_domain=given.get("discovery-srv"),
        srv_name=given.get("discovery-srv-name"),
    )
    return ClusterSettings(
        is_new=given.get("initial-cluster-state") == "new",
        discovery=discovery,
        strict_reconfig_check=given.get("strict-reconfig-check"),
        force_new_cluster=given.get("force-new-cluster"),
        hasten_first_election=given.get("initial-election-tick-advance"),
        peer_read_timeout=max(given.get("raft-read-timeout"), checks.MIN_PEER_TIMEOUT),
        peer_write_timeout=max(given.get("raft-write-timeout"), checks.MIN_PEER_TIMEOUT),
        skip_client_san_verification=given.get("peer-skip-client-san-verification"),
        corrupt_check_interval=given.get("corrupt-check-time"),
        compact_hash_check_interval=given.get("compact-hash-check-time"),
        downgrade_check_interval=given.get("downgrade-check-time"),
    )
