"""The backend's actor: when it commits, and that it loses nothing on the way out."""

from __future__ import annotations

import pytest
import trio

from actors.backend.actor import SLICE_ROWS, BackendActor, run_backend
from actors.backend.backend import Backend
from actors.backend.buckets import KEY
from actors.backend.engine import Full, MemoryEngine, Row
from actors.kernel import ActorStopped, InlineWorker
from wire.errors import Refused


class Times:
    def __init__(self) -> None:
        self.at: list[float] = []

    def note(self, seconds: float) -> None:
        self.at.append(trio.current_time())


async def start(
    nursery: trio.Nursery, backend: Backend, times: Times | None = None, rows: int = 100
):
    async def run(*, task_status: trio.TaskStatus[object]) -> None:
        await run_backend(
            BackendActor(backend, rows),
            InlineWorker(),
            batch_interval=0.1,
            times=times or Times(),
            task_status=task_status,
        )

    return await nursery.start(run)


async def test_changes_are_committed_after_the_interval(autojump_clock):
    backend, times = Backend(MemoryEngine()), Times()
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend, times)
        began = trio.current_time()
        backend.put_row(b"r1", b"v")
        handle.changed()
        await trio.sleep(0.05)
        assert times.at == []
        handle.changed()
        await trio.sleep(1)
        assert [at - began for at in times.at] == [pytest.approx(0.1)]
        assert backend.engine.get(KEY, b"r1") == b"v"
        nursery.cancel_scope.cancel()


async def test_a_full_batch_is_committed_at_once(autojump_clock):
    backend, times = Backend(MemoryEngine()), Times()
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend, times, rows=3)
        began = trio.current_time()
        for number in range(3):
            backend.put_row(b"r%d" % number, b"v")
            handle.changed()
            await trio.testing.wait_all_tasks_blocked()
        assert times.at == [began]
        nursery.cancel_scope.cancel()


async def test_flush_answers_with_the_durable_index(autojump_clock):
    backend = Backend(MemoryEngine())
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend)
        backend.put_row(b"r1", b"v")
        backend.applied_index = 5
        assert await handle.flush() == 5
        assert backend.durable_index == 5
        nursery.cancel_scope.cancel()


async def test_stopping_commits_what_is_pending():
    backend = Backend(MemoryEngine())
    async with trio.open_nursery() as nursery:
        await start(nursery, backend)
        backend.put_row(b"r1", b"v")
        backend.applied_index = 9
        nursery.cancel_scope.cancel()
    assert backend.engine.get(KEY, b"r1") == b"v"
    assert Backend(backend.engine).applied_index == 9


class BrokenDisk(MemoryEngine):
    def commit(self) -> None:
        raise OSError(5, "Input/output error")


async def test_a_failed_commit_ends_the_actor_and_whoever_waits_hears_it():
    backend = Backend(BrokenDisk())
    heard = []
    with pytest.RaisesGroup(OSError):
        async with trio.open_nursery() as nursery:
            handle = await start(nursery, backend)

            async def flush() -> None:
                with trio.CancelScope(shield=True):
                    try:
                        await handle.flush()
                    except ActorStopped:
                        heard.append("stopped")

            nursery.start_soon(flush)
            backend.put_row(b"r1", b"v")
    assert heard == ["stopped"]
    assert Backend(backend.engine).applied_index == 0


class Crowded(MemoryEngine):
    """Runs out of room twice, and has none for a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.grown = 0

    def append(self, bucket: str, rows: list[Row]) -> None:
        super().append(bucket, rows)
        if self.grown < 2:
            raise Full

    def grow(self) -> None:
        self.grown += 1

    def defragment(self) -> None:
        raise OSError(28, "No space left on device")


async def test_a_full_map_is_grown_and_the_batch_written_again():
    backend = Backend(Crowded())
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend)
        backend.put("lease", b"l", b"1")
        backend.put_row(b"r1", b"v")
        await handle.flush()
        assert backend.engine.scan(KEY, b"", None, 9) == [(b"r1", b"v")]
        assert backend.engine.get("lease", b"l") == b"1"
        nursery.cancel_scope.cancel()


async def test_a_defragmentation_without_room_is_refused_and_nothing_else_happens():
    backend = Backend(Crowded())
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend)
        with pytest.raises(Refused, match="No space left on device"):
            await handle.defragment()
        backend.put_row(b"r1", b"v")
        await handle.flush()
        assert backend.engine.get(KEY, b"r1") == b"v"
        nursery.cancel_scope.cancel()


async def test_other_tasks_have_their_turn_while_a_large_batch_is_written():
    backend = Backend(MemoryEngine())
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend)
        for number in range(20 * SLICE_ROWS):
            backend.put("lease", b"%d" % number, b"")
        nursery.start_soon(count_turns)
        await handle.flush()
        assert turns >= 20
        nursery.cancel_scope.cancel()


async def test_what_is_applied_during_a_commit_is_committed_by_the_next():
    class SlowDisk(MemoryEngine):
        def commit(self) -> None:
            if not backend.get(KEY, b"r2"):
                backend.put_row(b"r2", b"late")
                backend.applied_index = 2
            super().commit()

    backend = Backend(SlowDisk())
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, backend)
        backend.put_row(b"r1", b"v")
        backend.applied_index = 1
        assert await handle.flush() == 1
        assert backend.engine.get(KEY, b"r2") is None
        assert backend.get(KEY, b"r2") == b"late"
        assert await handle.flush() == 2
        assert backend.engine.get(KEY, b"r2") == b"late"
        nursery.cancel_scope.cancel()
