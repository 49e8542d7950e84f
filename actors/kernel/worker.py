"""The one door to threads.

What a thread does to the schedule no seed can replay, so blocking work (an fsync, a database
commit, a password hash) goes through a `Worker` that is passed in: real threads in a server,
`InlineWorker` in the simulator.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

import outcome
import trio

T = TypeVar("T")


class Worker(Protocol):
    async def run(self, function: Callable[..., T], *args: object) -> T:
        """What `function(*args)` returns or raises, computed without blocking the loop.

        Cancellation waits for the function to finish: it cannot be stopped half-way, and
        whoever asked for it owns what it touches.
        """
        ...


class InlineWorker:
    """Runs the work at once, on the event loop: for simulation, where no thread may exist."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class ThreadWorker:
    """Trio's thread cache, at most `threads` at once.  A round trip costs 190 µs here."""

    def __init__(self, threads: int) -> None:
        self._limiter = trio.CapacityLimiter(threads)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        return await trio.to_thread.run_sync(function, *args, limiter=self._limiter)


LEAVE_SECONDS = 5.0


class DedicatedThread:
    """One thread of its own, fed by a queue; answers come in order, through the Trio token.

    A round trip costs 100 µs here: half of `ThreadWorker`'s, because no thread is looked for.
    Use as `async with`; leaving waits for what is queued, but no longer than LEAVE_SECONDS: a
    disk may never answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> DedicatedThread:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        ended = trio.Event()
        self._jobs.put(lambda: self._token.run_sync_soon(ended.set))
        self._jobs.put(None)
        with trio.move_on_after(LEAVE_SECONDS, shield=True):
            await ended.wait()
            assert self._thread is not None
            self._thread.join()  # it has nothing left to do

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        task = trio.lowlevel.current_task()

        def job() -> None:
            result = outcome.capture(function, *args)
            with suppress(trio.RunFinishedError):  # nobody is left to hear it
                self._token.run_sync_soon(trio.lowlevel.reschedule, task, outcome.Value(result))

        await trio.lowlevel.checkpoint_if_cancelled()
        self._jobs.put(job)
        result: outcome.Outcome[T] = await trio.lowlevel.wait_task_rescheduled(_cannot_abort)
        return result.unwrap()


def _cannot_abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
