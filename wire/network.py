"""The network seam: where streams come from.

Everything else gets streams and listeners handed in.  Addresses are `tcp` (host, port) or
`unix` (path), as written in URLs.  Errors are worded as etcd's operators know them from Go.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import trio
import trio.testing

BACKLOG = 1024  # connections the kernel holds for us before they are accepted


class BadURL(ValueError):
    """Not a URL that can be listened on, or advertised."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect or listen.  `path` is set for Unix sockets."""

    host: str = ""
    port: int = 0
    path: str = ""
    secure: bool = False

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """`http`, `https`, `unix` or `unixs` with host and port, or a path.

    Raises:
        BadURL: in etcd's words.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadURL(f"{error}: {url}") from error
    if parts.scheme not in ("http", "https", "unix", "unixs"):
        raise BadURL(f"URL scheme must be http, https, unix, or unixs: {url}")
    secure = parts.scheme.endswith("s")
    if parts.scheme.startswith("unix"):
        return Address(path=parts.netloc + parts.path, secure=secure)
    if port is None:
        raise BadURL(f'URL address does not have the form "host:port": {url}')
    if parts.path not in ("", "/"):
        raise BadURL(f"URL must not contain a path: {url}")
    return Address(parts.hostname or "", port, secure=secure)


class Network(Protocol):
    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        """Raises OSError, in one line."""
        ...

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Raises OSError.  Waits as long as the kernel does: put a deadline around it."""
        ...


@dataclass(frozen=True)
class RealNetwork:
    """The operating system's sockets."""

    reuse_port: bool = False
    reuse_address: bool = True

    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        try:
            if address.path:
                return [await _listen_unix(address.path)]
            return [
                await self._listen_tcp(family, sockaddr)
                for family, sockaddr in await _resolve(address)
            ]
        except OSError as error:
            kind = "unix" if address.path else "tcp"
            raise OSError(
                error.errno, f"listen {kind} {address}: bind: {_reason(error)}"
            ) from error

    async def _listen_tcp(
        self, family: socket.AddressFamily, sockaddr: tuple[str, int]
    ) -> trio.SocketListener:
        listening = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            if self.reuse_address:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await listening.bind(sockaddr)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
        return trio.SocketListener(listening)

    async def connect(self, address: Address) -> trio.abc.Stream:
        if address.path:
            return await trio.open_unix_socket(address.path)
        return await trio.open_tcp_stream(address.host, address.port)


async def _resolve(address: Address) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = await trio.socket.getaddrinfo(
        address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM
    )
    # `localhost` may be both ::1 and 127.0.0.1; a machine without IPv6 has only the latter.
    return [
        (socket.AddressFamily(family), (str(sockaddr[0]), int(sockaddr[1])))
        for family, _, _, _, sockaddr in found
        if family == socket.AF_INET or socket.has_ipv6
    ]


async def _listen_unix(path: str) -> trio.SocketListener:
    with suppress(FileNotFoundError):
        os.unlink(path)  # left over from an earlier run; the data directory's lock guards us
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await listening.bind(path)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return trio.SocketListener(listening)


def _reason(error: OSError) -> str:
    words = {
        errno.EADDRINUSE: "address already in use",
        errno.EACCES: "permission denied",
        errno.EADDRNOTAVAIL: "cannot assign requested address",
    }
    return words.get(error.errno or 0, error.strerror or str(error))


def peer_address(stream: trio.abc.Stream) -> str:
    """Who is at the other end of a socket; empty for what is none."""
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return ""
    if isinstance(name, tuple):
        return str(Address(str(name[0]), int(name[1])))
    return str(name)


def no_delay(stream: trio.abc.Stream) -> None:
    """Small writes go out at once (Trio sets this on what it connects, not on what it accepts)."""
    if isinstance(stream, trio.SocketStream) and stream.socket.family != socket.AF_UNIX:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


MEMORY_BUFFER_BYTES = 256 * 1024


class MemoryNetwork:
    """A network inside the process: names are host:port, streams are Trio's memory streams."""

    def __init__(self) -> None:
        self._listeners: dict[str, trio.MemorySendChannel[trio.abc.Stream]] = {}

    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        await trio.lowlevel.checkpoint()
        name = str(address)
        if name in self._listeners:
            raise OSError(errno.EADDRINUSE, f"listen tcp {name}: bind: address already in use")
        send, receive = trio.open_memory_channel[trio.abc.Stream](BACKLOG)
        self._listeners[name] = send
        return [_MemoryListener(self, name, receive)]

    async def connect(self, address: Address) -> trio.abc.Stream:
        listening = self._listeners.get(str(address))
        if listening is None:
            await trio.lowlevel.checkpoint()
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"dial tcp {address}: refused")
        near, far = trio.testing.memory_stream_pair()
        await listening.send(far)
        return near

    def forget(self, name: str) -> None:
        self._listeners.pop(name).close()


class _MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    def __init__(
        self,
        network: MemoryNetwork,
        name: str,
        incoming: trio.MemoryReceiveChannel[trio.abc.Stream],
    ) -> None:
        self._network = network
        self._name = name
        self._incoming = incoming

    async def accept(self) -> trio.abc.Stream:
        try:
            return await self._incoming.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError from None

    async def aclose(self) -> None:
        if self._name:
            self._network.forget(self._name)
            self._name = ""
        await trio.lowlevel.checkpoint()
