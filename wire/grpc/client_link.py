"""One connection of a client: a task that reads, a task that writes, and one that keeps it alive.

Calls put their frames into the protocol's output and wake the writer, which sends whatever
has gathered as one write; no call has a task of its own.
Source: RFC 9113; grpc-go internal/transport/http2_client.go (keepalive).
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from wire.grpc.client_errors import Head
from wire.http2.client import ClientConnection, Exchange
from wire.http2.frames import ConnectionFault
from wire.network import reason
from wire.tls_peers import handshake_words

READ_BYTES = 256 * 1024
OUTPUT_BYTES = 1 << 20  # that the socket has not taken, at which calls wait before they begin
FLUSH_SECONDS = 1.0  # to tell a server that broke the rules that it did
TOO_MANY_PINGS = "too_many_pings"  # what servers say to clients whose pings are a burden
_PING = b"keepaliv"


@dataclass(frozen=True)
class ClientKeepAlive:
    """Pings that find out that a server is gone; times in seconds, 0: no pings."""

    interval: float = 0.0  # of silence, before a ping; servers want at least 5
    timeout: float = 20.0  # for an answer
    without_calls: bool = False  # ping also when nobody waits for anything


class Link:
    """One connection, from its stream to its end."""

    def __init__(self, stream: trio.abc.Stream, keep_alive: ClientKeepAlive) -> None:
        self.protocol: ClientConnection[Head] = ClientConnection(Head)
        self.settled = trio.Event()  # the server has greeted us, or the connection has ended
        self.ended = ""  # why, once it has
        self._stream = stream
        self._keep_alive = keep_alive
        self._heard_at = 0.0
        self._writer: trio.lowlevel.Task | None = None  # while it has nothing to do
        self._room = trio.lowlevel.ParkingLot()
        self._called = trio.lowlevel.ParkingLot()  # keep-alive, while there are no calls
        self._flushing: trio.Event | None = None  # set when all is sent; then comes the end
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Until the connection ends, which every call on it is told."""
        self._heard_at = trio.current_time()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._stay_alive)
                    self.close(await self._read())
        finally:
            self._end("the connection was closed")
            await trio.aclose_forcefully(self._stream)

    def close(self, why: str) -> None:
        self._end(why)
        self._scope.cancel()

    def _end(self, why: str) -> None:
        """Tell everybody; the first reason counts."""
        if not self.ended:
            self.ended = why
            self.protocol.lose(why)
            self.settled.set()
            self._room.unpark_all()

    # -- What calls ask for

    @property
    def is_accepting(self) -> bool:
        """Whether new calls may be made on it, now or later."""
        return not self.ended and self.protocol.is_accepting

    @property
    def has_room(self) -> bool:
        """Whether a call may begin now, without passing others that wait."""
        return self._has_place and not self._room

    @property
    def _has_place(self) -> bool:
        protocol = self.protocol
        return not self.ended and protocol.has_room and protocol.sender.output_bytes < OUTPUT_BYTES

    async def room(self) -> bool:
        """Wait in line; True when a call may begin, False when none will."""
        while self.is_accepting:
            await self._room.park()
            if self._has_place:
                return True
        return False

    def open(self, exchange: Exchange[Head], block: bytes, body: bytes, *, end: bool) -> None:
        """Begin a call; there must be room."""
        self.protocol.open(exchange, block, body, end=end)
        if self._writer is not None:
            self._wake_writer()
        if self._called:
            self._called.unpark_all()

    def send(self, exchange: Exchange[Head], data: bytes, *, end: bool) -> None:
        if exchange.stream_id in self.protocol.streams:
            self.protocol.sender.send(exchange, data, end=end)
            self._wake_writer()

    def cancel(self, exchange: Exchange[Head]) -> None:
        if not self.ended:
            self.protocol.reset(exchange)
            self._wake_writer()
            self._make_room()

    def give_back(self, exchange: Exchange[Head], count: int) -> None:
        self.protocol.give_back(exchange, count)
        if self.protocol.sender.output_bytes:
            self._wake_writer()

    def _make_room(self) -> None:
        """Let in as many as there are places for; the first come first."""
        if self._room and self._has_place:
            self._room.unpark(count=self.protocol.places)
        elif self._room and not self.is_accepting:
            self._room.unpark_all()

    # -- Reading

    async def _read(self) -> str:
        """Until the connection ends; why it did."""
        protocol = self.protocol
        try:
            while True:
                data = bytes(await self._stream.receive_some(READ_BYTES))
                if not data:
                    return self.farewell or "error reading from server: EOF"
                self._heard_at = trio.current_time()
                protocol.receive(data)
                if protocol.is_ready and not self.settled.is_set():
                    self.settled.set()
                if protocol.sender.output_bytes:
                    self._wake_writer()
                self._make_room()
                if protocol.goaway is not None and not protocol.streams:
                    return self.farewell
        except trio.BrokenResourceError as error:
            return f"error reading from server: {_words(error)}"
        except trio.ClosedResourceError:
            return "the connection was closed"
        except ConnectionFault as fault:
            self._end(f"the server has broken the protocol: {fault.why}")
            await self._complain(fault)
            return self.ended

    @property
    def farewell(self) -> str:
        goaway = self.protocol.goaway
        if goaway is None:
            return ""
        return f'the server is going away: code {goaway.code}, debug data: "{goaway.text}"'

    async def _complain(self, fault: ConnectionFault) -> None:
        self.protocol.fail(fault)
        self._flushing = trio.Event()
        self._wake_writer()
        with trio.move_on_after(FLUSH_SECONDS):
            await self._flushing.wait()

    # -- Writing

    async def _write(self) -> None:
        protocol = self.protocol
        try:
            while True:
                data = protocol.take()
                if data:
                    await self._stream.send_all(data)
                    self._make_room()
                elif self._flushing is not None:
                    self._flushing.set()
                    return
                else:
                    await self._wait_for_output()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # What the server said before it closed is still to be read: it may say why.
            with trio.move_on_after(FLUSH_SECONDS):
                await trio.sleep_forever()
            self.close(f"error writing to server: {_words(error)}")

    async def _wait_for_output(self) -> None:
        self._writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            trio.lowlevel.reschedule(writer)

    # -- Staying alive

    async def _stay_alive(self) -> None:
        policy = self._keep_alive
        if not policy.interval:
            return
        while True:
            if not (policy.without_calls or self.protocol.streams):
                await self._called.park()
                self._heard_at = trio.current_time()  # silence counts from here
            silent_until = self._heard_at + policy.interval
            await trio.sleep_until(silent_until)
            if self._heard_at + policy.interval > silent_until:
                continue
            if not (policy.without_calls or self.protocol.streams):
                continue
            asked_at = trio.current_time()
            self.protocol.ping(_PING)
            self._wake_writer()
            await trio.sleep(policy.timeout)
            if self._heard_at < asked_at:
                self.close("keepalive ping failed to receive ACK within timeout")


def _words(error: BaseException) -> str:
    """Why a stream broke: what TLS or the system said, or how Trio puts it."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is not None and not hasattr(cause, "reason"):
        return reason(cause)
    return handshake_words(error)
