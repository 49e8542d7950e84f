"""Several members in one process, over a network in memory, on the test's clock."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from actors.backend.engine import MemoryEngine
from actors.kernel import InlineWorker
from tests.node.caller import Caller
from trioetcd.node.listening import PeerTLS
from trioetcd.node.node import Node, start_node
from trioetcd.node.parts import Seams
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.disk import SimulatedDisk
from wire.log import NullLog
from wire.memory_network import MemoryNetwork
from wire.pb import etcdserverpb

PATIENCE = 60.0  # seconds of the test's clock


class Member:
    """One member, that may run or not; what is on its disk stays."""

    def __init__(self, cluster: Cluster, settings: NodeSettings, seed: int) -> None:
        self.settings = settings
        self.node: Node | None = None
        self._cluster = cluster
        self._seed = seed
        self.disk = SimulatedDisk(random.Random(seed))
        self.engine = MemoryEngine()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def caller(self) -> Caller:
        assert self.node is not None
        return Caller(self.node)

    @property
    def is_leader(self) -> bool:
        return self.node is not None and self.node.parts.raft.status.is_leader

    async def start(self) -> None:
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        await self._cluster.nursery.start(self._run)

    def begin(self) -> None:
        """Start without waiting until it serves."""
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._cluster.nursery.start_soon(self._run)

    async def _run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        network = self._cluster.network.host(self.settings.name)
        with self._scope:
            worker = InlineWorker()
            rng = random.Random(trio.current_time() + self._seed)
            unix = self._cluster.unix
            seams = Seams(network, None, self.disk, worker, worker, worker, rng, rng, unix)
            async with start_node(
                self.settings, seams, lambda _: self.engine, log=NullLog(), tls=PeerTLS()
            ) as node:
                self.node = node
                task_status.started()
                await trio.sleep_forever()
        self.node = None
        self._ended.set()

    async def kill(self) -> None:
        self._scope.cancel()
        await self._ended.wait()


class Cluster:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.network = MemoryNetwork("test")
        self.members: dict[str, Member] = {}

    def unix(self) -> float:
        return 1.7e9 + trio.current_time()

    def settings(self, name: str, names: list[str], **more) -> NodeSettings:
        cluster = {one: (f"http://{one}:2380",) for one in names}
        return NodeSettings(name=name, peer_urls=cluster[name], initial_cluster=cluster, **more)

    def add(self, settings: NodeSettings) -> Member:
        member = Member(self, settings, len(self.members) + 1)
        self.members[settings.name] = member
        return member

    @property
    def running(self) -> list[Member]:
        return [one for one in self.members.values() if one.node is not None]

    async def leader(self) -> Member:
        """The one that all running members take for it."""
        with trio.fail_after(PATIENCE):
            while True:
                leaders = [one for one in self.running if one.is_leader]
                ids = {one.node.parts.raft.status.leader for one in self.running if one.node}
                if len(leaders) == 1 and ids == {leaders[0].node.member_id}:
                    return leaders[0]
                await trio.sleep(0.05)

    async def settled(self) -> None:
        """Until all running members have applied the same."""
        with trio.fail_after(PATIENCE):
            while True:
                reached = {one.node.parts.rows.applied_index for one in self.running if one.node}
                if len(reached) == 1:
                    return
                await trio.sleep(0.05)

    async def hashes(self) -> set[int]:
        found = set()
        for one in self.running:
            assert one.node is not None
            answer = await one.node.parts.maintenance.hash_kv_of(b"")
            found.add(etcdserverpb.HashKVResponse.FromString(answer).hash)
        return found


@asynccontextmanager
async def three_members(**more) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        cluster = Cluster(nursery)
        names = ["a", "b", "c"]
        for name in names:
            cluster.add(cluster.settings(name, names, **more)).begin()
        with trio.fail_after(PATIENCE):
            while len(cluster.running) < len(names):  # noqa: ASYNC110
                await trio.sleep(0.05)
        yield cluster
        nursery.cancel_scope.cancel()
