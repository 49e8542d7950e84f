"""Whether a member's database holds what its log says: on one member, with nobody to compare with.

The log is replayed on a base, by the very code that applies entries, and every row is compared.

- If the log reaches back to its first entry, the base is nothing, and every bucket is compared.
- Else the base is the database as it was at the newest snapshot: the rows of the keys up to the
  revision then, and users, members and leases as they are now.  How far the store was then is
  found by replaying: each entry makes one revision or none, so the first guess leaves too little
  or too much, and the next one is right.  Compared are the keys' rows since the snapshot; of what
  is older only the form is looked at, and that no row contradicts another.

Pure but for the disk that is handed in, which it only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from actors.auth.token_settings import NoTokens
from actors.backend.backend import Backend
from actors.backend.buckets import (
    ALL,
    AUTH,
    AUTH_ROLES,
    AUTH_USERS,
    CLUSTER,
    CONF_STATE,
    CONSISTENT_INDEX,
    FINISHED_COMPACTION,
    KEY,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    SCHEDULED_COMPACTION,
    STORAGE_VERSION,
    TERM,
)
from actors.backend.engine import Engine, MemoryEngine, Row
from actors.cluster.member import conf_state_json
from actors.mvcc.compaction import Compaction, is_due
from actors.mvcc.revision import FIRST_REVISION, is_tombstone, parse_row_key
from actors.raft.configuration import Configuration
from actors.raft.types import ConfState, Entry, Snapshot, conf_change_of
from actors.snapshot import files
from actors.snapshot.rows import store_rows
from actors.wal.disk import Disk
from actors.wal.reader import LogContents, SnapshotUnknown, read_log
from actors.wal.records import SnapshotRecord
from actors.wal.scan import LogCorrupt
from actors.wal.segments import SegmentsBroken
from trioetcd.node.state import ReplicatedState
from wire.errors import EtcdError
from wire.pb import etcdserverpb, leasepb, mvccpb

STEP_ENTRIES = 10_000  # between two commits of the replica
PAGE_ROWS = 2000
MOST_FAULTS = 20  # that are named; the rest is counted
GUESSES = 8  # of the revision at a snapshot
_POSITIONS = (CONSISTENT_INDEX, TERM, FINISHED_COMPACTION, STORAGE_VERSION)
_USERS = (AUTH, AUTH_USERS, AUTH_ROLES)
_STANDING = (*_USERS, CLUSTER, MEMBERS, MEMBERS_REMOVED)  # taken over as they are now
_AUTH_REQUEST = "auth_"


@dataclass
class Verdict:
    """What was looked at, and what is wrong."""

    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def fault(self, text: str) -> None:
        self.fault_count += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)


def verify(
    disk: Disk,
    wal: str,
    snap: str,
    engine: Engine,
    *,
    since_snapshot: bool = False,
    election_timeout: float = 1.0,
    heartbeat_interval: float = 0.1,
) -> Verdict:
    """`since_snapshot`: replay from the newest snapshot on, even if all of the log is there.

    Times in seconds, as the member has them: the shortest lease hangs on them.
    """
    verdict = Verdict()
    snapshots = list(_snapshots(disk, snap, verdict))
    log = _read(disk, wal, snapshots, verdict, since_snapshot and bool(snapshots))
    _check_rows(engine, verdict)
    if log is None:
        return verdict
    start, last = log.snapshot.index, log.snapshot.index + len(log.entries)
    applied = int.from_bytes(engine.get(META, CONSISTENT_INDEX) or b"", "big")
    verdict.notes.append(
        f"log: entries {start + 1} to {last}, committed up to {log.hard_state.commit}; "
        f"database: up to {applied}"
    )
    if not start <= applied <= last:
        verdict.fault(f"the database is at entry {applied}, the log has {start + 1} to {last}")
        return verdict
    entries = log.entries[: applied - start]
    metadata = etcdserverpb.Metadata.FromString(log.metadata)
    replay = _Replay(engine, metadata.ClusterID, election_timeout, heartbeat_interval)
    if start == 0:
        replay.compare_all(entries, verdict)
    else:
        position = next(one.metadata for one in snapshots if one.metadata.index == start)
        replay.compare_since(entries, position.conf_state, verdict)
    return verdict


# -- The log and its snapshots


def _snapshots(disk: Disk, snap: str, verdict: Verdict) -> Iterator[Snapshot]:
    """Newest first; what is no snapshot is a fault."""
    for name in sorted(disk.list(snap), reverse=True):
        if name.endswith(".snap"):
            try:
                yield files.read(disk, f"{snap}/{name}")
            except files.SnapshotBroken as error:
                verdict.fault(str(error))


def _read(
    disk: Disk, wal: str, snapshots: Iterable[Snapshot], verdict: Verdict, since_snapshot: bool
) -> LogContents | None:
    """From the first entry if it is there; else from the newest snapshot that counts."""
    try:
        if since_snapshot:
            raise SegmentsBroken("as asked for")
        return read_log(disk, wal, SnapshotRecord(0, 0))
    except LogCorrupt as error:
        verdict.fault(str(error))
        return None
    except SegmentsBroken as beginning:
        for snapshot in snapshots:
            try:
                return read_log(disk, wal, SnapshotRecord(*snapshot.metadata))
            except SnapshotUnknown:
                continue
            except (LogCorrupt, SegmentsBroken) as error:
                verdict.fault(str(error))
                return None
        verdict.fault(f"no snapshot leads into the log: {beginning}")
        return None


# -- The rows by themselves


def _check_rows(engine: Engine, verdict: Verdict) -> None:
    """Each row is what its place says, and a key's rows follow one another."""
    compacted = _revision(engine.get(META, SCHEDULED_COMPACTION))
    leases = {int.from_bytes(key, "big") for key, _ in _rows(engine, LEASE)}
    newest: dict[bytes, mvccpb.KeyValue | None] = {}  # of each key; None: deleted
    count = 0
    for row, value in _rows(engine, KEY):
        count += 1
        try:
            kv = mvccpb.KeyValue.FromString(value)
            main = parse_row_key(row)[0]
        except (DecodeError, ValueError) as error:
            verdict.fault(f"row {row.hex()}: {error}")
            continue
        wrong = _contradiction(row, main, kv, newest.get(kv.key), compacted, kv.key in newest)
        if wrong:
            verdict.fault(f"key {_shown(kv.key)} at revision {main}: {wrong}")
        newest[kv.key] = None if is_tombstone(row) else kv
    for key, found in newest.items():
        if found is not None and found.lease and found.lease not in leases:
            verdict.fault(f"key {_shown(key)} hangs on lease {found.lease:x}, which is not there")
    alive = sum(found is not None for found in newest.values())
    verdict.notes.append(f"rows: {count} of {len(newest)} keys, {alive} of them alive")


def _contradiction(
    row: bytes,
    main: int,
    kv: mvccpb.KeyValue,
    before: mvccpb.KeyValue | None,
    compacted: int,
    was_seen: bool,
) -> str:
    if is_tombstone(row):
        is_known = before is not None or main <= compacted or (not was_seen and compacted > 0)
        return "" if is_known else "it is deleted, and was not there"
    if kv.mod_revision != main:
        return f"its row says revision {kv.mod_revision}"
    if before is None:
        if kv.create_revision == main and kv.version == 1:
            return ""
        is_cut = not was_seen and compacted > 0 and kv.create_revision < main and kv.version > 1
        return (
            "" if is_cut else f"version {kv.version}, created at {kv.create_revision}, is not new"
        )
    if kv.create_revision != before.create_revision:
        return f"it was created at {before.create_revision}, not {kv.create_revision}"
    if kv.version != before.version + 1:
        # What lay between may have been compacted, if it was below the line.
        is_cut = kv.version > before.version + 1 and main <= compacted
        return "" if is_cut else f"version {kv.version} follows {before.version}"
    return ""


# -- The replay


class _Replay:
    def __init__(
        self, engine: Engine, cluster_id: int, election_timeout: float, heartbeat_interval: float
    ) -> None:
        self._engine = engine
        self._cluster_id = cluster_id
        self._election_timeout = election_timeout
        self._heartbeat_interval = heartbeat_interval

    def compare_all(self, entries: list[Entry], verdict: Verdict) -> None:
        replica = self._replayed(MemoryEngine(), ConfState(), entries)
        compared = 0
        for bucket in ALL:
            compared += _compare(bucket, self._engine, replica.engine, FIRST_REVISION, verdict)
        verdict.notes.append(f"replayed from the first entry: {compared} rows compared")

    def compare_since(self, entries: list[Entry], conf_state: ConfState, verdict: Verdict) -> None:
        requests = {name for entry in entries for name in _requests(entry)}
        if any(name.startswith(_AUTH_REQUEST) for name in requests - {"authenticate"}):
            verdict.notes.append(
                "not replayed: users have changed since the snapshot, and the old ones are gone"
            )
            return
        now = _newest(self._engine)
        guess = max(FIRST_REVISION, now - len(entries))
        for _ in range(GUESSES):
            base = _base(self._engine, guess, entries)
            replica = self._replayed(base, conf_state, entries)
            reached = _newest(replica.engine)
            if reached == now:
                break
            guess += now - reached
            if not FIRST_REVISION <= guess <= now:
                break
        else:
            reached = -1
        if reached != now:
            verdict.fault("the log since the snapshot does not lead to the database's revision")
            return
        compacted = _revision(self._engine.get(META, SCHEDULED_COMPACTION))
        if compacted > guess:
            verdict.notes.append("not replayed: history is compacted beyond the snapshot")
            return
        compared = _compare(KEY, self._engine, replica.engine, guess, verdict)
        verdict.notes.append(
            f"replayed from the snapshot on: {compared} rows since revision {guess} compared"
        )

    def _replayed(self, engine: Engine, conf_state: ConfState, entries: list[Entry]) -> Backend:
        rows = Backend(engine)
        state = ReplicatedState(
            rows,
            self._cluster_id,
            NoTokens(),
            election_timeout=self._election_timeout,
            heartbeat_interval=self._heartbeat_interval,
        )
        configuration = Configuration.of(conf_state)
        for number, entry in enumerate(entries, 1):
            if entry.type:
                outcome = state.membership.apply_change(conf_change_of(entry), entry.index)
                if not isinstance(outcome, EtcdError):
                    configuration = configuration.after(outcome)
                    shown = conf_state_json(configuration.conf_state())
                    rows.put(META, CONF_STATE, shown)
            elif entry.data:
                state.applier.apply(entry.data, entry.index)
            rows.applied_index, rows.applied_term = entry.index, entry.term
            state.applier.leases.take_changes()
            if number % STEP_ENTRIES == 0:
                _commit(rows)
        while is_due(state.store):
            compaction = Compaction(state.store)
            while compaction.step(PAGE_ROWS):
                pass
        _commit(rows)
        return rows


def _base(engine: Engine, revision: int, entries: Sequence[Entry]) -> Engine:
    """The store as it was at a revision, and the rest as it is."""
    base = MemoryEngine()
    rows: dict[str, list[Row]] = {bucket: list(_rows(engine, bucket)) for bucket in _STANDING}
    compaction = engine.get(META, SCHEDULED_COMPACTION)
    if compaction is not None and _revision(compaction) <= revision:
        rows[META] = [(SCHEDULED_COMPACTION, compaction), (FINISHED_COMPACTION, compaction)]
    leases = dict(_rows(engine, LEASE))
    rows[KEY] = []
    for row, value in _rows(engine, KEY):
        if parse_row_key(row)[0] > revision:
            break
        rows[KEY].append((row, value))
        lease = mvccpb.KeyValue.FromString(value).lease
        if lease:
            _know(leases, lease)
    granted = {lease for entry in entries for lease in _leases_of(entry, "lease_grant")}
    revoked = {lease for entry in entries for lease in _leases_of(entry, "lease_revoke")}
    for lease in granted:
        leases.pop(_lease_key(lease), None)
    for lease in sorted(revoked - granted):
        _know(leases, lease)
    rows[LEASE] = sorted(leases.items())
    store_rows(base, rows)
    return base


def _know(leases: dict[bytes, bytes], lease: int) -> None:
    leases.setdefault(_lease_key(lease), leasepb.Lease(ID=lease, TTL=1).SerializeToString())


def _lease_key(lease: int) -> bytes:
    return (lease & (1 << 64) - 1).to_bytes(8, "big")


def _requests(entry: Entry) -> list[str]:
    if entry.type or not entry.data:
        return []
    try:
        request = etcdserverpb.InternalRaftRequest.FromString(entry.data)
    except DecodeError:
        return []
    return [name.name for name, _ in request.ListFields()]


def _leases_of(entry: Entry, kind: str) -> list[int]:
    if kind not in _requests(entry):
        return []
    request = etcdserverpb.InternalRaftRequest.FromString(entry.data)
    return [getattr(request, kind).ID]


def _commit(rows: Backend) -> None:
    layer = rows.take()
    if layer is None:
        return
    rows.engine.begin()
    for bucket, changes in layer.buckets.items():
        rows.engine.write(bucket, changes.items())
    rows.engine.commit()
    rows.committed()


def _compare(bucket: str, found: Engine, expected: Engine, since: int, verdict: Verdict) -> int:
    """Every row of a bucket; of keys, those after a revision.  How many there are."""
    pending = _pending_compaction(found) if bucket == KEY else -1
    left, right = _kept(found, bucket, since), _kept(expected, bucket, since)
    ours, theirs = next(left, None), next(right, None)
    count = 0
    while ours is not None or theirs is not None:
        count += 1
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            if bucket != KEY or parse_row_key(ours[0])[0] > pending:
                verdict.fault(f"{bucket}: {_row(bucket, ours)} is not what the log says")
            ours = next(left, None)
        elif ours is None or theirs[0] < ours[0]:
            verdict.fault(f"{bucket}: {_row(bucket, theirs)} is missing")
            theirs = next(right, None)
        else:
            if ours[1] != theirs[1]:
                verdict.fault(f"{bucket}: {_row(bucket, ours)} should be {_row(bucket, theirs)}")
            ours, theirs = next(left, None), next(right, None)
    return count


def _kept(engine: Engine, bucket: str, since: int) -> Iterator[Row]:
    for key, value in _rows(engine, bucket):
        if bucket == META and key in _POSITIONS:
            continue
        if bucket == KEY and parse_row_key(key)[0] <= since:
            continue
        yield key, value


def _pending_compaction(engine: Engine) -> int:
    """Up to this revision rows may be there that a compaction was about to remove."""
    scheduled, finished = (
        _revision(engine.get(META, name)) for name in (SCHEDULED_COMPACTION, FINISHED_COMPACTION)
    )
    return scheduled if scheduled > finished else -1


def _newest(engine: Engine) -> int:
    newest = FIRST_REVISION
    for row, _ in _rows(engine, KEY):
        newest = max(newest, parse_row_key(row)[0])
    return max(newest, _revision(engine.get(META, SCHEDULED_COMPACTION)))


def _revision(row: bytes | None) -> int:
    return parse_row_key(row)[0] if row else -1


def _rows(engine: Engine, bucket: str) -> Iterator[Row]:
    start = b""
    while page := engine.scan(bucket, start, None, PAGE_ROWS):
        yield from page
        start = page[-1][0] + b"\0"


def _row(bucket: str, row: Row) -> str:
    """A row for people; nothing of users but their names."""
    key, value = row
    if bucket != KEY:
        return _shown(key) if bucket in _USERS else f"{_shown(key)}={value[:80]!r}"
    try:
        kv = mvccpb.KeyValue.FromString(value)
    except DecodeError:
        return f"row {key.hex()}"
    kind = "deletion" if is_tombstone(key) else f"version {kv.version}, {len(kv.value)} bytes"
    return f"{_shown(kv.key)} at revision {parse_row_key(key)[0]} ({kind})"


def _shown(key: bytes) -> str:
    return repr(key[:100].decode("utf-8", "backslashreplace"))
