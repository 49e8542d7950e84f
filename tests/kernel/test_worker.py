"""The worker seam: the same contract from threads and from the simulator's stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from actors.kernel import DedicatedThread, InlineWorker, ThreadWorker, Worker


@pytest.fixture(params=["inline", "threads", "dedicated"])
async def worker(request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    if request.param == "inline":
        yield InlineWorker()
    elif request.param == "threads":
        yield ThreadWorker(2)
    else:
        async with DedicatedThread("test") as thread:
            yield thread


async def test_work_returns_what_the_function_returns(worker: Worker):
    assert await worker.run(divmod, 7, 2) == (3, 1)


async def test_work_raises_what_the_function_raises(worker: Worker):
    with pytest.raises(ZeroDivisionError):
        await worker.run(divmod, 7, 0)
    assert await worker.run(abs, -1) == 1


async def test_cancelled_work_does_not_begin(worker: Worker):
    ran = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await worker.run(ran.append, 1)
    assert scope.cancelled_caught
    assert ran == []


async def test_a_dedicated_thread_works_in_order():
    order: list[int] = []
    async with DedicatedThread("test") as thread, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(thread.run, order.append, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(20))
