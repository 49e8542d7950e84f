"""One port for everything: gRPC over HTTP/2 and plain HTTP/1.1, with or without TLS.

A connection says what it speaks by ALPN or by its first bytes.  Until it has, it is half open:
such connections are limited in number and in time, and none of their faults leaves the task
that met it.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from wire.grpc.service import Peer
from wire.http2.frames import PREFACE
from wire.log import Log
from wire.network import keep_alive, peer_address, reason
from wire.tls import PeerRefused, ServerTLS, TLSStream, handshake_words

READ_BYTES = 65536
OPENING_SECONDS = 10.0  # for the TLS handshake and the first bytes; etcd's handshake deadline
HALF_OPEN = 1024  # connections that have not said what they speak; the oldest makes room
PAUSE_SECONDS = 0.1  # after accepting has failed, most likely for want of descriptors or memory
DRAIN_SECONDS = 5.0  # for calls at hand when the listener stops
RESERVED_DESCRIPTORS = 150  # not for connections: files must open when clients are many; etcd's

ServeStream = Callable[[trio.abc.Stream, Peer, bytes, trio.Event], Awaitable[None]]
"""Serves one connection: the stream, who is there, bytes read already, set when draining."""


@dataclass(frozen=True)
class Protocols:
    http2: ServeStream
    http1: ServeStream


@dataclass(frozen=True)
class Opened:
    """A connection that has said who is there and what it speaks."""

    serve: ServeStream
    stream: trio.abc.Stream
    peer: Peer
    initial: bytes


class Port:
    """Connections of a set of listeners; `run` accepts until it is cancelled.

    Invariant: `_half_open` holds the scopes of connections not yet opened, oldest first.
    """

    def __init__(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        protocols: Protocols,
        log: Log,
        tls: ServerTLS | None = None,
        *,
        most: int | None = None,
        drain: float = DRAIN_SECONDS,
    ) -> None:
        """`most` connections are served at once, as many as there are descriptors for if not
        given; others wait in the kernel's queue.  When it stops, calls have `drain` seconds."""
        self._listeners = listeners
        self._protocols = protocols
        self._log = log
        self._tls = tls
        self._places = trio.Semaphore(descriptors_for_connections() if most is None else most)
        self._half_open: dict[trio.CancelScope, None] = {}
        self._scopes: set[trio.CancelScope] = set()  # of connections
        self._drain = drain
        self._last_moment = float("inf")  # for connections to end, once draining
        self.draining = trio.Event()
        self.connections = 0
        self.refused = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept until cancelled; then let connections finish what they have, for a while."""
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    for listener in self._listeners:
                        accepting.start_soon(self._accept, listener, connections)
                    task_status.started()
            finally:
                self.draining.set()
                self._last_moment = trio.current_time() + self._drain
                for scope in self._scopes:
                    scope.deadline = self._last_moment
                for half_open in self._half_open:
                    half_open.cancel()
                with trio.CancelScope(shield=True):
                    for listener in self._listeners:
                        await listener.aclose()

    async def _accept(
        self, listener: trio.abc.Listener[trio.abc.Stream], connections: trio.Nursery
    ) -> None:
        is_short = False
        while True:
            await self._places.acquire()
            try:
                stream = await listener.accept()
            except BaseException as error:
                self._places.release()
                if not isinstance(error, OSError):
                    raise
                if error.errno in _PEERS_FAULT:
                    continue
                if not is_short:
                    self._log.warning("cannot accept connections", error=reason(error))
                is_short = True
                await trio.sleep(PAUSE_SECONDS)
            else:
                is_short = False
                connections.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        """One connection.  Stopping the port does not cancel it at once: see `run`."""
        with trio.CancelScope(shield=True, deadline=self._last_moment) as scope:
            self._scopes.add(scope)
            self.connections += 1
            try:
                await self._contain(stream)
            finally:
                self._scopes.discard(scope)
                self.connections -= 1
                self._places.release()

    async def _contain(self, stream: trio.abc.Stream) -> None:
        """Whatever is wrong with one connection stays with it."""
        try:
            opened = await self._open(stream)
            if opened is not None:
                await opened.serve(opened.stream, opened.peer, opened.initial, self.draining)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone
        except* Exception as defects:
            self._log.error("connection failed", error=repr(defects.exceptions[0]))
        finally:
            await trio.aclose_forcefully(stream)

    async def _open(self, stream: trio.abc.Stream) -> Opened | None:
        """Find out who is there and what they speak; None if it cannot be found out."""
        keep_alive(stream)
        address = peer_address(stream)
        if len(self._half_open) >= HALF_OPEN:
            self.refused += 1
            next(iter(self._half_open)).cancel()
        with trio.move_on_after(OPENING_SECONDS) as scope:
            self._half_open[scope] = None
            try:
                if self._tls is None:
                    return await self._sniff(stream, Peer(address))
                return await self._open_tls(stream, address, self._tls)
            finally:
                del self._half_open[scope]
        return None

    async def _open_tls(
        self, stream: trio.abc.Stream, address: str, tls: ServerTLS
    ) -> Opened | None:
        secure = TLSStream(stream, tls.context(), server_side=True, https_compatible=True)
        try:
            await shake_hands(secure)
            who = tls.check(secure)
        except (trio.BrokenResourceError, PeerRefused) as error:
            words = handshake_words(error)
            say = self._log.debug if words == "EOF" else self._log.warning
            say("rejected connection", remote_addr=address, error=words)
            return None
        peer = Peer(address, who.common_name, secure=True)
        if secure.selected_alpn_protocol() == "h2":
            return Opened(self._protocols.http2, secure, peer, b"")
        return await self._sniff(secure, peer)

    async def _sniff(self, stream: trio.abc.Stream, peer: Peer) -> Opened | None:
        """HTTP/2 begins with a preface that no HTTP/1 request begins with."""
        initial = b""
        while len(initial) < len(PREFACE) and PREFACE.startswith(initial):
            data = bytes(await stream.receive_some(READ_BYTES))
            if not data:
                return None
            initial += data
        if initial.startswith(PREFACE):
            return Opened(self._protocols.http2, stream, peer, initial)
        if initial[:1] == TLS_HANDSHAKE:  # https:// was meant, and nothing we say can be read
            return None
        return Opened(self._protocols.http1, stream, peer, initial)


TLS_HANDSHAKE = b"\x16"  # the first byte of a ClientHello

# What accept(2) reports of the connection it would have returned, and not of the listener.
_PEERS_FAULT = frozenset(
    {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH}
)


async def shake_hands(stream: TLSStream) -> None:
    """`do_handshake`, and if it fails, tell the client why.

    Trio keeps the alert that OpenSSL has made to itself, and the client would hear nothing but
    the end of the connection.

    Raises:
        trio.BrokenResourceError: it failed.
    """
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        alert = stream._outgoing.read()
        with suppress(trio.BrokenResourceError):  # gone already
            await stream.transport_stream.send_all(alert)
        raise


def descriptors_for_connections() -> int:
    """How many connections the process may have open and still open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max(soft - RESERVED_DESCRIPTORS, 1)
