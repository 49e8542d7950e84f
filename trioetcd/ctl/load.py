"""Writes at a steady rate by many at a time, and how long they took.

Source: etcd etcdctl/ctlv3/command/check.go, pkg/report/report.go.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count

import trio

from trioetcd.ctl.errors import words
from wire.errors import EtcdError

Write = Callable[[int], Awaitable[object]]  # given the number of the write
Open = Callable[[], AbstractAsyncContextManager[Write]]  # makes a writer ready
_SPREAD = 0x9E3779B97F4A7C15  # odd, so that it leaves no number out; 2^64 over the golden ratio


def scattered(number: int) -> int:
    """63 bits that look like chance, another for each number: keys are not to be in order."""
    return (number * _SPREAD & (1 << 64) - 1) >> 1


@dataclass
class Report:
    seconds: list[float] = field(default_factory=list)  # each write that was answered took
    errors: Counter[str] = field(default_factory=Counter)
    total: float = 0.0  # seconds, from the first to the last

    @property
    def rate(self) -> float:
        """Writes a second."""
        return len(self.seconds) / self.total if self.total else 0.0

    @property
    def slowest(self) -> float:
        return max(self.seconds, default=0.0)

    @property
    def deviation(self) -> float:
        """Standard, in seconds."""
        if not self.seconds:
            return 0.0
        mean = math.fsum(self.seconds) / len(self.seconds)
        return math.sqrt(math.fsum((one - mean) ** 2 for one in self.seconds) / len(self.seconds))


class Load:
    """`writers` each write one after the other, when there is something to write.

    Each is opened in a task of its own: what Trio does at a call takes the longer, the more blocks
    there are around it.
    """

    def __init__(self, open_writer: Open, writers: int) -> None:
        self.report = Report()
        self._open_writer = open_writer
        self._writers = writers
        self._send, self._receive = trio.open_memory_channel[int](writers)
        self._sending = trio.CancelScope()

    async def run_for(self, seconds: float, rate: int) -> Report:
        """So many writes a second; what the writers are too slow to take is not made up for."""
        deadline = trio.current_time() + seconds

        async def send() -> None:
            due_at = trio.current_time()
            for number in count():
                await trio.sleep_until(due_at)
                if trio.current_time() >= deadline:
                    return
                due_at += 1 / rate
                try:
                    self._send.send_nowait(number)
                except trio.WouldBlock:
                    await self._send.send(number)
                    due_at = max(due_at, trio.current_time())

        return await self._run(send)

    def stop(self) -> None:
        """Send no more; what is under way is waited for."""
        self._sending.cancel()

    async def run_all(self, writes: int) -> Report:
        """So many writes, as fast as they are answered."""

        async def send() -> None:
            for number in range(writes):
                await self._send.send(number)

        return await self._run(send)

    async def _run(self, send: Callable[[], Awaitable[None]]) -> Report:
        failure: Exception | None = None
        began = 0.0
        async with trio.open_nursery() as nursery:
            try:
                for _ in range(self._writers):
                    await nursery.start(self._write_each)
                began = trio.current_time()
                async with self._send:
                    with self._sending:
                        await send()
            except Exception as error:
                failure = error
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        self.report.total = trio.current_time() - began
        return self.report

    async def _write_each(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with self._open_writer() as write:
            task_status.started()
            async for number in self._receive:
                began = trio.current_time()
                try:
                    await write(number)
                except EtcdError as error:
                    self.report.errors[words(error)] += 1
                else:
                    self.report.seconds.append(trio.current_time() - began)
