"""A new cluster's first data directory, made from a snapshot file of etcd's or ours.

Every member restores the same file with the same initial cluster, so all begin with the same
state: the file's keys, leases and users, and the new members.  The log begins with the entries
that add them, all of them applied.
Source: etcd etcdutl/snapshot/v3_snapshot.go (Restore, saveWALAndSnap, modifyLatestRevision).
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.backend.buckets import (
    CONF_STATE,
    CONSISTENT_INDEX,
    KEY,
    MEMBERS,
    META,
    SCHEDULED_COMPACTION,
    TERM,
)
from actors.backend.engine import Engine, Row
from actors.bolt.contents import rows_for_new_cluster
from actors.bolt.reader import Source
from actors.bolt.snapshot_file import SnapshotRefused, check_digest, open_database
from actors.cluster.ids import cluster_id, member_id, show
from actors.cluster.initial import check_bootstrap, parse_initial_cluster
from actors.cluster.member import Member, conf_state_json
from actors.cluster.urls import check_urls
from actors.mvcc.revision import FIRST_REVISION, parse_row_key, row_key
from actors.raft.types import ConfState, HardState, Snapshot, SnapshotMetadata
from actors.snapshot import files
from actors.snapshot.rows import store_rows
from actors.wal.disk import Disk
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter
from trioetcd.node.recovery import first_entries
from wire.log import Log
from wire.pb import etcdserverpb

BATCH_ROWS = 10_000  # in one transaction, or
BATCH_BYTES = 16 << 20
FIRST_TERM = 1
UNFINISHED = "member.part"  # in the data directory: whatever that is mounted on, it can be renamed
MAX_REVISION = (1 << 63) - 1


@dataclass(frozen=True)
class Restoration:
    """What `snapshot restore` is told; see its flags."""

    snapshot: str
    data_dir: str
    wal_dir: str
    name: str
    initial_cluster: str
    cluster_token: str
    peer_urls: tuple[str, ...]
    skip_hash_check: bool = False
    bump_revision: int = 0


def restore(task: Restoration, disk: Disk, open_engine: Callable[[Path], Engine], log: Log) -> None:
    """Make the data directory.  The file is read twice: nothing is made before it is known good.

    All is written beside its place (`UNFINISHED`) and renamed in the end, so that no member
    begins with half of it.

    Raises:
        BadURL, BadInitialCluster: no cluster can begin so.
        SnapshotRefused: the file is not what it was, or the directory is in use.
        BoltCorrupt: the file is broken.
        OSError: it cannot be read, or the directory cannot be written.
    """
    members = _members(task)
    _check_places(task, disk)
    snap = f"{task.data_dir}/member/snap"
    words = {
        "path": task.snapshot,
        "wal_dir": task.wal_dir,
        "data_dir": task.data_dir,
        "snap_dir": snap,
    }
    log.info("restoring snapshot", **words)
    source = disk.open(task.snapshot)
    try:
        if not task.skip_hash_check:
            check_digest(source)
        revision = _newest_revision(source)
        compaction = _bumped(revision, task.bump_revision, log)
        unfinished = f"{task.data_dir}/{UNFINISHED}"
        disk.mkdir(f"{unfinished}/snap")
        engine = open_engine(Path(unfinished, "snap"))
        try:
            _fill(engine, source, _begun(members, compaction))
        finally:
            engine.close()
        _write_log(task, members, disk, f"{unfinished}/snap")
        disk.rename(unfinished, f"{task.data_dir}/member")
        disk.sync_directory(task.data_dir)
    finally:
        source.close()
    log.info("restored snapshot", **words)


def _members(task: Restoration) -> list[Member]:
    """Those of the new cluster, by id."""
    cluster = parse_initial_cluster(task.initial_cluster)
    check_bootstrap(cluster, task.name, check_urls(task.peer_urls))
    members = [
        Member(member_id(urls, task.cluster_token), urls, name=name)
        for name, urls in cluster.items()
    ]
    return sorted(members, key=lambda one: one.id)


def _check_places(task: Restoration, disk: Disk) -> None:
    try:
        is_empty = not disk.list(task.data_dir)
    except OSError:
        is_empty = False
    if not is_empty:
        raise SnapshotRefused(f'data-dir "{task.data_dir}" not empty or could not be read')
    parent, name = os.path.split(task.wal_dir.rstrip("/"))
    if name in disk.list(parent or "."):
        raise SnapshotRefused(f'wal-dir "{task.wal_dir}" exists')


# -- The database


def _newest_revision(source: Source) -> int:
    """Go through all rows, so that whatever is wrong is found before anything is written."""
    newest, compacted = b"", b""
    for bucket, (key, value) in rows_for_new_cluster(open_database(source)):
        if bucket == KEY:
            newest = key
        elif bucket == META and key == SCHEDULED_COMPACTION:
            compacted = value
    return max(FIRST_REVISION, *(parse_row_key(row)[0] for row in (newest, compacted) if row), 0)


def _bumped(revision: int, amount: int, log: Log) -> list[Row]:
    """The row that makes the store begin at a later revision, with all before it compacted.

    Unlike etcdutl's, without an empty change there: the compaction says where the store is.
    """
    if not amount:
        return []
    bumped = revision + amount
    if bumped > MAX_REVISION:
        raise SnapshotRefused(f"revision {revision} cannot be bumped by {amount}")
    log.info(
        "bumping latest revision",
        latest_revision=revision,
        bump_amount=amount,
        new_latest_revision=bumped,
    )
    log.info("marking revision compacted", revision=bumped)
    return [(SCHEDULED_COMPACTION, row_key(bumped, 0))]


def _begun(members: list[Member], meta: list[Row]) -> dict[str, list[Row]]:
    """The rows of a cluster whose members have just been added."""
    conf_state = ConfState(tuple(member.id for member in members))
    return {
        MEMBERS: [(show(member.id).encode(), member.to_json()) for member in members],
        META: [
            *meta,
            (CONSISTENT_INDEX, len(members).to_bytes(8, "big")),
            (TERM, FIRST_TERM.to_bytes(8, "big")),
            (CONF_STATE, conf_state_json(conf_state)),
        ],
    }


def _fill(engine: Engine, source: Source, ours: dict[str, list[Row]]) -> None:
    """The file's rows, and then ours."""
    rows = rows_for_new_cluster(open_database(source))
    for bucket, some in _batches(rows):
        store_rows(engine, {bucket: some})
    store_rows(engine, ours, behind_all=False)


def _batches(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of one bucket, as many as go into a transaction."""
    gathered: list[Row] = []
    at, size = "", 0
    for bucket, row in rows:
        if gathered and (bucket != at or len(gathered) >= BATCH_ROWS or size >= BATCH_BYTES):
            yield at, gathered
            gathered, size = [], 0
        at = bucket
        gathered.append(row)
        size += len(row[0]) + len(row[1])
    if gathered:
        yield at, gathered


# -- The log


def _write_log(task: Restoration, members: list[Member], disk: Disk, snap: str) -> None:
    """The members' entries, applied; a snapshot there, so that the log begins with it."""
    own = next(member.id for member in members if member.name == task.name)
    ids = tuple(member.id for member in members)
    metadata = etcdserverpb.Metadata(NodeID=own, ClusterID=cluster_id(ids))
    entries = first_entries(members)
    position = SnapshotMetadata(len(entries), FIRST_TERM, ConfState(ids))
    wal = task.wal_dir.rstrip("/")
    inside = f"{task.data_dir}/member/"
    if wal.startswith(inside):
        wal = f"{task.data_dir}/{UNFINISHED}/{wal.removeprefix(inside)}"
    disk.mkdir(os.path.dirname(wal) or ".")
    writer = LogWriter.create(disk, wal, metadata.SerializeToString())
    try:
        writer.append(entries, HardState(FIRST_TERM, ids[0], len(entries)))
        files.save(disk, snap, Snapshot(position))
        writer.append([], None, SnapshotRecord(*position))
        writer.write()
        writer.sync()
    finally:
        writer.close()
