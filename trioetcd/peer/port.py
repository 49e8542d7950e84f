"""How connections of other members are served: what they may use and do.

Members are few and known, and send what no client may: messages as large as a log entry, and a
ping for every second of silence, because a stream of raft messages is answered by nothing that
would show that the other side still lives.
"""

from __future__ import annotations

import trio

from trioetcd.peer.protocol import MAX_MESSAGE_BYTES
from wire.grpc.service import Peer, Registry
from wire.http import HTTPHandler
from wire.http1 import serve_http1
from wire.http2.connection import serve_connection
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.listener import Protocols
from wire.log import Log

LIMITS = Limits(message_bytes=MAX_MESSAGE_BYTES, unread_bytes=2 * MAX_MESSAGE_BYTES)
KEEP_ALIVE = KeepAlive(interval=10.0, timeout=10.0, min_time=0.0, without_stream=0.0)


def protocols(registry: Registry, handler: HTTPHandler, log: Log) -> Protocols:
    """For a `Port`: calls of `registry` over HTTP/2, and `handler` for plain HTTP."""

    async def http2(
        stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await serve_connection(
            stream,
            registry,
            log=log,
            peer=peer,
            limits=LIMITS,
            keep_alive=KEEP_ALIVE,
            http_handler=handler,
            initial=initial,
            draining=draining,
        )

    async def http1(
        stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await serve_http1(stream, handler, log=log, peer=peer, initial=initial, draining=draining)

    return Protocols(http2, http1)
