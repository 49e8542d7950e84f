"""The backend: commits what was applied, in the background.

Inbox     16 calls (flush, defragment, install); one notice (there are changes).
Waits on  nobody.
Restarts  no: after a failed commit the disk cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import trio

from actors.backend.backend import Backend, Layer
from actors.backend.buckets import KEY
from actors.backend.engine import Full
from actors.kernel import Call, Inbox, Notice, Worker
from wire.durations import Durations, doubling
from wire.errors import Refused
from wire.invariant import invariant
from wire.status import Status

INBOX_CALLS = 16
SLICE_ROWS = 1000  # written between two turns of the event loop: 0.4 ms


@dataclass(frozen=True, slots=True)
class Flush(Call[int]):
    """Commit all that is applied now; the answer is the durable log index."""


@dataclass(frozen=True, slots=True)
class Defragment(Call[None]):
    """Rewrite the database without its free pages."""


@dataclass(frozen=True, slots=True)
class Install(Call[None]):
    """Put the state that was received for a log index in the place of this one.

    `restore` is called in the same step, so that nobody reads a mixture.
    """

    index: int
    restore: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Changed(Notice):
    """Something was applied."""


class CommitTimes(Protocol):
    """Hears how many seconds each commit took."""

    def note(self, seconds: float) -> None: ...


class BackendActor:
    """The handle."""

    def __init__(self, backend: Backend, batch_rows: int) -> None:
        """A commit is made at the latest when `batch_rows` changes wait for one."""
        self.inbox = Inbox("backend", calls=INBOX_CALLS)
        self.backend = backend
        self.batch_rows = batch_rows
        self.is_defragmenting = False
        self.defragmentations = Durations(doubling(0.1, 13))
        self.snapshots = Durations(doubling(0.01, 17))  # from their opening to their closing
        self._told = False

    def changed(self) -> None:
        """Something was applied.  Wakes the actor at the first change and when a batch is full."""
        if not self._told or self.backend.pending_rows >= self.batch_rows:
            self._told = True
            self.inbox.notify(Changed())

    def forget(self) -> None:
        """The actor has taken the changes told of."""
        self._told = False

    async def flush(self) -> int:
        """Make all that is applied durable and return its log index."""
        return await self.inbox.call(Flush())

    async def defragment(self) -> None:
        """Give unused pages back to the disk.

        Raises:
            Refused: there was no room for the copy that this takes.
        """
        began = trio.current_time()
        self.is_defragmenting = True
        try:
            await self.inbox.call(Defragment())
        finally:
            self.is_defragmenting = False
        self.defragmentations.note(trio.current_time() - began)

    async def install(self, index: int, restore: Callable[[], None]) -> None:
        """See `Install`."""
        await self.inbox.call(Install(index, restore))


async def run_backend(
    handle: BackendActor,
    worker: Worker,
    *,
    batch_interval: float,
    times: CommitTimes,
    task_status: trio.TaskStatus[BackendActor] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Commit `batch_interval` seconds after a change, or when a batch is full.

    `worker` must be one thread.  The last commit is made on the way out of a cancellation.
    """
    backend = handle.backend
    with handle.inbox:
        task_status.started(handle)
        try:
            while True:
                calls = await _gather(handle, batch_interval)
                handle.forget()
                await commit(backend, worker, times)
                for call in calls:
                    await _answer(call, backend, worker)
        except trio.Cancelled:
            await commit(backend, worker, times)
            raise


async def _gather(handle: BackendActor, interval: float) -> list[Call[Any]]:
    """Wait for a change, then for company, but not once somebody waits for the commit."""
    inbox = handle.inbox
    await inbox.wait()
    deadline = trio.current_time() + interval
    while True:
        calls = [message for message in inbox.drain() if isinstance(message, Call)]
        if calls or handle.backend.pending_rows >= handle.batch_rows:
            return calls
        with trio.move_on_at(deadline) as waiting:
            await inbox.wait()
        if waiting.cancelled_caught:
            return []


async def commit(backend: Backend, worker: Worker, times: CommitTimes) -> None:
    """Write the pending layer to the database, durably, with the index it belongs to.

    Not cancellable: it ends by itself, and half of it is worth nothing.
    """
    with trio.CancelScope(shield=True):
        began = trio.current_time()
        engine = backend.engine
        await worker.run(engine.begin)
        layer = backend.take()
        if layer is None:
            await worker.run(engine.abort)
            return
        while True:
            try:
                await _write(layer, backend)
                break
            except Full:
                await worker.run(engine.abort)
                engine.grow()
                await worker.run(engine.begin)
        await worker.run(engine.commit)
        engine.renew()
        backend.committed()
        times.note(trio.current_time() - began)


async def _write(layer: Layer, backend: Backend) -> None:
    """Put the changes in, a slice between two turns of the event loop."""
    for bucket, changes in layer.buckets.items():
        rows = iter(changes.items())
        while piece := list(islice(rows, SLICE_ROWS)):
            if bucket == KEY:
                _write_rows(piece, backend)
            else:
                backend.engine.write(bucket, piece)
            await trio.lowlevel.checkpoint()


def _write_rows(piece: list[tuple[bytes, bytes | None]], backend: Backend) -> None:
    """Bucket KEY: new revisions come in order and last; compaction's deletions before them."""
    new = [(key, value) for key, value in piece if value is not None]
    if len(new) < len(piece):
        backend.engine.write(KEY, [row for row in piece if row[1] is None])
    if new:
        backend.engine.append(KEY, new)


async def _answer(call: Call[Any], backend: Backend, worker: Worker) -> None:
    if isinstance(call, Defragment):
        try:
            await worker.run(backend.engine.defragment)
        except OSError as error:  # no room for a copy: the database is as it was
            call.reply.refuse(Refused(Status.UNKNOWN, str(error)))
            return
        backend.engine.swap()
        call.reply.answer(None)
    elif isinstance(call, Install):
        invariant(backend.engine.adopt(call.index), "a snapshot is not where it was kept")
        backend.reload()
        call.restore()
        call.reply.answer(None)
    elif isinstance(call, Flush):
        call.reply.answer(backend.durable_index)
