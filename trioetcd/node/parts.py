"""Everything a member is made of, put together; nothing runs yet.

The only place where parts learn of each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from actors.auth.simple_tokens import SimpleTokens
from actors.auth.token_settings import JWTSettings, NoTokens
from actors.backend.actor import BackendActor
from actors.kernel import Worker
from actors.lease.actor import Lessor
from actors.lease.ids import IDs
from actors.lease.table import LeaseChanges
from actors.mvcc.actor import Machine, Progress
from actors.mvcc.revision_times import RevisionTimes
from actors.mvcc.store import Store
from actors.raft.actor import Duty, RaftActor
from actors.raft.config import Config
from actors.raft.raft import Raft
from actors.snapshot.actor import Snapshotter
from actors.wal.actor import Wal
from actors.wal.disk import Disk
from actors.watch.actor import WatchHub
from trioetcd.api.auth import AuthService
from trioetcd.api.cluster import ClusterService
from trioetcd.api.downgrade import DowngradeService
from trioetcd.api.election import ElectionService
from trioetcd.api.gate import Gate, GatedRegistry
from trioetcd.api.handling import HandlingTimes
from trioetcd.api.header import HeaderWriter
from trioetcd.api.health import HealthService
from trioetcd.api.kv import KVService
from trioetcd.api.lease import LeaseService
from trioetcd.api.lessors import Lessors
from trioetcd.api.local import Caller
from trioetcd.api.lock import LockService
from trioetcd.api.maintenance import MaintenanceService
from trioetcd.api.observing import observe
from trioetcd.api.passwords import Passwords
from trioetcd.api.permissions import Permissions
from trioetcd.api.proposals import Proposals
from trioetcd.api.quota import Quota
from trioetcd.api.reads import Reads
from trioetcd.api.reflection import ReflectionService
from trioetcd.api.slow import SlowLog
from trioetcd.api.snapshot import SnapshotService
from trioetcd.api.watch import WatchService
from trioetcd.api.web import PeerWeb
from trioetcd.audit.audit import Audit, AuditFile
from trioetcd.node.compactor import ByAge, ByCount, Policy
from trioetcd.node.corruption import CorruptionChecks
from trioetcd.node.monitor import Monitor
from trioetcd.node.questions import Questions
from trioetcd.node.recovery import Storage
from trioetcd.node.settings import NodeSettings
from trioetcd.node.snapshots import BackendSink, BackendSource
from trioetcd.node.state import ReplicatedState
from trioetcd.node.version import VersionDuty
from trioetcd.peer.link import Surroundings
from trioetcd.peer.links import Links
from trioetcd.peer.server import PeerService
from wire.durations import Durations
from wire.grpc.service import Context, Registry
from wire.log import Log
from wire.network import Network
from wire.tls import ClientTLS

if TYPE_CHECKING:
    from actors.auth.jwt_tokens import JWTTokens

CHECKPOINT_SECONDS = 300.0  # between checkpoints of leases; etcd's


@dataclass(frozen=True)
class Seams:
    """The five doors to the outside, all passed in; Trio's clock is time."""

    network: Network
    peer_tls: ClientTLS | None  # for links to other members
    disk: Disk
    wal_worker: Worker  # one thread
    backend_worker: Worker  # one thread, another
    password_worker: Worker  # few threads
    rng: random.Random
    secrets: random.Random  # nobody can predict it
    unix_seconds: Callable[[], float]


class CommitTimes(Durations):
    """After each commit the quota looks at the backend's size anew."""

    def __init__(self, quota: Quota) -> None:
        super().__init__()
        self._quota = quota

    def note(self, seconds: float, times: int = 1) -> None:
        super().note(seconds, times)
        self._quota.refresh()


class Positions:
    """How far members are in the log, as raft sees it while it leads."""

    def __init__(self, core: Raft) -> None:
        self._core = core

    def match_of(self, member: int) -> int | None:
        status = self._core.status()
        peer = status.peers.get(member)
        if peer is not None:
            return peer.match
        return status.last_index if member == status.node_id else None


class Fanout:
    """Tells everybody who follows the state machine how far it is."""

    def __init__(
        self,
        raft: RaftActor,
        snapshotter: Snapshotter,
        lessor: Lessor,
        hub: WatchHub,
        store: Store,
        times: Callable[[int], None],
    ) -> None:
        """`times` notes when the store came to a revision."""
        self._times = times
        self._raft = raft
        self._snapshotter = snapshotter
        self._lessor = lessor
        self._hub = hub
        self._store = store
        self._feed = store.feed
        self._revision = 0

    def applied(self, reached: Progress) -> None:
        self._raft.applied(reached.index, reached.changes)
        self._snapshotter.reached(reached.index, reached.term, reached.conf_state)
        if reached.revision != self._revision:
            self._revision = reached.revision
            self._times(reached.revision)
            if self._feed.wanted:  # else nobody watches
                self._hub.revision_exists()

    def leases_changed(self, changes: LeaseChanges) -> None:
        self._lessor.changed(changes)

    def replaced(self, index: int) -> None:
        self._snapshotter.installed(index)
        self._hub.store_replaced(self._store)


class Parts:
    """See the top of the module."""

    def __init__(self, settings: NodeSettings, storage: Storage, seams: Seams, log: Log) -> None:
        now = trio.current_time()
        self.log_to = log
        self.settings = settings
        self.member_id = storage.member_id
        self.cluster_id = storage.cluster_id
        self.disk = seams.disk
        self.wal_worker = seams.wal_worker
        self.backend_worker = seams.backend_worker
        self.snapshot_directory = storage.snapshot_directory
        self.conf_state = storage.conf_state
        self.rng = seams.rng
        self.unix_seconds = seams.unix_seconds
        self.rows = storage.backend
        self.log = storage.log
        self.ids = IDs(storage.member_id, int(seams.unix_seconds() * 1000))

        self._build_state(settings, seams)
        self.core = Raft.restore(
            Config(
                node_id=storage.member_id,
                election_timeout=settings.election_timeout,
                heartbeat_interval=settings.heartbeat_interval,
                pre_vote=settings.pre_vote,
            ),
            seams.rng,
            now,
            hard_state=storage.hard_state,
            snapshot=storage.snapshot,
            entries=storage.entries,
            applied=self.rows.applied_index,
            conf_state=storage.conf_state,
        )
        self._build_actors(storage)
        self._build_links(seams, log)
        self._build_means(settings)
        self._build_services(settings, seams)
        self._serve_members(log)

    def _build_state(self, settings: NodeSettings, seams: Seams) -> None:
        """The replicated state, restored from the backend."""
        self.tokens = self._make_tokens(settings, seams)
        state = ReplicatedState(
            self.rows,
            self.cluster_id,
            self.tokens,
            election_timeout=settings.election_timeout,
            heartbeat_interval=settings.heartbeat_interval,
            max_learners=settings.max_learners,
        )
        self.leases, self.alarms, self.membership = state.leases, state.alarms, state.membership
        self.store, self.auth, self.applier = state.store, state.auth, state.applier
        self.restore_state = state.restore

    def _make_tokens(
        self, settings: NodeSettings, seams: Seams
    ) -> SimpleTokens | JWTTokens | NoTokens:
        """Raises BadTokenOptions."""
        chosen = settings.tokens
        if chosen is None:
            return NoTokens()
        if isinstance(chosen, JWTSettings):
            from actors.auth.jwt_tokens import JWTTokens  # 30 ms, for what few ask for

            return JWTTokens(chosen, seams.unix_seconds)
        rows = self.rows
        return SimpleTokens(
            chosen.ttl, trio.current_time, seams.secrets, lambda: rows.applied_index
        )

    def _build_actors(self, storage: Storage) -> None:
        """Handles; what runs behind them is started by the tree."""
        settings = self.settings
        self.wal = Wal()
        self.backend = BackendActor(self.rows, settings.batch_rows)
        self.machine = Machine(
            self.applier,
            self.restore_state,
            compacted_keys=settings.compaction.batch_keys,
            compaction_pause=settings.compaction.pause,
        )
        self.raft = RaftActor(self.member_id)
        self.lessor = Lessor()
        self.snapshotter = Snapshotter(storage.snapshot.index, settings.retention)
        self.hub = WatchHub()
        self.revision_times = RevisionTimes(self.unix_seconds(), self.store.revision)

        def note(revision: int) -> None:
            self.revision_times.note(self.unix_seconds(), revision)

        self.fanout = Fanout(self.raft, self.snapshotter, self.lessor, self.hub, self.store, note)
        self.checkpoint_interval = CHECKPOINT_SECONDS if settings.lease_checkpoints else None

    def _build_means(self, settings: NodeSettings) -> None:
        """What services have in common: ways to propose, to read, to know who may."""
        self.headers = HeaderWriter(self.cluster_id, self.member_id, self.raft.status)
        self.quota = Quota(settings.quota_bytes, self.rows.engine.size)
        self.monitor = Monitor(self.member_id)
        self.quota.exceeded = self.monitor.space_exceeded
        self.commit_times = CommitTimes(self.quota)
        self.fsync_times = Durations()
        self.permissions = Permissions(
            self.applier.checks,
            self.tokens,
            self.machine.wait_applied,
            trusts_certificates=settings.client_cert_auth,
            timeout=settings.request_timeout,
        )
        self.proposals = Proposals(
            self.raft,
            self.ids.next,
            self.permissions,
            request_timeout=settings.request_timeout,
            max_request_bytes=settings.max_request_bytes,
        )
        self.reads = Reads(self.raft, self.machine, settings.request_timeout)
        self.gate = Gate(self.raft.status, self.membership, settings.election_timeout)
        self.lessors = Lessors(self.lessor, self.raft, self.links, settings.request_timeout)

    def _build_services(self, settings: NodeSettings, seams: Seams) -> None:
        """Those that other parts look into; all are in the registry."""
        self._log_what_is_slow(settings, seams)
        self.kv = KVService(
            self.store,
            self.proposals,
            self.reads,
            self.headers,
            self.raft.status,
            self.quota,
            self.gate,
            self.permissions,
            self.slow,
            max_txn_ops=settings.max_txn_ops,
        )
        self.cluster = ClusterService(
            self.membership,
            self.raft,
            self.links,
            self.reads,
            self.headers,
            Positions(self.core),
            self.permissions,
            next_id=self.ids.next,
            unix_seconds=seams.unix_seconds,
            timeout=settings.request_timeout,
            strict=settings.strict_reconfig_check,
        )
        self.maintenance = MaintenanceService(
            self.store,
            self.machine,
            self.backend,
            self.raft,
            self.membership,
            self.alarms,
            self.proposals,
            self.headers,
            self.quota,
            self.permissions,
            timeout=settings.request_timeout,
        )
        self.auth_service = self._make_auth_service(seams)
        self._register_services()
        self._observe_calls(settings, seams)

    def _register_services(self) -> None:
        header, revision = self.headers.write, lambda: self.store.revision
        services = (
            self.kv,
            WatchService(self.hub, self.permissions.require_read),
            LeaseService(
                self.lessors,
                self.proposals,
                self.quota,
                self.ids,
                header,
                revision,
                self.permissions,
            ),
            self.auth_service,
            self.cluster,
            self.maintenance,
            SnapshotService(self.backend, self.log_to),
            DowngradeService(self.membership, self.proposals, self.reads, self.headers),
            HealthService(),
            ReflectionService(lambda: self.registry.services),
            LockService(self._in_the_name_of),
            ElectionService(self._in_the_name_of),
        )
        self.registry = GatedRegistry(self.gate, self.permissions)
        for service in services:
            service.register(self.registry)
        self.slow.watch(self.registry)

    def _in_the_name_of(self, context: Context) -> Caller:
        return Caller(self.registry, context)

    def _make_auth_service(self, seams: Seams) -> AuthService:
        settings = self.settings
        return AuthService(
            self.auth,
            self.tokens,
            Passwords(seams.password_worker, seams.secrets, settings.bcrypt_cost),
            self.proposals,
            self.reads,
            self.headers.write,
            self.log_to,
            settings.request_timeout,
        )

    def _log_what_is_slow(self, settings: NodeSettings, seams: Seams) -> None:
        self.slow = SlowLog(
            self.log_to,
            seams.unix_seconds,
            apply_seconds=settings.slow_apply,
            request_seconds=settings.slow_request,
        )
        self.applier.times.slow_seconds = self.reads.slow_seconds = settings.slow_apply
        self.machine.applied_slowly = self.slow.applied
        self.reads.read_slowly = self.slow.long_range

    def _observe_calls(self, settings: NodeSettings, seams: Seams) -> None:
        """For those who asked for it: nobody else pays."""
        self.handling = HandlingTimes()
        if settings.extensive_metrics:
            self.handling.expect(self.registry)
            observe(self.registry, self.handling)
        self.audit: Audit | None = None
        if settings.audit_log is not None:
            self.audit = Audit(self.permissions, seams.unix_seconds)
            path = str(settings.audit_log)
            self.audit_file = AuditFile(seams.disk, path, seams.unix_seconds)
            observe(self.registry, self.audit)

    def _build_links(self, seams: Seams, log: Log) -> None:
        """The ways to the other members."""
        self.removed = trio.Event()  # set when this member is one no longer
        self.links = Links(
            Surroundings(
                own=self.member_id,
                own_urls=self.settings.peer_urls,
                cluster_id=self.cluster_id,
                network=seams.network,
                rng=seams.rng,
                tls=seams.peer_tls,
                raft=self.raft,
                snapshots=BackendSource(self.backend),
                log=log,
                election_timeout=self.settings.election_timeout,
                removed=self.removed.set,
            )
        )
        self.membership.on_change = self._follow_members
        self._follow_members()

    def _serve_members(self, log: Log) -> None:
        """What other members may ask, and what this one does for them while it leads."""
        service = PeerService(
            self.member_id,
            self.cluster_id,
            self.raft,
            self.membership,
            self.links,
            BackendSink(self.rows.engine),
            self.backend_worker,
            log,
            self.links.traffic,
        )
        self.peer_web = PeerWeb(self.membership)
        questions = Questions(self)
        self.peer_registry = Registry()
        service.register(self.peer_registry, questions.answers)
        questions.register_open(self.peer_registry)
        version = VersionDuty(self.member_id, self.membership, self.links, self.proposals, log)
        self.duties: list[Duty] = [self._let_leases_run_out, version.run]
        self._look_for_corruption(log)

    def _look_for_corruption(self, log: Log) -> None:
        settings = self.settings
        self.corruption = CorruptionChecks(
            self.member_id,
            self.maintenance.hash_kv_of,
            self.membership,
            self.links,
            self.store,
            self.proposals,
            log,
        )
        if settings.corrupt_check_interval:
            self.duties.append(self.corruption.every(settings.corrupt_check_interval))
        if settings.compact_hash_check_interval:
            interval = settings.compact_hash_check_interval
            self.duties.append(self.corruption.every_compaction(interval))

    def compaction_policy(self) -> Policy | None:
        """New for every start of the compactor; None: nothing is compacted by itself."""
        chosen = self.settings.compaction
        if not chosen.retention:
            return None
        if chosen.by_revision:
            return ByCount(int(chosen.retention))
        return ByAge(chosen.retention, trio.current_time())

    def _follow_members(self) -> None:
        membership = self.membership
        self.links.follow({member.id: member.peer_urls for member in membership.all})
        if membership.is_removed(self.member_id):
            self.removed.set()

    async def _let_leases_run_out(self, term: int) -> None:
        """A leader's duty: while it leads, its lessor is the one that counts."""
        self.lessor.lead(term)
        try:
            await trio.sleep_forever()
        finally:
            self.lessor.follow()
