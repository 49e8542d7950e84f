"""The network seam: where streams come from.

Everything else gets streams and listeners handed in: the machine's from here, a simulation's
from `wire.memory_network`.  Addresses are `tcp` (host, port) or `unix` (path), as written in
URLs.  Errors are worded as etcd's operators know them from Go.
Source: Go's net package (Listen, Dial); etcd client/pkg/transport/listener.go.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import trio

BACKLOG = 4096  # connections the kernel holds for us before they are accepted, if it agrees
KEEPALIVE_SECONDS = 30  # idle, and between probes: TCP's own, with etcd's value
WILDCARDS = ("", "0.0.0.0", "::")


class NetworkError(OSError):
    """Listening or connecting failed; `str` and `strerror` are one line in Go's words."""

    def __str__(self) -> str:
        return self.strerror or ""


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
    scheme, _, path = url.strip().partition("://")
    if scheme in ("unix", "unixs"):
        return Address(path=path, secure=scheme == "unixs")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise BadURL(f"{error}: {url}") from error
    if parts.scheme not in ("http", "https"):
        raise BadURL(f"URL scheme must be http, https, unix, or unixs: {url}")
    if port is None:
        raise BadURL(f'URL address does not have the form "host:port": {url}')
    if parts.path:
        raise BadURL(f"URL must not contain a path: {url}")
    return Address(parts.hostname or "", port, secure=parts.scheme == "https")


class Network(Protocol):
    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        """Raises NetworkError."""
        ...

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Raises NetworkError.  Tries as long as the kernel does: put a deadline around it."""
        ...


@dataclass(frozen=True)
class RealNetwork:
    """The operating system's sockets."""

    reuse_port: bool = False
    reuse_address: bool = True

    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        try:
            if address.path:
                return [await _UnixListener.open(address.path)]
            return [await self._listen_tcp(address)]
        except socket.gaierror as error:
            raise NetworkError(None, f"listen tcp: {_lookup_words(address, error)}") from error
        except OSError as error:
            words = f"listen {_kind(address)} {address}: bind: {reason(error)}"
            raise NetworkError(error.errno, words) from error

    async def _listen_tcp(self, address: Address) -> trio.SocketListener:
        family, host = await _resolve(address)
        listening = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            if self.reuse_address:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                only = address.host not in WILDCARDS
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            await listening.bind((host, address.port))
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
        return trio.SocketListener(listening)

    async def connect(self, address: Address) -> trio.abc.Stream:
        try:
            if address.path:
                return await trio.open_unix_socket(address.path)
            stream = await trio.open_tcp_stream(address.host or "localhost", address.port)
        except OSError as error:
            raise _dial_error(address, error) from error
        keep_alive(stream)
        return stream


async def _resolve(address: Address) -> tuple[socket.AddressFamily, str]:
    """What to bind to: a wildcard is all interfaces of both families, a name its IPv4 address."""
    if address.host in WILDCARDS:
        return (socket.AF_INET6, "::") if _has_ipv6() else (socket.AF_INET, "0.0.0.0")
    found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, sockaddr = min(found, key=lambda one: one[0] != socket.AF_INET)
    return socket.AddressFamily(family), str(sockaddr[0])


def _has_ipv6() -> bool:
    """A machine may know the protocol and yet have no address of it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


class _UnixListener(trio.abc.Listener[trio.abc.Stream]):
    """Takes its name with it when it is closed."""

    def __init__(self, path: str, inner: trio.SocketListener) -> None:
        self._path = path
        self._inner = inner
        self._closed = False

    @classmethod
    async def open(cls, path: str) -> _UnixListener:
        if _is_socket(path):
            os.unlink(path)  # left over from an earlier run; the data directory's lock guards us
        listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await listening.bind(path)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
        return cls(path, trio.SocketListener(listening))

    async def accept(self) -> trio.abc.Stream:
        return await self._inner.accept()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(FileNotFoundError):
                os.unlink(self._path)
        await self._inner.aclose()


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


# -- What Go says


def _kind(address: Address) -> str:
    return "unix" if address.path else "tcp"


def _dial_error(address: Address, error: OSError) -> NetworkError:
    """Trio tries every address a name has and raises their errors as a group; take the first."""
    cause: BaseException = error
    while getattr(cause, "errno", None) is None:
        inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__
        if inner is None:
            break
        cause = inner
    if isinstance(cause, socket.gaierror):
        return NetworkError(None, f"dial tcp: {_lookup_words(address, cause)}")
    words = f"dial {_kind(address)} {address}: connect: {reason(cause)}"
    return NetworkError(getattr(cause, "errno", None), words)


def _lookup_words(address: Address, error: socket.gaierror) -> str:
    unknown = error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
    return f"lookup {address.host}: {'no such host' if unknown else error.strerror}"


def reason(error: BaseException) -> str:
    """What the system said, as Go prints it: "connection refused"."""
    code = getattr(error, "errno", None)
    if code is None:
        return str(error) or type(error).__name__
    words = os.strerror(code)
    return words[:1].lower() + words[1:]


# -- Sockets


def peer_address(stream: trio.abc.Stream) -> str:
    """Who is at the other end, as Go prints it; empty if it cannot be known."""
    if not isinstance(stream, trio.SocketStream):
        return str(getattr(stream, "peer_name", ""))
    try:
        name = stream.socket.getpeername()
    except OSError:
        return ""
    if isinstance(name, tuple):
        return str(Address(str(name[0]).removeprefix("::ffff:"), int(name[1])))
    return str(name) or "@"


def keep_alive(stream: trio.abc.Stream) -> None:
    """Let the kernel find out that a peer has gone without a word."""
    if isinstance(stream, trio.SocketStream) and stream.socket.family != socket.AF_UNIX:
        with suppress(OSError):  # it is gone already
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
