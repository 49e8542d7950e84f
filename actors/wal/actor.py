"""The log's owner: group commit.

Inbox     16 calls (snapshot records, releases); one notice (what raft wants written, which
          merges into one longer list).
Waits on  nobody.
Restarts  no: after a failed write or fsync the disk cannot be trusted, and never again is.

All that waits when the disk is free becomes one write and one fdatasync; while that runs the
next batch gathers.  On a fast disk it runs on the event loop, on a slow one on the worker: see
`pace`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import trio

from actors.kernel import Call, Inbox, Notice, Worker
from actors.raft.ready import Write
from actors.raft.types import Snapshot
from actors.wal.pace import Pace
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter
from wire.durations import Durations
from wire.invariant import InvariantBroken

INBOX_CALLS = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WriteLog(Notice):
    """Writes of raft's, in order."""

    writes: list[Write]

    def merge(self, older: WriteLog) -> WriteLog:
        older.writes.extend(self.writes)
        return older


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
    """Hears how many seconds each fdatasync took; `wire.durations.Durations` is one."""

    def note(self, seconds: float) -> None: ...


class Wal:
    """The handle."""

    def __init__(self) -> None:
        self.inbox = Inbox("wal", calls=INBOX_CALLS)
        self.writes = Durations()  # handing entries to the system, before the fdatasync
        self.latest = 0.0, 0.0  # when what was written at once was begun, and durable; Trio time
        self._log: _Log | None = None

    def write(self, write: Write) -> bool:
        """True if it is durable already; else raft hears of it through `persisted`.

        Takes no longer than an fdatasync on the event loop does anyway (see `pace`), so it is
        made at once if the actor is idle: that spares two changes of tasks.
        """
        log = self._log
        if log is not None and self.inbox.is_idle and log.may_write_at_once(write):
            durable = log.write_at_once(write, self.inbox)
            self.latest = log.wrote_at, log.durable_at
            return durable
        # A commit index alone goes out with the next write, so nobody is woken for it.
        self.inbox.notify(WriteLog([write]), wake=write.receipt is not None)
        return False

    async def save_snapshot_record(self, record: SnapshotRecord) -> None:
        """For a snapshot whose file is saved and whose index is committed."""
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
    save_snapshot: Callable[[Snapshot], None] | None = None,
    task_status: trio.TaskStatus[Wal] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`persisted(receipt)` must not block.  Closes the writer.

    `save_snapshot` saves the file of a snapshot that raft wants written (a leader's), on the
    worker; a member that is alone is never sent one.
    """
    log = _Log(writer, worker, times, wal.writes, save_snapshot)
    with wal.inbox:
        wal._log = log
        task_status.started(wal)
        try:
            while True:
                await wal.inbox.wait()
                if log.failure is not None:
                    raise log.failure
                await log.cut_if_full()
                await _commit_group(wal.inbox.drain(), log, persisted)
        except trio.Cancelled:
            _leave(wal.inbox.drain(), writer)
            raise
        finally:
            wal._log = None
            writer.close()


async def _commit_group(messages: list[Any], log: _Log, persisted: Callable[[int], None]) -> None:
    """One write and at most one fdatasync for everything that waits."""
    receipt = None
    entries = 0
    calls: list[Call[Any]] = []
    for message in messages:
        match message:
            case WriteLog(writes=writes):
                for write in writes:
                    await log.append(write)
                    entries += len(write.entries)
                    receipt = write.receipt if write.receipt is not None else receipt
            case SaveSnapshotRecord(record=record):
                log.writer.append((), snapshot=record)
                calls.append(message)
            case Release():
                calls.append(message)
    if receipt is None and not calls:
        return  # only the commit index moved: that goes out with the next write
    await log.write_and_sync(entries)
    if receipt is not None:
        persisted(receipt)
    await log.cut_if_full()
    for call in calls:
        if isinstance(call, Release):
            call.reply.answer(await log.release(call.index, call.keep))
        else:
            call.reply.answer(None)


def _leave(messages: list[Any], writer: LogWriter) -> None:
    """A commit index may be left over: it goes out, though nobody waits for it."""
    for message in messages:
        for write in message.writes if isinstance(message, WriteLog) else ():
            if write.receipt is None and write.snapshot is None:
                writer.append(write.entries, write.hard_state)
    writer.write()


class _Log:
    """The writer, and where its work runs; see `pace`."""

    def __init__(
        self,
        writer: LogWriter,
        worker: Worker,
        times: SyncTimes,
        writes: Durations,
        save_snapshot: Callable[[Snapshot], None] | None,
    ) -> None:
        self.writer = writer
        self._writes = writes
        self._worker = worker
        self._times = times
        self._save_snapshot = save_snapshot
        self._clock = trio.lowlevel.current_clock()  # may be read on the worker too
        self._pace = Pace()
        self.failure: Exception | None = None  # of a write that was made at once
        self.wrote_at = self.durable_at = 0.0  # Trio time of the latest: its beginning, its end

    def may_write_at_once(self, write: Write) -> bool:
        return (
            write.receipt is not None
            and write.snapshot is None
            and self._pace.is_inline(len(write.entries))
        )

    def write_at_once(self, write: Write, inbox: Inbox) -> bool:
        """The same as a group of one; True if it is durable."""
        try:
            for message in inbox.drain():  # commit indexes that nobody was woken for
                for earlier in message.writes:
                    self.writer.append(earlier.entries, earlier.hard_state)
            self.writer.append(write.entries, write.hard_state)
            written = self._timed_write()
            self.writer.sync()
            self.durable_at = self._clock.current_time()
        except Exception as error:
            self.failure = error
            inbox.wake()
            return False
        seconds = self.durable_at - written
        self._pace.note(seconds, inline=True)
        self._times.note(seconds)
        if self.writer.is_full:
            inbox.wake()
        return True

    async def append(self, write: Write) -> None:
        snapshot, record = write.snapshot, None
        if snapshot is not None:
            # The file first: the record promises that it is there.
            if self._save_snapshot is None:
                raise InvariantBroken("a snapshot and nowhere to save it", {"snapshot": snapshot})
            await self._on_worker(self._save_snapshot, snapshot)
            record = SnapshotRecord(*snapshot.metadata)
        self.writer.append(write.entries, write.hard_state, record)

    async def write_and_sync(self, entries: int) -> None:
        self._timed_write()
        inline = self._pace.next_is_inline(entries)
        seconds = self._timed_sync() if inline else await self._on_worker(self._timed_sync)
        self._pace.note(seconds, inline=inline)
        self._times.note(seconds)

    def _timed_write(self) -> float:
        """When it was done."""
        self.wrote_at = self._clock.current_time()
        self.writer.write()
        now = self._clock.current_time()
        self._writes.note(now - self.wrote_at)
        return now

    def _timed_sync(self) -> float:
        """Its own time, without the way to the worker and back."""
        began = self._clock.current_time()
        self.writer.sync()
        return self._clock.current_time() - began

    async def _on_worker(self, function: Callable[..., T], *args: object) -> T:
        """What is begun is done to the end."""
        with trio.CancelScope(shield=True):
            result = await self._worker.run(function, *args)
        return result

    async def cut_if_full(self) -> None:
        if self.writer.is_full:
            await self._on_worker(self.writer.cut)

    async def release(self, index: int, keep: int) -> list[str]:
        """On the worker: removing 64 MiB may take a file system a while."""
        return await self._on_worker(self.writer.release, index, keep)
