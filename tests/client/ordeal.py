"""A client at work on a way that is cut again and again, and what must be true of it afterwards.

Writers put values that nobody puts twice, in a transaction each; watchers write down what they
are told; workers hold a lock in turn.  Beside them a second client, on a way that is never cut,
sees what the server has really done.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import trio

from tests.client.fault_proxy import SILENCE_SECONDS, FaultProxy
from trioetcd.client import Client, LeaseLost, MaybeApplied, NotApplied, open_client
from wire.errors import EtcdError
from wire.grpc.channel import Backoff, ChannelOptions
from wire.grpc.client_link import ClientKeepAlive

WRITERS, WATCHERS, LOCKS, WORKERS = 4, 2, 8, 2  # so many workers for each lock
TTL = 2  # seconds, etcd's least
WORK_SECONDS = 5.0  # at most: longer than a lease lives on in silence
BETWEEN_SILENCES = 0.5, 3.0  # seconds that the way of the locks may be used
SETTLE_SECONDS = 60.0
IMPATIENT = ChannelOptions(
    connect_seconds=2.0,
    keep_alive=ClientKeepAlive(interval=0.5, timeout=0.5),
    backoff=Backoff(first=0.02, most=0.2),
)
FLAGS = ["--grpc-keepalive-min-time=100ms"]  # of the server: it must bear such a client

Told = tuple[int, bytes, bytes]  # revision, key, value


@dataclass
class Hold:
    name: bytes
    key: bytes
    token: int
    begin: float
    end: float = float("inf")
    was_lost: bool = False


@dataclass
class Ordeal:
    """`run` it; then `faults` says what was not as it must be."""

    rng: Random
    acknowledged: list[bytes] = field(default_factory=list)
    not_applied: list[bytes] = field(default_factory=list)
    maybe_applied: list[bytes] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    told: list[list[Told]] = field(default_factory=list)
    truth: list[Told] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    freed: dict[bytes, float] = field(default_factory=dict)  # lock keys: when they were deleted
    seconds: float = 0.0
    _news: trio.Event = field(default_factory=trio.Event)

    async def run(self, address: str, cuts: int) -> FaultProxy:
        began = trio.current_time()
        proxy = FaultProxy(address, self.rng)
        apart = FaultProxy(address, self.rng)  # for locks: little goes over it
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.run)
            await nursery.start(apart.run)
            async with (
                open_client(f"http://{address}") as direct,
                open_client(proxy.url, options=IMPATIENT, rng=self.rng) as client,
                open_client(apart.url, options=IMPATIENT, rng=self.rng) as holder,
                trio.open_nursery() as watching,
            ):
                await watching.start(self._see, direct)
                for _ in range(WATCHERS):
                    self.told.append([])
                    await watching.start(self._watch, client, self.told[-1])
                async with trio.open_nursery() as working:
                    for number in range(WRITERS):
                        working.start_soon(self._write, client, number)
                    for number in range(LOCKS * WORKERS):
                        working.start_soon(self._hold, holder, b"l/%d" % (number % LOCKS))
                    working.start_soon(self._silence, apart)
                    await proxy.until_cuts(cuts)
                    working.cancel_scope.cancel()
                proxy.is_quiet = apart.is_quiet = True
                await self._settle(direct)
                watching.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
        self.seconds = trio.current_time() - began
        proxy.cuts += apart.cuts
        return proxy

    # -- Who is at work

    async def _write(self, client: Client, number: int) -> None:
        count = 0
        while True:
            count += 1
            value = b"%d-%d" % (number, count)
            self.maybe_applied.append(value)  # until it is known better: we may be cancelled
            try:
                await client.put(b"w/%d" % self.rng.randrange(3), value)
            except NotApplied:
                self._settled(value, self.not_applied)
            except MaybeApplied:
                pass
            except EtcdError as error:
                self.refused[str(error)] += 1
                self._settled(value, self.not_applied)
            else:
                self._settled(value, self.acknowledged)

    def _settled(self, value: bytes, where: list[bytes]) -> None:
        self.maybe_applied.remove(value)
        where.append(value)

    async def _watch(
        self,
        client: Client,
        told: list[Told],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with client.watch(prefix="w/") as batches:
            task_status.started()
            async for batch in batches:
                told += [(one.revision, one.key, one.value) for one in batch.events]
                self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def _hold(self, client: Client, name: bytes) -> None:
        while True:
            try:
                async with client.lock(name, ttl=TTL) as lock:
                    hold = Hold(name, lock.key, lock.token, trio.current_time())
                    self.holds.append(hold)
                    try:
                        await trio.sleep(self.rng.uniform(0, WORK_SECONDS))
                    except trio.Cancelled:
                        hold.was_lost = True
                        raise
                    finally:
                        hold.end = trio.current_time()
            except LeaseLost:
                pass
            except EtcdError as error:
                self.refused[str(error)] += 1

    async def _silence(self, way: FaultProxy) -> None:
        """For longer than leases last."""
        while True:
            await trio.sleep(SILENCE_SECONDS + self.rng.uniform(*BETWEEN_SILENCES))
            way.silence()

    async def _see(
        self, direct: Client, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with direct.watch(prefix="") as batches:
            task_status.started()
            async for batch in batches:
                for event in batch.events:
                    if event.key.startswith(b"w/"):
                        self.truth.append((event.revision, event.key, event.value))
                    elif event.key.startswith(b"l/") and event.is_delete:
                        self.freed[event.key] = trio.current_time()
                self._tell()

    async def _settle(self, direct: Client) -> None:
        """Until everybody has been told of the last write."""
        last = await direct.put("w/last", "last")
        with trio.fail_after(SETTLE_SECONDS):
            for told in (*self.told, self.truth):
                await self._until_told(told, last.revision)

    async def _until_told(self, told: list[Told], revision: int) -> None:
        while not told or told[-1][0] < revision:
            await self._news.wait()

    # -- What must be true

    def faults(self) -> list[str]:
        return [*self._faults_of_writes(), *self._faults_of_watches(), *self._faults_of_locks()]

    def _faults_of_writes(self) -> list[str]:
        done = Counter(value for _, _, value in self.truth)
        found = [f"{value!r} was done {n} times" for value, n in done.items() if n > 1]
        found += [
            f"{value!r} was acknowledged, and not done"
            for value in self.acknowledged
            if not done[value]
        ]
        found += [
            f"{value!r} was done, and called not applied"
            for value in self.not_applied
            if done[value]
        ]
        return found

    def _faults_of_watches(self) -> list[str]:
        return [
            f"watcher {number} was told {len(told)} events, not these {len(self.truth)}"
            for number, told in enumerate(self.told)
            if told != self.truth
        ]

    def _faults_of_locks(self) -> list[str]:
        found = []
        last: dict[bytes, Hold] = {}
        for after in self.holds:
            before = last.get(after.name)
            last[after.name] = after
            if before is None:
                continue
            if after.begin < before.end:
                found.append(f"two at once hold it: {before}, {after}")
            if after.token <= before.token:
                found.append(f"tokens do not grow: {before}, {after}")
        for hold in self.holds:
            if self.freed.get(hold.key, float("inf")) < hold.end:
                found.append(f"its lease ended before its block: {hold}")
        return found

    def summary(self, proxy: FaultProxy) -> str:
        lost = sum(hold.was_lost for hold in self.holds)
        return (
            f"{proxy.cuts.total()} cuts ({', '.join(f'{n} {k}' for k, n in proxy.cuts.items())}) in"
            f" {self.seconds:.0f} s; {len(self.acknowledged)} writes acknowledged,"
            f" {len(self.maybe_applied)} maybe applied, {len(self.not_applied)} not applied;"
            f" {len(self.truth)} events to each watcher; {len(self.holds)} holds, {lost} lost;"
            f" refused: {dict(self.refused)}"
        )
