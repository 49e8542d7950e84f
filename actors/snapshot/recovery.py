"""What a member knows when it starts again: the newest snapshot that counts, and the log after it.

Source: etcd server/etcdserver/bootstrap.go (bootstrapSnapshot, bootstrapWALFromSnapshot).
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.raft.types import Entry, HardState, Snapshot
from actors.snapshot import files
from actors.wal.disk import Disk
from actors.wal.reader import LogContents, SnapshotUnknown, read_log
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

    Only the segments from the newest snapshot on are read, and nearly always once: a snapshot
    does not count only if a crash came between its file and its record, or (a leader's) before
    it was committed.

    Raises:
        LogCorrupt: naming the file and offset.
        SegmentsBroken: a part of the log is missing, or all of it.
    """
    for snapshot in files.newest_first(disk, snap):
        try:
            log = read_log(disk, wal, SnapshotRecord(*snapshot.metadata))
        except SnapshotUnknown:
            continue
        if snapshot.metadata.index <= log.hard_state.commit:
            return Recovered(log.metadata, log.hard_state, snapshot, log.entries, log)
    log = read_log(disk, wal, SnapshotRecord(0, 0))
    return Recovered(log.metadata, log.hard_state, None, log.entries, log)
