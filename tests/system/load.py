"""Clients at work while a cluster is hurt, and what must be true of what they were told."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from tests.system.cluster import Cluster, until
from trioetcd.testing.history import Operation, Watching, Written
from trioetcd.testing.replay import log_of
from trioetcd.testing.trace import Trace
from trioetcd.testing.verdict import Findings, final_events, hashes, judge
from trioetcd.testing.workload import Client, Notes, open_client
from wire.network import RealNetwork

CLIENTS = 6
WATCHERS = 2
MEAN_PAUSE = 0.01  # seconds between a client's operations
TOLD_SECONDS = 30.0  # for watches to catch up
JUDGE = 1000  # numbers of clients that only look


class Load:
    """What clients were told so far."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.notes = Notes(Trace())
        self._workers: list[trio.CancelScope] = []
        self._cluster = cluster
        self._seed = seed

    @property
    def done(self) -> list[Operation]:
        return [one for one in self.notes.operations if one.is_known]

    def longest_gap(self, since: float, before: float) -> float:
        """The longest time without any operation that succeeded."""
        times = sorted(one.returned for one in self.done if since <= one.returned <= before)
        marks = [since, *times, before]
        return max(later - sooner for sooner, later in itertools.pairwise(marks))

    async def resumed(self, since: float, within: float) -> float:
        """Seconds from `since` until a write succeeded that was begun after it."""
        with trio.move_on_after(within):
            while True:
                for one in reversed(self.notes.operations[-500:]):
                    if one.called >= since and isinstance(one.result, Written):
                        return one.returned - since
                await trio.sleep(0.005)
        raise AssertionError(f"no write succeeded within {within:g} s")

    async def judge(self) -> None:
        """End the work; then all members are the same, and all that was told is true.

        Raises:
            Wrong, NotInTime
        """
        for worker in self._workers:
            worker.cancel()
        findings: Findings | None = None

        async def final() -> bool:
            """Nothing came while we looked: what clients have given up may still be done."""
            nonlocal findings
            await self._cluster.alike()
            findings = await self._gather()
            return findings.is_all_told and self._is_final(findings)

        await until(final, TOLD_SECONDS, "every watch is told of everything")
        assert findings is not None
        judge(findings)

    async def _gather(self) -> Findings:
        events, found = [], []
        for number, member in enumerate(self._cluster.running):
            async with self._client(JUDGE + number, [member.name]) as client:
                found.append(await hashes(client))
                revision, compacted, _ = found[-1]
                events.append(await final_events(client, revision, compacted))
        return Findings(self.notes, log_of(events[0]), events, found)

    def _is_final(self, findings: Findings) -> bool:
        told = (
            event.revision
            for watching in self.notes.watchings
            for delivery in watching.deliveries
            for event in delivery.events
        )
        return len(set(findings.hashes)) == 1 and max(told, default=0) <= findings.revision

    async def _work(self, client: Client) -> None:
        with trio.CancelScope() as scope:
            self._workers.append(scope)
            await client.work(MEAN_PAUSE, lambda: 0)  # nothing is compacted

    @asynccontextmanager
    async def _client(self, number: int, names: list[str]) -> AsyncIterator[Client]:
        network = RealNetwork(reuse_port=False, reuse_address=False)
        addresses = [self._cluster.members[name].address for name in names]
        rng = random.Random(self._seed * 10_000 + number)
        async with open_client(number, network, addresses, rng, self.notes) as client:
            yield client


@asynccontextmanager
async def load_on(cluster: Cluster, seed: int) -> AsyncIterator[Load]:
    """Clients that read, write and watch until the block is left."""
    load = Load(cluster, seed)
    names = list(cluster.members)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(load._client(number, names))
            for number in range(CLIENTS + WATCHERS)
        ]
        async with trio.open_nursery() as nursery:
            for client in clients[:CLIENTS]:
                nursery.start_soon(load._work, client)
            for client in clients[CLIENTS:]:
                nursery.start_soon(client.watch, Watching(1, b"key/", b"key0"))
            yield load
            nursery.cancel_scope.cancel()
