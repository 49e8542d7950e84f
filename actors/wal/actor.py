"""The log's owner: group commit.

Inbox     16 calls (snapshot records, releases); one notice (what raft wants written, which
          merges into one longer list).
Waits on  nobody.
Restarts  no: after a failed write or fsync the disk cannot be trusted, and never again is.

All that waits when the disk is free becomes one write and one fdatasync; while that runs the
next batch gathers.  Where it runs depends on the disk.  A round trip to the thread costs 150 µs
here, as much as the fdatasync of a fast disk, and for that long the event loop may as well
stand still; a slow disk's fdatasync must not hold up heartbeats.  So the fdatasync runs on the
event loop while recent ones were shorter than INLINE_SECONDS, and on the worker otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from actors.kernel import Call, Inbox, Notice, Worker
from actors.raft.ready import Write
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter

INBOX_CALLS = 16
INLINE_SECONDS = 0.0005  # a heartbeat is two hundred times as long
SMOOTHING = 0.1  # weight of the newest fdatasync in the average
FIRST_GUESS = 0.01  # seconds: a disk is slow until it has shown otherwise


@dataclass(frozen=True, slots=True)
class WriteLog(Notice):
    """Writes of raft's, in order."""

    writes: list[Write]

    def merge(self, older: WriteLog) -> WriteLog:
        return WriteLog(older.writes + self.writes)


@dataclass(frozen=True, slots=True)
class SaveSnapshotRecord(Call[None]):
    """Answered when the record is durable."""

    record: SnapshotRecord


@dataclass(frozen=True, slots=True)
class Release(Call[list[str]]):
    """Remove segments that hold nothing after `index`; the answer is their names."""

    index: int
    keep: int


class SyncTimes(Protocol):
    """Hears how many seconds each fdatasync took."""

    def note(self, seconds: float) -> None: ...


class Wal:
    """The handle."""

    def __init__(self) -> None:
        self.inbox = Inbox("wal", calls=INBOX_CALLS)

    def write(self, write: Write) -> None:
        """Never blocks; raft hears of it through `persisted`."""
        self.inbox.notify(WriteLog([write]))

    async def save_snapshot_record(self, record: SnapshotRecord) -> None:
        await self.inbox.call(SaveSnapshotRecord(record))

    async def release(self, index: int, keep: int) -> list[str]:
        """See `LogWriter.release`."""
        return await self.inbox.call(Release(index, keep))


async def run_wal(
    wal: Wal,
    writer: LogWriter,
    worker: Worker,
    persisted: Callable[[int], None],
    times: SyncTimes,
    *,
    task_status: trio.TaskStatus[Wal] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`persisted(receipt)` must not block."""
    syncing = _Syncing(writer, worker, times)
    with wal.inbox:
        task_status.started(wal)
        try:
            while True:
                await wal.inbox.wait()
                await _commit_group(wal.inbox.drain(), writer, syncing, persisted)
        except trio.Cancelled:
            writer.write()  # a commit index may be left over; nobody waits for it
            raise
        finally:
            writer.close()


async def _commit_group(
    messages: list[Any], writer: LogWriter, syncing: _Syncing, persisted: Callable[[int], None]
) -> None:
    """One write and at most one fdatasync for everything that waits.

    Not cancellable: what is being written is written to the end.
    """
    receipt = None
    calls: list[Call[Any]] = []
    for message in messages:
        match message:
            case WriteLog(writes=writes):
                for write in writes:
                    _append(write, writer)
                    receipt = write.receipt if write.receipt is not None else receipt
            case SaveSnapshotRecord(record=record):
                writer.append((), snapshot=record)
                calls.append(message)
            case Release():
                calls.append(message)
    if receipt is None and not calls:
        return  # only the commit index moved: that goes out with the next write
    with trio.CancelScope(shield=True):
        writer.write()
        await syncing.sync()
        if receipt is not None:
            persisted(receipt)
        if writer.is_full:
            await syncing.cut()
        for call in calls:
            if isinstance(call, Release):
                call.reply.answer(writer.release(call.index, call.keep))
            else:
                call.reply.answer(None)


def _append(write: Write, writer: LogWriter) -> None:
    snapshot = None
    if write.snapshot is not None:
        index, term, conf_state = write.snapshot.metadata
        snapshot = SnapshotRecord(index, term, conf_state)
    writer.append(write.entries, write.hard_state, snapshot)


class _Syncing:
    """Where the fdatasync runs; see the top of the module."""

    def __init__(self, writer: LogWriter, worker: Worker, times: SyncTimes) -> None:
        self._writer = writer
        self._worker = worker
        self._times = times
        self._clock = trio.lowlevel.current_clock()  # may be read on the worker too
        self._average = FIRST_GUESS

    async def sync(self) -> None:
        inline = self._average < INLINE_SECONDS
        seconds = self._timed_sync() if inline else await self._worker.run(self._timed_sync)
        self._average += SMOOTHING * (seconds - self._average)
        self._times.note(seconds)

    def _timed_sync(self) -> float:
        """Its own time, without the way to the worker and back."""
        began = self._clock.current_time()
        self._writer.sync()
        return self._clock.current_time() - began

    async def cut(self) -> None:
        await self._worker.run(self._writer.cut)
