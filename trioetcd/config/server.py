"""From flags to what a server is made of, checked as etcd checks it.

Source: etcd server/embed/config.go (Validate), server/etcdmain/etcd.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.snapshot.actor import Retention
from trioetcd.config.flags import GATE_FLAGS, GATES
from trioetcd.config.sources import ConfigError, Given
from trioetcd.config.values import BadValue, parse_bool, parse_duration, parse_int
from trioetcd.node.settings import NodeSettings
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.network import Address, BadURL, parse_url
from wire.tls import TLSSettings

MAX_ELECTION_MS = 50_000
REQUEST_OVERHEAD_BYTES = 512 * 1024  # what gRPC accepts beyond the request limit
DEFAULT_BATCH_SECONDS = 0.1
DEFAULT_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class LogSettings:
    level: str = "info"
    outputs: tuple[str, ...] = ("default",)
    format: str = "json"


@dataclass(frozen=True)
class ListenSettings:
    """Where clients and members are waited for, and how."""

    client_urls: tuple[str, ...]
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
class ServerConfig:
    node: NodeSettings
    listen: ListenSettings
    log: LogSettings
    gates: Mapping[str, bool]
    warnings: tuple[str, ...] = field(default=())


def build(given: Given) -> ServerConfig:
    """Raises ConfigError, in etcd's words."""
    _refuse_what_is_not_offered(given)
    _check_times(given)
    name = given.get("name")
    listen = _listen(given)
    if given.is_set("listen-client-urls") and not given.is_set("advertise-client-urls"):
        raise ConfigError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        )
    for flag in ("initial-advertise-peer-urls", "advertise-client-urls"):
        for url in given.get(flag):
            _parse(url)
    _check_compaction(given)
    gates = _gates(given)
    cluster = _cluster(given, name)
    request_bytes = given.get("max-request-bytes")
    node = NodeSettings(
        name=name,
        data_dir=Path(given.get("data-dir") or f"{name}.etcd"),
        wal_dir=Path(given.get("wal-dir")) if given.get("wal-dir") else None,
        peer_urls=given.get("initial-advertise-peer-urls"),
        client_urls=given.get("advertise-client-urls"),
        initial_cluster=cluster,
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
        max_request_bytes=request_bytes,
        max_txn_ops=given.get("max-txn-ops"),
        max_learners=given.get("max-learners"),
        lease_checkpoints=gates["LeaseCheckpoint"],
        watch_progress_interval=given.get("watch-progress-notify-interval"),
    )
    log = LogSettings(
        "debug" if given.get("debug") else given.get("log-level"),
        given.get("log-outputs"),
        given.get("log-format"),
    )
    return ServerConfig(node, listen, log, gates, tuple(given.warnings))


def _refuse_what_is_not_offered(given: Given) -> None:
    if given.get("enable-v2"):
        raise ConfigError("--enable-v2 is not offered: this server has no v2 API")
    if given.get("proxy") != "off":
        raise ConfigError("--proxy is not offered: this server has no v2 proxy")
    if given.get("discovery-fallback") != "exit":
        raise ConfigError("--discovery-fallback must be 'exit': there is no v2 proxy")
    if given.get("logger") not in ("zap", "capnslog"):
        raise ConfigError(f'unknown logger option "{given.get("logger")}"')
    for flag in ("discovery", "discovery-endpoints", "discovery-token"):
        if given.get(flag):
            raise ConfigError(f"--{flag} is not offered; use --initial-cluster or --discovery-srv")
    if given.get("initial-cluster-state") == "existing" or given.get("discovery-srv"):
        raise ConfigError("joining an existing cluster is not offered by this release")
    if given.get("force-new-cluster"):
        raise ConfigError("--force-new-cluster is not offered by this release")


def _check_times(given: Given) -> None:
    heartbeat, election = given.get("heartbeat-interval"), given.get("election-timeout")
    if heartbeat == 0:
        raise ConfigError("--heartbeat-interval must be >0 (set to 0ms)")
    if election == 0:
        raise ConfigError("--election-timeout must be >0 (set to 0ms)")
    if 5 * heartbeat > election:
        raise ConfigError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]"
        )
    if election > MAX_ELECTION_MS:
        raise ConfigError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{MAX_ELECTION_MS}ms"
        )


def _parse(url: str) -> Address:
    try:
        return parse_url(url)
    except BadURL as error:
        raise ConfigError(str(error)) from error


def _listen(given: Given) -> ListenSettings:
    for flag in ("listen-peer-urls", "listen-client-urls", "listen-metrics-urls"):
        for url in given.get(flag):
            _check_bindable(url)
    suites, lowest, highest = (
        given.get("cipher-suites"),
        given.get("tls-min-version"),
        given.get("tls-max-version"),
    )
    client = TLSSettings(
        cert_file=given.get("cert-file"),
        key_file=given.get("key-file"),
        trusted_ca_file=given.get("trusted-ca-file"),
        crl_file=given.get("client-crl-file"),
        client_cert_auth=given.get("client-cert-auth"),
        allowed_hostname=given.get("client-cert-allowed-hostname"),
        min_version=lowest,
        max_version=highest,
        cipher_suites=suites,
    )
    peer = TLSSettings(
        cert_file=given.get("peer-cert-file"),
        key_file=given.get("peer-key-file"),
        trusted_ca_file=given.get("peer-trusted-ca-file"),
        crl_file=given.get("peer-crl-file"),
        client_cert_auth=given.get("peer-client-cert-auth"),
        allowed_cn=given.get("peer-cert-allowed-cn"),
        allowed_hostname=given.get("peer-cert-allowed-hostname"),
        min_version=lowest,
        max_version=highest,
        cipher_suites=suites,
    )
    if peer.allowed_cn and peer.allowed_hostname:
        raise ConfigError(
            "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other"
        )
    _check_certificates(given, "", given.get("listen-client-urls"), "client")
    _check_certificates(given, "peer-", given.get("listen-peer-urls"), "peer")
    return ListenSettings(
        given.get("listen-client-urls"),
        given.get("listen-peer-urls"),
        given.get("listen-metrics-urls"),
        client,
        peer,
        given.get("auto-tls"),
        given.get("peer-auto-tls"),
        given.get("self-signed-cert-validity"),
        given.get("socket-reuse-port"),
        given.get("socket-reuse-address"),
        Limits(
            message_bytes=given.get("max-request-bytes") + REQUEST_OVERHEAD_BYTES,
            concurrent_streams=given.get("max-concurrent-streams"),
        ),
        KeepAlive(
            interval=given.get("grpc-keepalive-interval"),
            timeout=given.get("grpc-keepalive-timeout"),
            min_time=given.get("grpc-keepalive-min-time"),
        ),
    )


def _check_bindable(url: str) -> None:
    """A listener needs an address, not a name that may mean several."""
    address = _parse(url)
    if address.path or address.host in ("localhost", ""):
        return
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise ConfigError(f"expected IP in URL for binding ({url})") from None


def _check_certificates(given: Given, prefix: str, urls: Sequence[str], kind: str) -> None:
    has_pair = given.get(f"{prefix}cert-file") and given.get(f"{prefix}key-file")
    for url in urls:
        secure = _parse(url).secure
        if secure and not has_pair and not given.get(f"{prefix}auto-tls"):
            raise ConfigError(
                f"TLS key/cert (--{prefix}cert-file, --{prefix}key-file) must be provided for "
                f"{kind} url {url} with HTTPS scheme"
            )


def _check_compaction(given: Given) -> None:
    mode, retention = given.get("auto-compaction-mode"), given.get("auto-compaction-retention")
    if mode not in ("periodic", "revision"):
        raise ConfigError(f'unknown auto-compaction-mode "{mode}"')
    try:
        parse_int(retention)
    except BadValue:
        try:
            if mode == "revision":
                raise BadValue("invalid syntax")
            parse_duration(retention)
        except BadValue as error:
            raise ConfigError(f"error parsing CompactionRetention: {error}") from error


def _gates(given: Given) -> dict[str, bool]:
    gates = dict(GATES)
    for flag, gate in GATE_FLAGS.items():
        if given.is_set(flag):
            gates[gate] = given.get(flag)
    for pair in filter(None, given.get("feature-gates").split(",")):
        gate, has_value, text = pair.strip().partition("=")
        if gate not in GATES:
            raise ConfigError(f"unrecognized feature gate: {gate}")
        try:
            gates[gate] = parse_bool(text) if has_value else True
        except BadValue:
            raise ConfigError(f"invalid value of {gate}={text}, err: parse error") from None
    if gates["LeaseCheckpointPersist"] and not gates["LeaseCheckpoint"]:
        raise ConfigError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
            "LeaseCheckpoint"
        )
    return gates


def _cluster(given: Given, name: str) -> dict[str, tuple[str, ...]]:
    """The first members; this one must be there under its name with the URLs it advertises."""
    advertised = given.get("initial-advertise-peer-urls")
    text = given.get("initial-cluster")
    if not text:
        return {name: advertised}
    cluster = parse_initial_cluster(text)
    if name not in cluster:
        raise ConfigError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )
    if sorted(cluster[name]) != sorted(advertised):
        mine = ",".join(f"{name}={url}" for url in sorted(cluster[name]))
        raise ConfigError(
            f"--initial-cluster has {mine} but missing from "
            f"--initial-advertise-peer-urls={','.join(advertised)}"
        )
    return cluster


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """`name=url[,name=url…]`; a name may come several times.  Raises ConfigError."""
    cluster: dict[str, list[str]] = {}
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"\s*([^=]+)=(.+?)\s*", part)
        if match is None:
            raise ConfigError(f'invalid initial-cluster entry "{part}": expected name=url')
        _parse(match[2])
        cluster.setdefault(match[1], []).append(match[2])
    return {name: tuple(sorted(urls)) for name, urls in cluster.items()}
