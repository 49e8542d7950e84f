"""A simulated cluster, its observer and its clients: what a test or a simulation plays with.

def test_something():
    async def play(cluster: Cluster) -> None:
        leader = await cluster.leader()
        leader.lose_power()
        ...
    run_cluster(7, play, members=3)
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import trio
import trio.testing

from trioetcd.node.settings import NodeSettings
from trioetcd.testing.checker import Wrong
from trioetcd.testing.member import Member, Stage
from trioetcd.testing.network import SimulatedNetwork
from trioetcd.testing.observer import Observer
from trioetcd.testing.scheduling import repeatable
from trioetcd.testing.trace import Trace
from trioetcd.testing.workload import Client, Notes, open_client

LOOK_SECONDS = 0.05  # between looks at whether something has come about


class Cluster:
    """Members that are down until they are booted; `nursery` is theirs."""

    def __init__(self, rng: random.Random, trace: Trace, nursery: trio.Nursery) -> None:
        self.rng = rng
        self.trace = trace
        self.notes = Notes(trace)
        self.network = SimulatedNetwork(self.generator())
        self.members: list[Member] = []
        self.observer = Observer(self.members)
        self._stage = Stage(nursery, self.network, trace)

    def generator(self) -> random.Random:
        """Each part has its own, so that they disturb each other less between versions."""
        return random.Random(self.rng.getrandbits(64))

    def add(self, settings: NodeSettings) -> Member:
        member = Member(self._stage, settings, self.generator())
        self.members.append(member)
        return member

    def client(self, number: int, *members: Member) -> AbstractAsyncContextManager[Client]:
        """A client, on a host of its own, of these members or of all."""
        addresses = [member.address for member in members or self.members]
        host = self.network.host(f"client{number}")
        return open_client(number, host, addresses, self.generator(), self.notes)

    @property
    def serving(self) -> list[Member]:
        return [member for member in self.members if member.node is not None]

    async def until_serving(self, within: float) -> None:
        """Raises Wrong if not all members serve in time."""
        with trio.move_on_after(within) as waiting:
            for member in self.members:
                while member.node is None:
                    self.check()
                    await member.changed.wait()
        if waiting.cancelled_caught:
            down = [member.name for member in self.members if member.node is None]
            raise Wrong(f"{down} do not serve after {within} s")

    async def leader(self, within: float = 10.0) -> Member:
        """The one that leads in the latest term and that a majority follows."""
        with trio.fail_after(within):
            while True:
                followed = [one.node.parts.raft.status.leader for one in self.serving if one.node]
                for member in self.serving:
                    node = member.node
                    assert node is not None
                    votes = followed.count(node.member_id)
                    if node.parts.raft.status.is_leader and 2 * votes > len(self.members):
                        return member
                await trio.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Raises what a member failed of that nobody had disturbed."""
        for member in self.members:
            if member.failure is not None:
                raise member.failure

    async def end(self) -> None:
        for member in self.members:
            if member.is_up:
                member.kill()
            await member.ended()
        self.check()


def simple_settings(members: int) -> list[NodeSettings]:
    names = [f"m{number}" for number in range(1, members + 1)]
    cluster: dict[str, tuple[str, ...]] = {name: (f"http://{name}:2380",) for name in names}
    return [
        NodeSettings(
            name=name,
            peer_urls=cluster[name],
            client_urls=(f"http://{name}:2379",),
            initial_cluster=cluster,
        )
        for name in names
    ]


def run_cluster(
    seed: int,
    play: Callable[[Cluster], Awaitable[None]],
    settings: Callable[[random.Random], list[NodeSettings]],
    trace: Trace | None = None,
) -> None:
    """Boot a cluster of members with these settings, and let `play` do with it what it likes."""

    async def main() -> None:
        rng = random.Random(seed)
        async with trio.open_nursery() as nursery:
            cluster = Cluster(rng, trace or Trace(), nursery)
            await nursery.start(cluster.network.run)
            for one in settings(rng):
                cluster.add(one)
            nursery.start_soon(cluster.observer.run)
            for member in cluster.members:
                member.boot()
            await play(cluster)
            await cluster.end()
            nursery.cancel_scope.cancel()

    with repeatable(seed):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
