"""A whole cluster, its clients and its misfortunes, in one process and from one seed.

The members are real: every actor, the log's bytes, HTTP/2 between them and to the clients.
Simulated are the five seams: Trio's clock jumps, the network and the disks are in memory, work
for threads is done in place and takes simulated time, and all chance comes from the seed.  So a
run is a function of its seed, and a failing seed can be looked at as often as one likes.

    outcome = simulate(48213, Scenario(members=3))

What is checked is what etcd promises; see `verdict`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

import trio

from actors.snapshot.actor import Retention
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.checker import Wrong
from trioetcd.testing.cluster import LOOK_SECONDS, Cluster, run_cluster, simple_settings
from trioetcd.testing.faults import Disturber
from trioetcd.testing.history import Put, Watching
from trioetcd.testing.member import Member
from trioetcd.testing.trace import Trace
from trioetcd.testing.verdict import LEASED_RANGE, Findings, final_events, hashes, judge
from trioetcd.testing.workload import KEYS, Client

RECOVERY_SECONDS = (
    10.0  # after the last disturbance, for all to serve, and then to write everywhere
)
SETTLE_SECONDS = 20.0  # at most, for each: leases to run out, all to apply, watches to catch up
RETRY_SECONDS = 0.2
STRAGGLER_SECONDS = 1.0  # for requests whose clients are gone
JUDGE = 900  # the number of the first client that looks at the result


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How large, how long and how rough.  Times in simulated seconds."""

    members: int = 3
    clients: int = 5
    watchers: int = 2
    holders: int = 1  # of leases
    seconds: float = 10.0
    pause: float = 0.05  # on average between a client's operations
    trouble: float | None = 1.0  # on average between disturbances; None: none


@dataclass
class Outcome:
    seed: int
    digest: str = ""  # the same for the same seed, else something is not simulated
    operations: int = 0
    revision: int = 0
    seconds: float = 0.0  # simulated
    disturbances: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)


def simulate(seed: int, scenario: Scenario | None = None, trace: Trace | None = None) -> Outcome:
    """Run a seed.

    Raises:
        Wrong: a promise was broken.
        Exception: a member failed that nobody had disturbed.
    """
    world = _World(seed, scenario or Scenario(), trace or Trace())
    run_cluster(seed, world.play, world.settings, world.trace)
    return world.outcome


class _World:
    cluster: Cluster

    def __init__(self, seed: int, scenario: Scenario, trace: Trace) -> None:
        self.outcome = Outcome(seed)
        self.scenario = scenario
        self.trace = trace
        self.judges = 0

    async def play(self, cluster: Cluster) -> None:
        self.cluster = cluster
        async with trio.open_nursery() as watchers:
            async with trio.open_nursery() as writers:
                await self._trouble(writers, watchers)
                writers.cancel_scope.cancel()
            findings = await self._settle()
            watchers.cancel_scope.cancel()
        judge(findings)
        self.outcome.digest = self.trace.digest

    def settings(self, rng: random.Random) -> list[NodeSettings]:
        heartbeat = rng.choice((0.1, 0.2))
        retention = rng.choice((Retention(), Retention(snapshot_count=40, catchup_entries=10)))
        return [
            replace(
                settings,
                heartbeat_interval=heartbeat,
                election_timeout=10 * heartbeat,
                retention=retention,
                lease_checkpoints=rng.random() < 0.5,
                watch_progress_interval=3.0,
            )
            for settings in simple_settings(self.scenario.members)
        ]

    # -- The rough part

    async def _trouble(self, writers: trio.Nursery, watchers: trio.Nursery) -> None:
        """Everything at once, until the time is up and every disturbance has ended."""
        scenario, cluster = self.scenario, self.cluster
        names = self._start_clients(writers, watchers)
        await self.cluster.until_serving(RECOVERY_SECONDS)
        if scenario.trouble is None:
            await trio.sleep(scenario.seconds)
            return
        disturber = Disturber(
            cluster.members, names, cluster.network, cluster.generator(), self.trace
        )
        with trio.move_on_after(scenario.seconds):
            await disturber.run(scenario.trouble)
        self.outcome.disturbances = disturber.counts
        self.trace.note("world", "calms down")
        cluster.network.calm()
        for member in self.cluster.members:
            await member.mend()
        await self.cluster.until_serving(RECOVERY_SECONDS)

    def _start_clients(self, writers: trio.Nursery, watchers: trio.Nursery) -> list[str]:
        scenario = self.scenario
        kinds = ["work"] * scenario.clients + ["watch"] * scenario.watchers
        kinds += ["hold"] * scenario.holders
        for number, kind in enumerate(kinds, 1):
            nursery = watchers if kind == "watch" else writers
            nursery.start_soon(self._client, number, kind)
        return [f"client{number}" for number in range(1, len(kinds) + 1)]

    async def _client(self, number: int, kind: str) -> None:
        async with self.cluster.client(number) as client:
            if kind == "work":
                await client.work(self.scenario.pause, lambda: self.cluster.observer.revision)
            elif kind == "watch":
                await client.watch(self._something_to_watch(client))
            else:
                await client.hold_leases()

    def _something_to_watch(self, client: Client) -> Watching:
        if client.rng.random() < 0.5:
            return Watching(1, b"\0", b"\0")
        if client.rng.random() < 0.5:
            return Watching(1, client.rng.choice(KEYS))
        return Watching(1, KEYS[0], KEYS[3])

    # -- The calm part

    async def _settle(self) -> Findings:
        """Let everything be written, run out and be told, as far as it will in due time."""
        await trio.sleep(STRAGGLER_SECONDS)
        await self._write_everywhere()
        stores = [one.node.parts.store for one in self.cluster.members if one.node]
        await _until(lambda: not any(store.index.count(*LEASED_RANGE) for store in stores))
        await _until(lambda: len({store.revision for store in stores}) == 1)
        findings = await self._find()
        await _until(lambda: findings.is_all_told)
        self.cluster.check()
        if {store.revision for store in stores} != {findings.revision}:
            raise Wrong(f"something was written after {findings.revision}, when nobody wrote")
        return findings

    async def _write_everywhere(self) -> None:
        """Now that all is calm every member must take a write soon."""
        with trio.move_on_after(RECOVERY_SECONDS) as waiting:
            for member in self.cluster.members:
                async with self._judging(member) as client:
                    operation = None
                    while operation is None or not operation.is_known:
                        operation = await client.do(Put(KEYS[0], client.value()))
                        await trio.sleep(RETRY_SECONDS)
        if waiting.cancelled_caught:
            raise Wrong(f"{member.name} takes no writes {RECOVERY_SECONDS} s after it serves")

    def _judging(self, member: Member) -> AbstractAsyncContextManager[Client]:
        """A client of one member only."""
        self.judges += 1
        return self.cluster.client(JUDGE + self.judges, member)

    async def _find(self) -> Findings:
        events, found = [], []
        for member in self.cluster.members:
            async with self._judging(member) as client:
                found.append(await hashes(client))
                events.append(await final_events(client, *found[-1][:2]))
        self.outcome.seconds = trio.current_time()
        self.outcome.operations = len(self.cluster.notes.operations)
        self.outcome.refusals = self.cluster.notes.refusals
        self.outcome.revision = found[0][0]
        self.cluster.observer.look()
        return Findings(self.cluster.notes, self.cluster.observer.log, events, found)


async def _until(condition: Callable[[], bool]) -> None:
    """Or until it has had its time: then the verdict says what is wrong."""
    with trio.move_on_after(SETTLE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(LOOK_SECONDS)
