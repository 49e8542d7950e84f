"""Ports: what listens, and what answers there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from trioetcd.node.parts import Parts
from trioetcd.peer.protocol import MAX_MESSAGE_BYTES
from wire.grpc.service import Peer, Registry
from wire.http import HTTPHandler, dated
from wire.http1 import serve_http1
from wire.http2.connection import serve_connection
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.listener import DRAIN_SECONDS, Port, Protocols
from wire.log import Log
from wire.network import Network, parse_url
from wire.tls import ClientTLS, ServerTLS

PEER_LIMITS = Limits(
    message_bytes=MAX_MESSAGE_BYTES,
    unread_bytes=4 * MAX_MESSAGE_BYTES,
    stream_window=1 << 20,  # more would hide from raft how slow a slow link is
    connection_window=2 << 20,
)
# Members ping often; one that has vanished is let go of soon.
PEER_KEEP_ALIVE = KeepAlive(interval=10.0, timeout=10.0, min_time=0.1, without_stream=0.1)


@dataclass(frozen=True)
class PeerTLS:
    """Both sides of connections between members; None: plain."""

    server: ServerTLS | None = None
    client: ClientTLS | None = None


@dataclass(frozen=True)
class Answers:
    """What is behind a port."""

    registry: Registry
    web: HTTPHandler
    limits: Limits
    keep_alive: KeepAlive
    unix_seconds: Callable[[], float]
    drain: float = DRAIN_SECONDS  # for calls when the port stops


def make_port(
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    answers: Answers,
    tls: ServerTLS | None,
    log: Log,
) -> Port:
    """A port that serves gRPC over HTTP/2, and pages over either."""
    pages = dated(answers.web, answers.unix_seconds)

    async def http2(
        stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await serve_connection(
            stream,
            answers.registry,
            log=log,
            peer=peer,
            limits=answers.limits,
            keep_alive=answers.keep_alive,
            http_handler=pages,
            initial=initial,
            draining=draining,
        )

    async def http1(
        stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await serve_http1(
            stream,
            pages,
            log=log,
            peer=peer,
            initial=initial,
            draining=draining,
            body_bytes=answers.limits.http_body_bytes,
        )

    return Port(listeners, Protocols(http2, http1), log, tls, drain=answers.drain)


def peer_answers(parts: Parts) -> Answers:
    """What other members find at the peer port."""
    return Answers(
        parts.peer_registry,
        parts.peer_web.handle,
        PEER_LIMITS,
        PEER_KEEP_ALIVE,
        parts.unix_seconds,
        drain=0.0,  # links last as long as they can; the others find out at once
    )


async def listen_to_members(
    parts: Parts, network: Network, tls: ServerTLS | None, nursery: trio.Nursery
) -> None:
    """Listen on the peer URLs that the member advertises."""
    for url in parts.settings.peer_urls:
        address = parse_url(url)
        listeners = await network.listen(address)
        port = make_port(
            listeners, peer_answers(parts), tls if address.secure else None, parts.log_to
        )
        await nursery.start(port.run)
