"""Plain HTTP requests and responses, whichever version of HTTP they came by.

Served beside gRPC on the same port: health, metrics, version, the JSON gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from wire.grpc.service import Peer


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """`target` is path and query as sent; header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class HTTPResponse:
    """`stream`, if given, is sent piece by piece as it comes, after `body`."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None


HTTPHandler = Callable[[HTTPRequest], Awaitable[HTTPResponse]]


async def not_found(request: HTTPRequest) -> HTTPResponse:
    """The handler of a server that speaks only gRPC."""
    return HTTPResponse(404, b"404 page not found\n", [(b"content-type", b"text/plain")])
