"""Clusters of real nodes in one program: in memory, on the program's own clock.

    async with open_cluster(3) as cluster, cluster.client() as client:
        await client.put("a", "1")
        await cluster.stop(cluster.leader)  # as if its machine had lost power
        await client.put("a", "2")

Under Trio's MockClock all of it keeps the test's time; nothing runs on a thread, not even the
hashing of passwords.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from actors.kernel import InlineWorker
from trioetcd.beside import beside
from trioetcd.client.client import Client, open_client
from trioetcd.node.embedding import serve_clients
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.memory_network import MemoryNetwork

LEADER_SECONDS = 30.0  # for one to be elected, and known to all
LOOK_SECONDS = 0.01


class Cluster:
    """Iterate over its members that run; index it by their place."""

    def __init__(self, nursery: trio.Nursery, network: MemoryNetwork, names: list[str]) -> None:
        self.names = names
        self._nursery = nursery
        self._network = network
        self._nodes: dict[str, Node] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, place: int) -> Node:
        """Raises KeyError: it was stopped."""
        return self._nodes[self.names[place]]

    @property
    def urls(self) -> list[str]:
        """Where its members answer clients, if it was told to listen."""
        return [url for node in self for url in node.client_urls]

    @property
    def leader(self) -> Node:
        """Raises LookupError: there is none, or not all know of it."""
        leaders = [node for node in self if node.parts.raft.status.is_leader]
        known = {node.parts.raft.status.leader for node in self}
        if len(leaders) != 1 or known != {leaders[0].member_id}:
            raise LookupError("the cluster has no leader")
        return leaders[0]

    async def wait_leader(self) -> Node:
        """The leader, once all members that run know it.

        Raises:
            trio.TooSlowError: they do not come to agree.
        """
        with trio.fail_after(LEADER_SECONDS):
            while True:
                try:
                    return self.leader
                except LookupError:
                    await trio.sleep(LOOK_SECONDS)

    async def stop(self, node: Node) -> None:
        """At once, without a word to the others."""
        [name] = [name for name, one in self._nodes.items() if one is node]
        self._scopes[name].cancel()
        await self._ended[name].wait()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Of all members, without any socket."""
        urls = [_client_url(name) for name in self.names]
        async with open_client(*urls, network=self._network.host("client")) as client:
            yield client

    async def run_member(
        self,
        settings: NodeSettings,
        listen: tuple[str, ...],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        name = settings.name
        network = self._network.host(name)
        self._ended[name] = trio.Event()
        try:
            with trio.CancelScope() as scope:
                self._scopes[name] = scope
                async with (
                    open_node(settings, network=network, password_worker=InlineWorker()) as node,
                    serve_clients(node, _client_url(name), network=network),
                    serve_clients(node, *listen) as urls,
                ):
                    node.client_urls = tuple(urls)
                    self._nodes[name] = node
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._nodes.pop(name, None)
            self._ended[name].set()


def _client_url(name: str) -> str:
    return f"http://{name}:2379"


@asynccontextmanager
async def open_cluster(
    size: int = 3, *, settings: NodeSettings | None = None, listen: tuple[str, ...] = ()
) -> AsyncIterator[Cluster]:
    """A cluster of this many members, in memory; it has a leader when the block begins.

    Each has these settings, but for its name and URLs, and also listens at the URLs in `listen`
    (port 0: any free one).  What the block raises is raised as it is.

    Raises:
        StartError: a port is taken.
    """
    names = [f"member{number}" for number in range(size)]
    members: dict[str, tuple[str, ...]] = {name: (f"http://{name}:2380",) for name in names}
    async with beside() as nursery:
        cluster = Cluster(nursery, MemoryNetwork("cluster"), names)
        async with trio.open_nursery() as starting:
            for name in names:
                own = replace(
                    settings or NodeSettings(),
                    name=name,
                    peer_urls=members[name],
                    client_urls=(_client_url(name),),
                    initial_cluster=members,
                )
                starting.start_soon(nursery.start, cluster.run_member, own, listen)
        await cluster.wait_leader()
        yield cluster
