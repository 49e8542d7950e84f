"""HTTP requests over HTTP/2 that are not gRPC: health, metrics, the JSON gateway."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import h2.exceptions
import trio

from wire.grpc.service import Peer
from wire.http import HTTPHandler, HTTPRequest, HTTPResponse
from wire.http2 import sending
from wire.http2.headers import Headers
from wire.http2.limits import Limits

UNSENT_BYTES = 256 * 1024  # of a streamed response, at which it waits


class Host(sending.Host, Protocol):
    def refuse_exchange(self, exchange: Exchange) -> None:
        """Answer that the body is too large, and have done with it."""
        ...


class Exchange(sending.Sending):
    """One request and its response.  The handler runs when the whole request is there."""

    def __init__(self, host: Host, stream_id: int, headers: Headers, limits: Limits) -> None:
        super().__init__(host, stream_id, ())
        self.is_running = False
        self._exchanges = host
        self._headers = headers
        self._limits = limits
        self._body = bytearray()
        self._scope = trio.CancelScope()

    def feed(self, data: bytes, window_bytes: int) -> None:
        """DATA came in, taking `window_bytes` of the window with its padding."""
        self._body += data
        self._host.intake.held += len(data)
        if len(self._body) > self._limits.http_body_bytes or self._host.intake.is_full:
            self._exchanges.refuse_exchange(self)
        elif window_bytes:
            self._host.h2.increment_flow_control_window(window_bytes, self.stream_id)
            self._host.wake_writer()

    async def run(
        self, handler: HTTPHandler, peer: Peer, defect: Callable[[str, Exception], Exception]
    ) -> None:
        """Have the request handled and send the response."""
        self.is_running = True
        request = self._request(peer)
        with self._scope:
            try:
                response = await handler(request)
                if response.play is not None:
                    await response.play(_Way(self))
            except Exception as error:
                defect(request.path, error)
                response = HTTPResponse(500, b"internal error\n")
            with suppress(h2.exceptions.ProtocolError):  # the peer has reset it
                await self._respond(response)

    async def _respond(self, response: HTTPResponse) -> None:
        """All of an answer, or the end of one that was sent as it was made."""
        if response.play is None and not self.headers_sent:
            self.set_head(response.status, response.headers)
            self.add(response.body)
        await self.drained(1)
        connection = self._host.h2
        if not self.headers_sent:
            connection.send_headers(self.stream_id, self.response_headers, end_stream=True)
        else:
            connection.end_stream(self.stream_id)
        self._host.wake_writer()

    def set_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Sent with the first piece of the body, or with the end."""
        self.response_headers = ((b":status", b"%d" % status), *headers)

    def cancel(self) -> None:
        self._scope.cancel()

    def close(self) -> None:
        """It is over, and whatever it kept is let go."""
        self.discard()
        self._host.intake.held -= len(self._body)
        self._body = bytearray()

    def _request(self, peer: Peer) -> HTTPRequest:
        found = dict(self._headers)
        headers = tuple(pair for pair in self._headers if not pair[0].startswith(b":"))
        if b"host" not in found:  # RFC 9113 §8.3.1: `:authority` is its other name
            headers = ((b"host", found.get(b":authority", b"")), *headers)
        return HTTPRequest(
            found.get(b":method", b"").decode("ascii", "replace"),
            found.get(b":path", b"").decode("ascii", "replace"),
            headers,
            bytes(self._body),
            peer,
        )


class _Way:
    """`Sender`, for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await trio.lowlevel.checkpoint()
        self._exchange.set_head(status, headers)

    async def send(self, piece: bytes) -> None:
        await self._exchange.drained(UNSENT_BYTES)
        if piece:
            self._exchange.add(piece)
