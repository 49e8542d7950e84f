"""One server connection: a task that reads, a task that writes, and a task per long call.

The reader feeds the lane, hands complete calls to their methods and stops reading while a
method, or the peer's slowness in taking what we send, asks it to.  The writer sends whatever
was put out, as one write, and is the only one that sends.  Deadlines of calls are swept by one
task.
Source: RFC 9113; grpc/doc/PROTOCOL-HTTP2.md; grpc-go internal/transport/http2_server.go.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable

import h2.events
import trio

from wire.errors import DeadlineExceeded, EtcdError, Refused
from wire.grpc.service import BatchHandler, Method, Peer, Registry, UnaryCall
from wire.http import HTTPHandler, not_found
from wire.http2.frames import ConnectionFault
from wire.http2.keepalive import KeepAlive, Pings
from wire.http2.lane import Call, Lane, Limits
from wire.http2.streams import Streams
from wire.log import Log
from wire.status import Status

READ_BYTES = 65536
OUTPUT_BYTES = 1 << 20  # unsent, at which reading stops and large answers wait
PREFACE_SECONDS = 10.0  # for a connection's first bytes; handshakes are timed before
FLUSH_SECONDS = 5.0  # for the last bytes of a connection that ends
EARN_SECONDS = 1.0  # how often budgets are given back,
EARN_SHARE = 0.1  # and how much of them
TOO_SHORT = 20e-6  # seconds: a timeout that has passed before anything can be done
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
        draining or trio.Event(),
    )
    await connection.run(initial)


class Connection:
    """The tasks' common state.  Calls hold on to it to answer.

    Invariant: `_calls` are the unary calls handed out and not answered, by stream.
    """

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
        self._registry = registry
        self._log = log
        self._peer = peer
        self._draining = draining
        self._lane = Lane(registry, limits, peer)
        self._replies = self._lane.replies
        self._streams = Streams(
            self, self._lane.h2, registry, peer, http_handler, limits.message_bytes
        )
        self._pings = Pings(keep_alive, trio.current_time())
        self._calls: dict[int, UnaryCall] = {}
        self._tasks: dict[int, trio.CancelScope] = {}  # of unary calls that have one
        self._deadlines: list[tuple[float, int]] = []
        self._deadline_set = trio.Event()
        self._writer: trio.lowlevel.Task | None = None  # while it has nothing to do
        self._room = trio.lowlevel.ParkingLot()
        self._closing = False  # no new calls; ends when idle
        self._ending = False  # ends when what is put out is sent

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
            for call in self._calls.values():
                call.closed = True
                call.method.counts.end(Status.CANCELLED)
            await trio.aclose_forcefully(self._stream)

    # -- Reading

    async def _read(self, initial: bytes) -> None:
        """Until the peer is gone, or has broken the rules and been told so."""
        try:
            data = initial
            with trio.move_on_after(PREFACE_SECONDS):
                while self._lane.awaits_preface:
                    data = data or bytes(await self._stream.receive_some(READ_BYTES))
                    if not data:
                        return
                    await self._take(data)
                    data = b""
            if self._lane.awaits_preface:
                return
            while data := bytes(await self._stream.receive_some(READ_BYTES)):
                self._pings.heard(trio.current_time())
                await self._take(data)
        except ConnectionFault as fault:
            self._log.debug("connection fault", peer=self._peer.address, reason=fault.why)
            self._lane.fail(fault)
            self._finish()
            await trio.sleep_forever()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _take(self, data: bytes) -> None:
        """Deal with bytes from the socket, a batch of calls at a time."""
        lane = self._lane
        lane.receive(data)
        more = True
        while more:
            calls, events, more = lane.batch()
            waits: list[Awaitable[None]] = []
            if calls:
                self._dispatch(calls, waits)
            for event in events:
                self._handle(event)
            if lane.pings:
                busy = bool(self._calls or len(self._streams) or lane.lane_streams)
                self._pings.judge(lane.pings, trio.current_time(), has_streams=busy)
                lane.pings = 0
            if self._replies.output_bytes:
                self.wake_writer()
            for wait in waits:
                await wait
            # Replies that wait for the peer's windows do not count: WINDOW_UPDATEs must be read.
            while self._replies.output_bytes > OUTPUT_BYTES:
                await self._room.park()

    def _dispatch(self, calls: list[Call], waits: list[Awaitable[None]]) -> None:
        """Hand calls to their methods: batches to the hot ones, a task each to the others."""
        batches: dict[BatchHandler, list[UnaryCall]] = {}
        now = trio.current_time()
        received = 0
        for request in calls:
            head, stream_id = request.head, request.stream_id
            method, context = head.method, head.context
            assert method is not None
            assert context is not None
            received += len(request.message)
            method.counts.received += 1
            timeout = context.timeout
            deadline = None if timeout is None else now + timeout
            call = UnaryCall(self, stream_id, method, context, request.message, deadline)
            self._calls[stream_id] = call
            if timeout is not None and not self._has_time(call, timeout):
                continue
            if method.batch is not None:
                batches.setdefault(method.batch, []).append(call)
            else:
                self.nursery.start_soon(self._run_unary, call)
        self._registry.received_bytes += received
        for handler, batch in batches.items():
            wait = handler.submit(batch)
            if wait is not None:
                waits.append(wait)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._closing = True
            self.stream_ended()
        else:
            self._streams.handle(event)

    # -- Unary calls

    async def _run_unary(self, call: UnaryCall) -> None:
        """A unary call whose method is a coroutine."""
        unary = call.method.unary
        assert unary is not None
        with trio.CancelScope() as scope:
            self._tasks[call.stream_id] = scope
            try:
                call.reply(await unary(call))
            except EtcdError as refusal:
                call.refuse(refusal)
            except Exception as error:
                call.refuse(self.defect(call.method, error))
        del self._tasks[call.stream_id]

    def defect(self, method: Method, error: Exception) -> Refused:
        """An exception that is no refusal is a mistake of ours; the client learns only that."""
        self._log.error("handler failed", method=method.path, error=repr(error))
        return Refused(Status.INTERNAL, "internal error")

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """`UnaryCall.reply`."""
        self._calls.pop(call.stream_id, None)
        counts = call.method.counts
        if self._lane.reply(call.stream_id, message):
            counts.sent += 1
            handled = counts.handled
            handled[Status.OK] = handled.get(Status.OK, 0) + 1
            self._registry.sent_bytes += len(message)
        else:
            counts.end(Status.CANCELLED)
        self._answered()

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        """`UnaryCall.refuse`."""
        self._calls.pop(call.stream_id, None)
        sent = self._lane.refuse(call.stream_id, status, text)
        call.method.counts.end(status if sent else Status.CANCELLED)
        self._answered()

    def _answered(self) -> None:
        self._pings.sent()
        if self._writer is not None:
            self.wake_writer()
        if self._closing:
            self.stream_ended()

    @property
    def is_backlogged(self) -> bool:
        return self._replies.output_bytes + self._replies.waiting_bytes > OUTPUT_BYTES

    async def room(self) -> None:
        while self.is_backlogged:
            await self._room.park()

    # -- Deadlines

    def _has_time(self, call: UnaryCall, timeout: float) -> bool:
        """Watch a call's deadline, or refuse it if that has passed already."""
        if timeout < TOO_SHORT:
            call.refuse(DeadlineExceeded())
            return False
        assert call.deadline is not None
        heapq.heappush(self._deadlines, (call.deadline, call.stream_id))
        if self._deadlines[0][1] == call.stream_id:
            self._deadline_set.set()
        return True

    async def _sweep(self) -> None:
        """End calls whose deadline has passed: one task for all of them."""
        deadlines = self._deadlines
        while True:
            now = trio.current_time()
            while deadlines and (deadlines[0][0] <= now or deadlines[0][1] not in self._calls):
                _, stream_id = heapq.heappop(deadlines)
                self._time_out(stream_id)
            self._deadline_set = trio.Event()
            with trio.move_on_at(deadlines[0][0] if deadlines else float("inf")):
                await self._deadline_set.wait()

    def _time_out(self, stream_id: int) -> None:
        call = self._calls.get(stream_id)
        if call is not None:
            call.refuse(DeadlineExceeded())
            if stream_id in self._tasks:
                self._tasks[stream_id].cancel()

    # -- Writing

    def wake_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            trio.lowlevel.reschedule(writer)

    async def _write(self) -> None:
        try:
            while True:
                if self._streams.pump():
                    self._pings.sent()
                data = self._replies.take()
                if data:
                    await self._stream.send_all(data)
                    if self._room:
                        self._room.unpark_all()
                elif self._ending:
                    break
                else:
                    await self._writer_has_work()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.nursery.cancel_scope.cancel()

    async def _writer_has_work(self) -> None:
        self._writer = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    # -- Time, and the end

    async def _tend(self) -> None:
        """As time passes: give back budgets, ping a silent peer, give up on a dead one."""
        while True:
            await trio.sleep(EARN_SECONDS)
            self._lane.earn(EARN_SHARE)
            now = trio.current_time()
            if self._pings.is_dead(now):
                self.nursery.cancel_scope.cancel()
            elif self._pings.should_ask(now):
                self._lane.h2.ping(PING)
                self.wake_writer()

    async def _drain(self) -> None:
        await self._draining.wait()
        self._lane.goodbye()
        self._closing = True
        self.wake_writer()
        self.stream_ended()

    def stream_ended(self) -> None:
        """Something is over; if the connection is closing, that may have been the last."""
        if self._closing and not (
            self._calls or len(self._streams) or self._lane.lane_streams or self._ending
        ):
            self._finish()

    def _finish(self) -> None:
        """End once what is put out is sent, or FLUSH_SECONDS later."""
        self._ending = True
        self.nursery.cancel_scope.deadline = trio.current_time() + FLUSH_SECONDS
        self.wake_writer()
