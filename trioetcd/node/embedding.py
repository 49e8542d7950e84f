"""What a program that holds a node does with it: ports of its choice, and clients without any.

async with open_node() as node, node.client() as client: ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trioetcd.api.access import Access
from trioetcd.api.gateway.gateway import Gateway
from trioetcd.api.proposals import REQUEST_OVERHEAD_BYTES
from trioetcd.beside import beside
from trioetcd.node.listening import Answers, make_port
from trioetcd.node.recovery import StartError
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.memory_network import MemoryNetwork
from wire.network import BadURL, Network, RealNetwork, parse_url, reason
from wire.tls import ServerTLS

if TYPE_CHECKING:
    from trioetcd.client.client import Client
    from trioetcd.node.node import Node

INSIDE = "http://node:2379"  # on a network of its own, in memory


@dataclass(frozen=True)
class Bound:
    """Listeners of one URL, which are not accepting yet."""

    url: str  # with the port that was found, if any would do
    secure: bool
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]


@asynccontextmanager
async def bound(network: Network, urls: Sequence[str]) -> AsyncIterator[list[Bound]]:
    """Listen at these URLs (`http`, `https`, `unix`, `unixs`; port 0: any free one).

    Raises:
        StartError: one of them is no URL, or is taken.
    """
    found: list[Bound] = []
    try:
        for url in urls:
            try:
                address = parse_url(url)
                listeners = await network.listen(address)
            except BadURL as error:
                raise StartError(str(error)) from error
            except OSError as error:
                raise StartError(f"listen {url}: {reason(error)}") from error
            found.append(Bound(_with_port(url, listeners[0]), address.secure, listeners))
        yield found
    finally:
        with trio.CancelScope(shield=True):
            for one in found:
                for listener in one.listeners:
                    await listener.aclose()


def _with_port(url: str, listener: trio.abc.Listener[trio.abc.Stream]) -> str:
    if not url.endswith(":0") or not isinstance(listener, trio.SocketListener):
        return url
    return f"{url[:-2]}:{listener.socket.getsockname()[1]}"


@asynccontextmanager
async def accepting(
    node: Node, places: Sequence[Bound], tls: ServerTLS | None
) -> AsyncIterator[None]:
    """Answer clients there while the block runs: gRPC, JSON, and pages.

    What the block raises is raised as it is, in no group.

    Raises:
        StartError: an `https` URL, and no certificate for it.
    """
    if tls is None and any(place.secure for place in places):
        raise StartError("an https URL needs a certificate: `tls`")
    limits = Limits(message_bytes=node.parts.settings.max_request_bytes + REQUEST_OVERHEAD_BYTES)
    access = Access(
        node.web.handle,
        Gateway(node.registry, limits.message_bytes),
        names_count=lambda: node.parts.settings.client_cert_auth and node.parts.auth.enabled,
    )
    answers = Answers(node.registry, access.handle, limits, KeepAlive(), node.parts.unix_seconds)
    async with beside() as nursery:
        for place in places:
            port = make_port(place.listeners, answers, tls if place.secure else None, node.log)
            await nursery.start(port.run)
        yield


@asynccontextmanager
async def serve_clients(
    node: Node, *urls: str, network: Network | None = None, tls: ServerTLS | None = None
) -> AsyncIterator[list[str]]:
    """Accept clients at more URLs while the block runs; the URLs, as of `bound`.

    Raises:
        StartError: see `bound` and `accepting`.
    """
    async with bound(network or RealNetwork(), urls) as places, accepting(node, places, tls):
        yield [place.url for place in places]


@asynccontextmanager
async def open_node_client(
    node: Node, *, user: str = "", password: str = ""
) -> AsyncIterator[Client]:
    """A client of a node in this program, without any socket."""
    from trioetcd.client.client import open_client  # who serves need not know of clients

    network = MemoryNetwork()
    async with (
        serve_clients(node, INSIDE, network=network),
        open_client(INSIDE, user=user, password=password, network=network) as client,
    ):
        yield client
