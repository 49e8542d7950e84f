"""A node inside a program: clients on memory streams, and ports of the program's choice.

async with open_node(NodeSettings()) as node, open_node_client(node) as client: ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from trioetcd.client.client import Client, open_client
from trioetcd.node.listening import Answers, make_port
from trioetcd.node.node import Node
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.memory_network import MemoryNetwork
from wire.network import Network, RealNetwork, parse_url
from wire.tls import ServerTLS

INSIDE = "http://node:2379"


@asynccontextmanager
async def serve_clients(
    node: Node, *urls: str, network: Network | None = None, tls: ServerTLS | None = None
) -> AsyncIterator[list[str]]:
    """Accept clients at these URLs (port 0: any free one) while the block runs; the URLs.

    Raises:
        NetworkError: an address cannot be listened on.
    """
    network = network or RealNetwork()
    answers = Answers(node.registry, node.web.handle, Limits(), KeepAlive())
    served = []
    async with trio.open_nursery() as nursery:
        for url in urls:
            address = parse_url(url)
            listeners = await network.listen(address)
            port = make_port(listeners, answers, tls if address.secure else None, node.log)
            await nursery.start(port.run)
            served.append(_with_port(url, listeners[0]))
        try:
            yield served
        finally:
            nursery.cancel_scope.cancel()


def _with_port(url: str, listener: trio.abc.Listener[trio.abc.Stream]) -> str:
    if not url.endswith(":0") or not isinstance(listener, trio.SocketListener):
        return url
    return f"{url[:-2]}:{listener.socket.getsockname()[1]}"


@asynccontextmanager
async def open_node_client(
    node: Node, *, user: str = "", password: str = ""
) -> AsyncIterator[Client]:
    """A client of a node in this program, without any socket."""
    network = MemoryNetwork()
    async with (
        serve_clients(node, INSIDE, network=network),
        open_client(INSIDE, user=user, password=password, network=network) as client,
    ):
        yield client
