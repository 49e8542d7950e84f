"""A client's way to one server: calls, over one connection at a time that is made when needed.

    async with open_channel(network, address, rng, log) as channel:
        answer = await channel.unary("/etcdserverpb.KV/Put", request)
        async with channel.stream("/etcdserverpb.Watch/Watch") as watch: ...

A call that the server cannot have seen is tried again by itself; any other failure says whether
it may have been (`maybe_sent`).  A broken connection is made again when the next call comes,
after a pause that grows.
Source: grpc/doc/connection-backoff.md, wait-for-ready.md; gRFC A6 (transparent retries).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from wire.grpc.client_calls import StreamExchange, UnaryExchange
from wire.grpc.client_errors import ChannelClosed, TimedOut, Unavailable
from wire.grpc.client_headers import RequestHeaders
from wire.grpc.client_link import TOO_MANY_PINGS, ClientKeepAlive, Link
from wire.grpc.framing import PREFIX
from wire.http2.headers import Headers
from wire.network import Address, Network
from wire.tls import ClientTLS, TLSStream, handshake_words

MOST_GROWTH = 64  # steps of a pause: a power of some thousands is no number any more
TRIES = 5  # of a call that the server has not seen, each on another connection
_pack = PREFIX.pack


@dataclass(frozen=True)
class Backoff:
    """Pauses after connections that could not be made, in seconds."""

    first: float = 0.1
    factor: float = 1.6
    jitter: float = 0.2  # of the pause, more or less
    most: float = 5.0

    def pause(self, failures: int, rng: random.Random) -> float:
        """After so many failures in a row."""
        growth = self.factor ** min(failures - 1, MOST_GROWTH)
        length = min(self.first * growth, self.most)
        return length * rng.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    connect_seconds: float = 5.0  # for a connection, TLS and the server's greeting
    receive_bytes: int = (1 << 31) - 1  # of one message; etcd's clients take as much
    keep_alive: ClientKeepAlive = field(default_factory=ClientKeepAlive)
    backoff: Backoff = field(default_factory=Backoff)
    server_name: str = ""  # that its certificate must have; the address's host if empty
    authority: str = ""  # as calls name the server; the address if empty
    user_agent: str = "trioetcd"


@asynccontextmanager
async def open_channel(
    network: Network,
    address: Address,
    rng: random.Random,
    *,
    tls: ClientTLS | None = None,
    options: ChannelOptions | None = None,
) -> AsyncIterator[Channel]:
    """A channel whose tasks live as long as the block; `tls` is needed for secure servers.

    Nothing is connected before the first call.
    """
    channel = Channel(network, address, rng, tls, options or ChannelOptions())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.run)
        try:
            yield channel
        finally:
            channel.close()
            nursery.cancel_scope.cancel()


class Channel:
    """`run` must be running; see `open_channel`.

    Invariant: `_link`, if there is one, has been greeted by its server.
    """

    def __init__(
        self,
        network: Network,
        address: Address,
        rng: random.Random,
        tls: ClientTLS | None,
        options: ChannelOptions,
    ) -> None:
        self.address = address
        self._network = network
        self._rng = rng
        self._tls = tls
        self._options = options
        self._keep_alive = options.keep_alive
        scheme = "http" if tls is None else "https"
        self._headers = RequestHeaders(
            scheme, options.authority or str(address), options.user_agent
        )
        self._link: Link | None = None
        self._failure = ""  # why the last connection could not be made, while we pause
        self._failures = 0  # in a row
        self._wanted = trio.Event()
        self._changed = trio.lowlevel.ParkingLot()  # calls that wait for a connection
        self._closed = False

    @property
    def open_calls(self) -> int:
        """Calls that the present connection carries."""
        return 0 if self._link is None else len(self._link.protocol.streams)

    # -- Calls

    async def unary(
        self,
        path: str,
        request: bytes,
        *,
        metadata: Headers = (),
        timeout: float | None = None,  # noqa: ASYNC109
        wait_for_ready: bool = False,
    ) -> bytes:
        """Call a method with one request message; its one answer.

        `metadata` are header fields as they are sent.  The server is told how much time there
        is: `timeout` seconds, or what the caller's cancel scopes leave if that is less.  With
        `wait_for_ready` it is waited for as long as that.

        Raises:
            EtcdError: what the server says; or, in its place, one of
            Unavailable: no connection, or it broke,
            TimedOut: `timeout` has passed,
            ChannelClosed: the channel's block was left.
        """
        if timeout is None:
            return await self._unary(path, request, metadata, wait_for_ready, [])
        exchanges: list[UnaryExchange] = []
        with trio.move_on_after(timeout):
            return await self._unary(path, request, metadata, wait_for_ready, exchanges)
        raise TimedOut(maybe_sent=bool(exchanges))

    async def _unary(
        self,
        path: str,
        request: bytes,
        metadata: Headers,
        wait_for_ready: bool,
        exchanges: list[UnaryExchange],
    ) -> bytes:
        """`exchanges` is where the last try is to be found, once there is one."""
        body = _pack(0, len(request)) + request
        for tries_left in reversed(range(TRIES)):
            link = self._link
            if link is None or not link.has_room:
                link = await self._usable(wait_for_ready)
            left = trio.current_effective_deadline() - trio.current_time()
            if left <= 0:
                await trio.lowlevel.checkpoint()  # raises Cancelled
            exchange = UnaryExchange(link, self._options.receive_bytes)
            exchanges[:] = (exchange,)
            link.open(exchange, self._headers.block(path, metadata, left), body, end=True)
            try:
                return await exchange.wait()
            except Unavailable as error:
                exchanges.clear()
                if self._closed:
                    raise ChannelClosed(maybe_sent=error.maybe_sent) from error
                if error.maybe_sent or not tries_left:
                    raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        metadata: Headers = (),
        timeout: float | None = None,  # noqa: ASYNC109
        wait_for_ready: bool = False,
    ) -> AsyncIterator[StreamExchange]:
        """A streaming call, which ends with the block.

        `timeout` is for the whole of it.  Raises what `unary` raises.
        """
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            left = float("inf") if timeout is None else timeout
            async with await self.open_stream(
                path, metadata=metadata, timeout=left, wait_for_ready=wait_for_ready
            ) as exchange:
                yield exchange
        if scope.cancelled_caught:
            raise TimedOut(maybe_sent=True)

    async def open_stream(
        self,
        path: str,
        *,
        metadata: Headers = (),
        timeout: float = float("inf"),  # noqa: ASYNC109
        wait_for_ready: bool = False,
    ) -> StreamExchange:
        """A streaming call that lives until its `cancel`, across the caller's blocks.

        The server is told of `timeout`; nothing here ends the call when it has passed.
        """
        deadline = trio.current_time() + timeout
        link = await self._usable(wait_for_ready)
        left = deadline - trio.current_time()
        exchange = StreamExchange(link, self._options.receive_bytes)
        link.open(exchange, self._headers.block(path, metadata, left), b"", end=False)
        return exchange

    # -- The connection

    async def _usable(self, wait_for_ready: bool) -> Link:
        """A connection with room for a call."""
        while True:
            if self._closed:
                raise ChannelClosed(maybe_sent=False)
            link = self._link
            if link is not None and link.is_accepting:
                if link.has_room or await link.room():
                    return link
                continue
            if self._failure and not wait_for_ready:
                await trio.lowlevel.checkpoint()
                raise Unavailable(self._failure, maybe_sent=False)
            self._wanted.set()
            await self._changed.park()

    async def run(self) -> None:
        """Make connections as they are wanted, until cancelled."""
        try:
            async with trio.open_nursery() as links:
                while True:
                    await self._wanted.wait()
                    self._wanted = trio.Event()
                    if self._link is None or not self._link.is_accepting:
                        await self._connect(links)
                    self._changed.unpark_all()
                    if self._failures:
                        await self._pause()
        finally:
            self.close()

    async def _pause(self) -> None:
        await trio.sleep(self._options.backoff.pause(self._failures, self._rng))
        self._failure = ""

    async def _connect(self, links: trio.Nursery) -> None:
        """One attempt; sets `_link`, or `_failure`."""
        why = "context deadline exceeded"
        link: Link | None = None
        with trio.move_on_after(self._options.connect_seconds):
            try:
                link = Link(await self._dial(), self._keep_alive)
            except OSError as error:
                why = f"Error while dialing: {error}"
            except trio.BrokenResourceError as error:
                why = f"authentication handshake failed: {handshake_words(error)}"
            else:
                links.start_soon(self._run_link, link)
                await link.settled.wait()
                why = link.ended
        if link is not None and not why:
            self._link, self._failures, self._failure = link, 0, ""
            return
        if link is not None:
            link.close(why)
        self._failures += 1
        self._failure = f'connection error: desc = "transport: {why}"'

    async def _run_link(self, link: Link) -> None:
        await link.run()
        if TOO_MANY_PINGS in link.farewell:
            self._keep_alive = replace(self._keep_alive, interval=2 * self._keep_alive.interval)
        if self._link is link:
            self._link = None
        self._changed.unpark_all()

    async def _dial(self) -> trio.abc.Stream:
        stream = await self._network.connect(self.address)
        if self._tls is None:
            return stream
        name = self._options.server_name or self._tls.settings.server_name or self.address.host
        secure = TLSStream(stream, self._tls.context(), server_hostname=name, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secure

    def close(self) -> None:
        """No more calls; those at hand are told."""
        self._closed = True
        self._changed.unpark_all()
