"""Plain HTTP requests and responses, whichever version of HTTP they came by.

Served beside gRPC on the same port: health, metrics, version, the JSON gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol
from urllib.parse import unquote

from wire.grpc.service import Peer


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """`target` is path and query as sent, or a whole URL; header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)

    @property
    def path(self) -> str:
        """With its escapes resolved."""
        path = self.target.partition("?")[0]
        if not path.startswith("/"):  # a whole URL, as for proxies: RFC 9112, section 3.2.2
            path = "/" + path.partition("://")[2].partition("/")[2]
        return unquote(path)

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Sender(Protocol):
    """The way of an answer that is made while it is sent."""

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Once, before everything else."""
        ...

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body; waits while too much is unsent."""
        ...


@dataclass(slots=True)
class HTTPResponse:
    """`play`, if given, is called to answer in place of the rest: with a status and headers of
    its own, and piece by piece.  It is cancelled when the client goes away."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    play: Callable[[Sender], Awaitable[None]] | None = None

    def add_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Also to an answer that is made while it is sent."""
        self.headers = [*self.headers, *headers]
        if self.play is not None and headers:
            self.play = _Marked(self.play, headers).play


class _Marked:
    """A play whose head has more headers than it knows."""

    def __init__(
        self, play: Callable[[Sender], Awaitable[None]], headers: list[tuple[bytes, bytes]]
    ) -> None:
        self._play = play
        self._headers = headers

    async def play(self, sender: Sender) -> None:
        self._sender = sender
        await self._play(self)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._sender.begin(status, [*headers, *self._headers])

    async def send(self, piece: bytes) -> None:
        await self._sender.send(piece)


_PLAIN = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
]
HTTPHandler = Callable[[HTTPRequest], Awaitable[HTTPResponse]]


async def not_found(request: HTTPRequest) -> HTTPResponse:
    """The handler of a server that speaks only gRPC."""
    return HTTPResponse(404, b"404 page not found\n", list(_PLAIN))


def dated(handler: HTTPHandler, unix_seconds: Callable[[], float]) -> HTTPHandler:
    """The same, with the time in every answer, as RFC 9110 (section 6.6.1) demands."""

    async def handle(request: HTTPRequest) -> HTTPResponse:
        response = await handler(request)
        response.add_headers([(b"date", formatdate(unix_seconds(), usegmt=True).encode())])
        return response

    return handle
