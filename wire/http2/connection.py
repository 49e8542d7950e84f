"""One server connection: a task that reads, a task that writes, and a task per long call.

The reader feeds the lane, hands complete calls to their methods and stops reading while a
method, or the peer's slowness in taking what we send, asks it to.  Whatever is put out by then
goes out as one write: at once if the socket takes it, else by the writer, who is the only one
that waits for the socket.  Deadlines of calls are swept by one task.
Source: RFC 9113; grpc/doc/PROTOCOL-HTTP2.md; grpc-go internal/transport/http2_server.go.
"""

from __future__ import annotations

import traceback
from contextlib import suppress

import trio

from wire.errors import DeadlineExceeded, EtcdError
from wire.grpc.service import Peer, Registry, UnaryCall
from wire.http import HTTPHandler, not_found
from wire.http2.defects import INTERNAL, is_fatal, refusal_of
from wire.http2.frames import ConnectionFault
from wire.http2.keepalive import KeepAlive, Pings
from wire.http2.lane import Lane
from wire.http2.limits import Limits
from wire.http2.streams import Streams
from wire.http2.transmit import receiver_of, sender_of
from wire.log import Log

READ_BYTES = 65536
BURST_BYTES = 256 * 1024  # of what waits in line, put out at once
OPENING_SECONDS = 10.0  # for preface and SETTINGS; handshakes are timed before
LINGER_SECONDS = 1.0  # for a peer that is sent away to stop sending; grpc-go's
LINGER_BYTES = 1 << 20  # and what it may still send
FLUSH_SECONDS = 5.0  # for the last bytes of a connection that ends
SWEEP_SECONDS = 0.01  # between two looks at deadlines
TEND_SECONDS = 1.0  # how often budgets are given back and pings looked at
EARN_SHARE = 0.1  # of the budgets, each time
PING = b"trioetcd"


async def serve_connection(
    stream: trio.abc.Stream,
    registry: Registry,
    *,
    log: Log,
    peer: Peer | None = None,
    limits: Limits | None = None,
    keep_alive: KeepAlive | None = None,
    http_handler: HTTPHandler = not_found,
    initial: bytes = b"",
    draining: trio.Event | None = None,
) -> None:
    """Serve HTTP/2 on `stream` until either side ends it; closes the stream.

    `initial` are bytes read from it already.  Once `draining` is set, no new calls are taken,
    and the connection ends when those at hand are answered; cancel to end it sooner.
    """
    connection = Connection(
        stream,
        registry,
        log,
        peer or Peer(),
        limits or Limits(),
        keep_alive or KeepAlive(),
        http_handler,
        trio.Event() if draining is None else draining,
    )
    await connection.run(initial)


class Connection:
    """The tasks' common state."""

    nursery: trio.Nursery

    def __init__(
        self,
        stream: trio.abc.Stream,
        registry: Registry,
        log: Log,
        peer: Peer,
        limits: Limits,
        keep_alive: KeepAlive,
        http_handler: HTTPHandler,
        draining: trio.Event,
    ) -> None:
        self._stream = stream
        self._send_now = sender_of(stream)
        self._registry = registry
        self._log = log
        self._peer = peer
        self._limits = limits
        self._draining = draining
        self._lane = Lane(registry, limits, peer, tasks=self)
        self._replies = self._lane.replies
        self._replies.wake = self.wake_writer  # type: ignore[method-assign]
        self._replies.flush = self._flush  # type: ignore[method-assign]
        self._replies.gave_up = self._cancel_task  # type: ignore[method-assign]
        self._streams = Streams(self, self._lane, registry, peer, http_handler, limits)
        self._pings = Pings(keep_alive, trio.current_time())
        self._tasks: dict[int, trio.CancelScope] = {}  # of unary calls that have one
        self._next_sweep = float("inf")
        self._deadline_set = trio.Event()
        self._writer: trio.lowlevel.Task | None = None  # while it has nothing to do
        self._unsent = b""  # taken from the replies, for the writer to send first
        self._room = trio.lowlevel.ParkingLot()
        self._ending = False  # ends when what is put out is sent
        self._is_faulty = False  # because the peer has broken the rules

    async def run(self, initial: bytes) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                nursery.start_soon(self._write)
                nursery.start_soon(self._sweep)
                nursery.start_soon(self._tend)
                nursery.start_soon(self._drain)
                await self._read(initial)
                nursery.cancel_scope.cancel()
        finally:
            self._lane.end()
            await trio.aclose_forcefully(self._stream)

    # -- Reading

    async def _read(self, initial: bytes) -> None:
        """Until the peer is gone, or has broken the rules and been told so."""
        receive = receiver_of(self._stream)
        try:
            data = initial
            with trio.move_on_after(OPENING_SECONDS):
                while not self._lane.is_open:
                    data = data or bytes(await receive(READ_BYTES))
                    if not data:
                        return
                    await self._take(data)
                    data = b""
            if not self._lane.is_open:
                return
            while data := bytes(await receive(READ_BYTES)):
                await self._take(data)
        except ConnectionFault as fault:
            self._log.debug("connection fault", peer=self._peer.address, reason=fault.why)
            self._lane.fail(fault)
            self._is_faulty = True
            self._finish()
            await self._disregard()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _disregard(self) -> None:
        """Read what the peer sends until it stops; the writer decides for how long."""
        rest = LINGER_BYTES
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while rest > 0 and (data := await self._stream.receive_some(READ_BYTES)):
                rest -= len(data)

    async def _take(self, data: bytes) -> None:
        """Deal with bytes from the socket, a batch of calls at a time."""
        lane, requests, replies = self._lane, self._lane.requests, self._replies
        lane.receive(data)
        more = True
        while more:
            now = trio.current_time()
            self._pings.heard(now)
            replies.is_idle = False  # answers need not wake the writer: see `_flush`
            more = lane.step(now)
            waits = []
            for basket in requests.ready:
                calls, basket.calls = basket.calls, []
                wait = basket.handler.submit(calls)
                if wait is not None:
                    waits.append(wait)
            requests.ready.clear()
            for event in lane.owner.events:
                self._streams.handle(event)
            if lane.pings:
                self._judge_pings(now)
            if requests.soonest < self._next_sweep:
                self._deadline_set.set()
            self._flush()
            if lane.peer_leaves:
                self.wake_writer()  # who ends the connection if nothing is under way
            for wait in waits:
                await wait
            while self._is_stuck:
                await self._room.park()

    @property
    def _is_stuck(self) -> bool:
        """Whether the socket takes nothing, and much waits for it.

        Replies that wait for the peer's windows alone do not count: WINDOW_UPDATEs must be read.
        """
        if self._writer is not None:
            return False
        waiting = len(self._unsent) + self._replies.output_bytes + self._lane.line.size
        return waiting > self._limits.output_bytes

    # -- Unary methods that are coroutines

    def submit(self, calls: list[UnaryCall]) -> None:
        """`BatchHandler.submit`: a task for each call."""
        for call in calls:
            self.nursery.start_soon(self._run_unary, call)

    async def _run_unary(self, call: UnaryCall) -> None:
        unary = call.method.unary
        assert unary is not None
        with trio.CancelScope() as scope:
            self._tasks[call.stream_id] = scope
            if call.closed:
                scope.cancel()
            try:
                call.reply(await unary(call))
            except Exception as error:
                call.refuse(self.defect(call.method.path, error))
        del self._tasks[call.stream_id]

    def _cancel_task(self, stream_id: int) -> None:
        if stream_id in self._tasks:
            self._tasks[stream_id].cancel()

    def defect(self, path: str, error: Exception) -> EtcdError:
        """What to tell the client of a handler's exception.

        A mistake of ours is logged, and the client learns no more than that.  Raised again if
        the state behind it can no longer be trusted.
        """
        if is_fatal(error):
            raise error
        refusal = refusal_of(error)
        if refusal is not None:
            return refusal
        trace = "".join(traceback.format_exception(error))
        self._log.error("handler failed", method=path, error=repr(error), stacktrace=trace)
        return INTERNAL

    # -- Deadlines

    async def _sweep(self) -> None:
        """End calls whose deadline has passed: one task for all of them."""
        requests = self._lane.requests
        while True:
            self._next_sweep = requests.soonest
            self._deadline_set = trio.Event()
            with trio.move_on_at(self._next_sweep):
                await self._deadline_set.wait()
                continue
            self._end_overdue(trio.current_time())
            await trio.sleep(SWEEP_SECONDS)

    def _end_overdue(self, now: float) -> None:
        soonest = float("inf")
        for call in list(self._replies.open.values()):
            if call.deadline is None:
                continue
            if call.deadline > now:
                soonest = min(soonest, call.deadline)
                continue
            call.refuse(DeadlineExceeded())
            self._cancel_task(call.stream_id)
        self._lane.requests.soonest = soonest

    # -- Writing

    def wake_writer(self) -> None:
        self._replies.is_idle = False
        if self._writer is not None:
            writer, self._writer = self._writer, None
            trio.lowlevel.reschedule(writer)

    def _flush(self) -> None:
        """Send what is put out at once, if the socket takes it; the writer sends the rest."""
        if self._writer is None:
            return
        if not self._replies.output_bytes and not self._lane.line:
            self._replies.is_idle = True
            return
        if self._send_now is None or self._ending:
            self.wake_writer()
            return
        data = self._take_output()
        sent = self._send_now(data)
        if sent < len(data):
            self._unsent = data[sent:]
        if self._unsent or self._lane.line:
            self.wake_writer()
        else:
            self._replies.is_idle = True
            self._replies.taken()
        if self._is_over:
            self._finish()

    def _take_output(self) -> bytes:
        replies = self._replies
        data = replies.take(BURST_BYTES)
        if replies.answers:
            self._lane.earn(replies.answers)
            self._pings.sent()
            self._registry.sent_bytes += replies.message_bytes
            replies.answers = replies.message_bytes = 0
        return data

    async def _write(self) -> None:
        try:
            while True:
                data = self._unsent or self._take_output()
                self._unsent = b""
                if data:
                    await self._stream.send_all(data)
                    self._replies.taken()
                    if self._room:
                        self._room.unpark_all()
                elif self._ending or self._is_over:
                    break
                else:
                    await self._writer_has_work()
            if self._is_faulty:
                await self._linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.nursery.cancel_scope.cancel()

    async def _linger(self) -> None:
        """Let the peer read why it is sent away: closing a socket with unread bytes resets it."""
        with trio.move_on_after(LINGER_SECONDS):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            await trio.sleep_forever()  # until the reader has come to the end

    async def _writer_has_work(self) -> None:
        self._writer = trio.lowlevel.current_task()
        self._replies.is_idle = True
        # What still waits, waits for windows: the reader must look for WINDOW_UPDATE.
        if self._room:
            self._room.unpark_all()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._writer = None
            self._replies.is_idle = False
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    # -- Time, and the end

    def _judge_pings(self, now: float) -> None:
        lane = self._lane
        count, lane.pings = lane.pings, 0
        self._pings.judge(count, now, has_streams=lane.is_busy or len(self._streams) > 0)

    async def _tend(self) -> None:
        """As time passes: give back budgets, ping a silent peer, give up on a dead one."""
        while True:
            await trio.sleep(TEND_SECONDS)
            self._lane.earn(0, EARN_SHARE)
            now = trio.current_time()
            if self._pings.is_dead(now):
                self.nursery.cancel_scope.cancel()
            elif self._pings.should_ask(now):
                self._lane.h2.ping(PING)
                self._replies.put_h2()
                self.wake_writer()

    async def _drain(self) -> None:
        await self._draining.wait()
        self._lane.goodbye()
        self.wake_writer()

    @property
    def _is_over(self) -> bool:
        """Whether one side wants to leave and nothing is under way any more."""
        lane = self._lane
        leaving = lane.peer_leaves or not lane.is_accepting
        return leaving and not (lane.is_busy or len(self._streams))

    def _finish(self) -> None:
        """End once what is put out is sent, or FLUSH_SECONDS later."""
        self._ending = True
        self.nursery.cancel_scope.deadline = trio.current_time() + FLUSH_SECONDS
        self.wake_writer()
