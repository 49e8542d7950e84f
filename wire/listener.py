"""One port for everything: gRPC over HTTP/2 and plain HTTP/1.1, with or without TLS.

A connection says what it speaks by ALPN or by its first bytes.  Until it has, it is half open:
such connections are limited in number and in time, and none of their faults leaves the task
that met it.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from wire.grpc.service import Peer
from wire.http2.frames import PREFACE
from wire.log import Log
from wire.network import keep_alive, peer_address
from wire.tls import PeerRefused, ServerTLS, check_peer, common_name

READ_BYTES = 65536
OPENING_SECONDS = 10.0  # for the TLS handshake and the first bytes
HALF_OPEN = 4096  # connections that have not said what they speak; more are closed at once
PAUSE_SECONDS = 0.1  # after the system has run out of descriptors or memory
DRAIN_SECONDS = 5.0  # for calls at hand when the listener stops

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

ServeStream = Callable[[trio.abc.Stream, Peer, bytes, trio.Event], Awaitable[None]]
"""Serves one connection: the stream, who is there, bytes read already, set when draining."""


@dataclass(frozen=True)
class Protocols:
    http2: ServeStream
    http1: ServeStream


class Port:
    """Connections of a set of listeners; `run` accepts until it is cancelled."""

    def __init__(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        protocols: Protocols,
        log: Log,
        tls: ServerTLS | None = None,
    ) -> None:
        self._listeners = listeners
        self._protocols = protocols
        self._log = log
        self._tls = tls
        self._half_open = 0
        self._scopes: set[trio.CancelScope] = set()  # of connections
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
                self._last_moment = trio.current_time() + DRAIN_SECONDS
                for scope in self._scopes:
                    scope.deadline = self._last_moment
                with trio.CancelScope(shield=True):
                    for listener in self._listeners:
                        await listener.aclose()

    async def _accept(
        self, listener: trio.abc.Listener[trio.abc.Stream], connections: trio.Nursery
    ) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _SHORTAGE:
                    raise
                self._log.warning("cannot accept connections", error=error.strerror)
                await trio.sleep(PAUSE_SECONDS)
                continue
            if self._half_open >= HALF_OPEN:
                self.refused += 1
                await trio.aclose_forcefully(stream)
                continue
            connections.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        """One connection.  Stopping the port does not cancel it at once: see `run`."""
        with trio.CancelScope(shield=True, deadline=self._last_moment) as scope:
            self._scopes.add(scope)
            try:
                await self._contain(stream)
            finally:
                self._scopes.discard(scope)

    async def _contain(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        try:
            await self._open(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone
        except Exception as error:
            self._log.error("connection failed", error=repr(error))
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    async def _open(self, stream: trio.abc.Stream) -> None:
        """Find out who is there and what they speak, then serve that."""
        keep_alive(stream)
        address = peer_address(stream)
        self._half_open += 1
        opened = None
        try:
            with trio.move_on_after(OPENING_SECONDS):
                opened = await self._hand_shake(stream, address)
        finally:
            self._half_open -= 1
        if opened is not None:
            serve, inner, peer, initial = opened
            await serve(inner, peer, initial, self.draining)

    async def _hand_shake(
        self, stream: trio.abc.Stream, address: str
    ) -> tuple[ServeStream, trio.abc.Stream, Peer, bytes] | None:
        if self._tls is None:
            serve, initial = await self._sniff(stream)
            return serve and (serve, stream, Peer(address), initial)
        secure = trio.SSLStream(
            stream, self._tls.context(), server_side=True, https_compatible=True
        )
        try:
            await secure.do_handshake()
            check_peer(secure, self._tls.settings)
        except (trio.BrokenResourceError, PeerRefused) as error:
            cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
            self._log.warning("rejected connection", remote_addr=address, error=_words(cause))
            return None
        peer = Peer(address, common_name(secure), secure=True)
        if secure.selected_alpn_protocol() == "h2":
            return self._protocols.http2, secure, peer, b""
        serve, initial = await self._sniff(secure)
        return serve and (serve, secure, peer, initial)

    async def _sniff(self, stream: trio.abc.Stream) -> tuple[ServeStream | None, bytes]:
        """HTTP/2 begins with a preface that no HTTP/1 request begins with."""
        initial = b""
        while len(initial) < len(PREFACE) and PREFACE.startswith(initial):
            data = bytes(await stream.receive_some(READ_BYTES))
            if not data:
                return None, b""
            initial += data
        if initial.startswith(PREFACE):
            return self._protocols.http2, initial
        return self._protocols.http1, initial


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return str(error)
