"""What a node must be told.  The command line makes one of these; so may any program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actors.auth.passwords import DEFAULT_COST
from actors.auth.simple_tokens import DEFAULT_TTL
from actors.auth.token_settings import JWTSettings
from actors.mvcc.checks import DEFAULT_MAX_TXN_OPS
from actors.snapshot.actor import Retention
from trioetcd.api.proposals import DEFAULT_MAX_REQUEST_BYTES
from trioetcd.api.slow import APPLY_SECONDS, REQUEST_SECONDS
from trioetcd.config.gates import all_gates

DEFAULT_TOKEN = "etcd-cluster"


@dataclass(frozen=True)
class SimpleTokenSettings:
    """Tokens that the log tells of, for users who have given a password."""

    ttl: float = DEFAULT_TTL  # seconds after its last use


TokenSettings = SimpleTokenSettings | JWTSettings | None
"""None: nobody gets a token."""


@dataclass(frozen=True, kw_only=True)
class CompactionSettings:
    """How history is forgotten.  Times in seconds."""

    by_revision: bool = False  # else by time
    retention: float = 0  # revisions, or seconds, to keep; 0: nothing is forgotten by itself
    batch_keys: int = 0  # looked at in one step; 0: a few hundred
    pause: float = 0  # between steps; 0: a hundredth of a second


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """One member's settings, with etcd's defaults.  Times in seconds."""

    name: str = "default"
    data_dir: Path | None = None  # None: everything in memory
    wal_dir: Path | None = None  # apart from the rest, if given

    # Who the members are at the beginning; ignored once there is data.
    peer_urls: tuple[str, ...] = ("http://localhost:2380",)  # of this member, as advertised
    client_urls: tuple[str, ...] = ("http://localhost:2379",)
    initial_cluster: dict[str, tuple[str, ...]] = field(default_factory=dict)  # empty: itself
    cluster_token: str = DEFAULT_TOKEN
    joins: bool = False  # a cluster that runs already, described by `initial_cluster`
    force_new_cluster: bool = False  # of this member alone, with the data it has

    heartbeat_interval: float = 0.1
    election_timeout: float = 1.0
    pre_vote: bool = True
    hasten_first_election: bool = True  # do not wait a whole election timeout at the start

    fsync: bool = True
    batch_interval: float = 0.1  # between backend commits
    batch_rows: int = 10_000
    quota_bytes: int = 0  # 0: etcd's default; negative: none
    retention: Retention = field(default_factory=Retention)

    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    max_txn_ops: int = DEFAULT_MAX_TXN_OPS
    max_learners: int = 1
    compaction: CompactionSettings = field(default_factory=CompactionSettings)
    defrag_threshold_bytes: int = 0  # defragment before serving if it frees this much; 0: do not
    lease_checkpoints: bool = False
    strict_reconfig_check: bool = True
    watch_progress_interval: float = 600.0

    tokens: TokenSettings = field(default_factory=SimpleTokenSettings)
    bcrypt_cost: int = DEFAULT_COST
    client_cert_auth: bool = False  # the common name of a client's certificate is its user
    slow_apply: float = APPLY_SECONDS  # from which entries and listings are logged
    slow_request: float = REQUEST_SECONDS  # from which requests are
    gates: Mapping[str, bool] = field(default_factory=lambda: all_gates({}))  # to be shown
    audit_log: Path | None = None  # a line a call
    profiles: bool = False  # a page that samples what the threads are at
    extensive_metrics: bool = False  # how long calls took, by method

    check_initially: bool = False  # compare with the other members before serving
    corrupt_check_interval: float = 0.0  # between comparisons by the leader; 0: none
    compact_hash_check_interval: float = 0.0  # of what is left after compactions; 0: none

    @property
    def request_timeout(self) -> float:
        """How long a write may take: five seconds and two elections, as in etcd."""
        return 5.0 + 2 * self.election_timeout

    @property
    def bootstrap_cluster(self) -> dict[str, tuple[str, ...]]:
        return self.initial_cluster or {self.name: self.peer_urls}
