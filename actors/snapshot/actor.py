"""The snapshotter: now and then notes how far the database has come, so that old log can go.

Inbox     one notice (how far entries are applied).
Waits on  backend, to make what is applied durable; wal, for its snapshot record and to release
          segments; the worker, to write the file.
Restarts  no: after a failed fsync of its file nothing on that disk can be trusted.

The order is what makes it safe: first the database is durable up to an index, then a file says
so, then the log says that the file is whole, and only then is anything released.
Source: etcd server/etcdserver/server.go (triggerSnapshot, snapshot), storage.go (SaveSnap).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from actors.backend.actor import BackendActor
from actors.kernel import Inbox, Notice, Worker
from actors.raft.types import ConfState, Snapshot, SnapshotMetadata
from actors.snapshot import files
from actors.wal.actor import Wal
from actors.wal.disk import Disk
from actors.wal.records import SnapshotRecord
from wire.durations import Durations


@dataclass(frozen=True, slots=True)
class Reached(Notice):
    """Everything through the entry at `index` is applied; the configuration there."""

    index: int
    term: int
    conf_state: ConfState


@dataclass(frozen=True)
class Retention:
    """When a snapshot is made and what is kept; etcd's flags and defaults."""

    snapshot_count: int = 10_000  # entries between snapshots
    catchup_entries: int = 5_000  # kept in memory for followers that are a little behind
    max_snapshots: int = 5  # files; 0: all
    max_wals: int = 5  # segments; 0: all


class Snapshotter:
    """The handle."""

    def __init__(self, last_index: int, retention: Retention) -> None:
        """`last_index` is that of the snapshot the member started from."""
        self.inbox = Inbox("snapshotter", calls=0)
        self.last_index = last_index
        self.retention = retention
        self.saves = Durations()  # of files, each with its fsync

    def installed(self, index: int) -> None:
        """A leader's snapshot is on disk here: the next one is counted from it."""
        self.last_index = max(self.last_index, index)

    def reached(self, index: int, term: int, conf_state: ConfState) -> None:
        """Said after every batch; wakes the actor only when there is enough for a snapshot."""
        if index - self.last_index >= self.retention.snapshot_count:
            self.inbox.notify(Reached(index, term, conf_state))


async def run_snapshotter(
    snapshotter: Snapshotter,
    disk: Disk,
    directory: str,
    wal: Wal,
    backend: BackendActor,
    worker: Worker,
    compact: Callable[[int], None],
    *,
    task_status: trio.TaskStatus[Snapshotter] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`directory` holds the snapshot files; `compact` tells raft to forget entries."""
    retention = snapshotter.retention
    with snapshotter.inbox:
        task_status.started(snapshotter)
        while True:
            reached: Reached = await snapshotter.inbox.receive()
            if reached.index - snapshotter.last_index < retention.snapshot_count:
                continue
            metadata = SnapshotMetadata(reached.index, reached.term, reached.conf_state)
            await backend.flush()
            began = trio.current_time()
            await worker.run(files.save, disk, directory, Snapshot(metadata))
            snapshotter.saves.note(trio.current_time() - began)
            await wal.save_snapshot_record(
                SnapshotRecord(reached.index, reached.term, reached.conf_state)
            )
            snapshotter.last_index = reached.index
            compact(max(0, reached.index - retention.catchup_entries))
            await wal.release(reached.index, retention.max_wals)
            await worker.run(files.purge, disk, directory, reached.index, retention.max_snapshots)
