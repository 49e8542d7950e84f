"""What a member knows when it starts again: the newest snapshot that counts, and the log after it.

Source: etcd server/etcdserver/bootstrap.go (bootstrapSnapshot, bootstrapWALFromSnapshot).
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.raft.types import Entry, HardState, Snapshot
from actors.snapshot import files
from actors.wal.disk import Disk
from actors.wal.reader import LogContents, read_log, snapshot_records
from actors.wal.records import SnapshotRecord


@dataclass(frozen=True)
class Recovered:
    metadata: bytes  # an etcdserverpb.Metadata: the ids of member and cluster
    hard_state: HardState
    snapshot: Snapshot | None  # the newest that counts
    entries: list[Entry]  # all after it; those beyond the commit index may yet be replaced
    log: LogContents  # for `LogWriter.resume`


def recover(disk: Disk, wal: str, snap: str) -> Recovered:
    """Read the log in the directory `wal` and the snapshot files in `snap`.

    Raises:
        LogCorrupt: naming the file and offset.
        SegmentsBroken: a part of the log is missing, or all of it.
    """
    snapshot = files.load_newest(disk, snap, snapshot_records(disk, wal))
    start = SnapshotRecord(0, 0)
    if snapshot is not None:
        start = SnapshotRecord(*snapshot.metadata)
    log = read_log(disk, wal, start)
    return Recovered(log.metadata, log.hard_state, snapshot, log.entries, log)
