"""The calls that are h2's: streaming ones, plain HTTP, and what is too odd for the lane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import h2.connection
import h2.events
import h2.exceptions
import trio

from wire.errors import DeadlineExceeded, EtcdError, Refused
from wire.grpc.metadata import status_headers
from wire.grpc.service import Peer, Registry, UnaryCall
from wire.http import HTTPHandler
from wire.http2.frames import Code
from wire.http2.headers import Headers
from wire.http2.heads import context_of, is_grpc
from wire.http2.lane import Lane
from wire.http2.limits import Limits
from wire.http2.plain import Exchange
from wire.http2.stream import Stream
from wire.status import Status


class Host(Protocol):
    """The connection these streams are on."""

    nursery: trio.Nursery

    def wake_writer(self) -> None: ...

    def defect(self, path: str, error: Exception) -> EtcdError:
        """What to tell the client of a handler's exception."""
        ...


class Streams:
    """Every stream of one connection that h2 looks after, by id."""

    def __init__(
        self,
        host: Host,
        lane: Lane,
        registry: Registry,
        peer: Peer,
        http_handler: HTTPHandler,
        limits: Limits,
    ) -> None:
        self.h2 = lane.h2
        self.line = lane.line
        self.intake = lane.requests.intake
        self._host = host
        self._lane = lane
        self.registry = registry
        self._peer = peer
        self._http_handler = http_handler
        self._limits = limits
        self._streams: dict[int, Stream] = {}
        self._exchanges: dict[int, Exchange] = {}

    def __len__(self) -> int:
        return len(self._streams) + len(self._exchanges)

    def wake_writer(self) -> None:
        """What h2 has to send takes its place, and the writer has work."""
        self._lane.replies.put_h2()
        self._host.wake_writer()

    # -- What h2 reports

    def handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream_id, headers=headers):
                self._open(stream_id, tuple((bytes(n), bytes(v)) for n, v in headers))
            case h2.events.DataReceived(stream_id=stream_id, data=data):
                target = self._streams.get(stream_id) or self._exchanges.get(stream_id)
                if target is not None:
                    target.feed(data, event.flow_controlled_length)
            case h2.events.StreamEnded(stream_id=stream_id):
                if stream_id in self._streams:
                    self._streams[stream_id].end()
                elif stream_id in self._exchanges:
                    self._host.nursery.start_soon(self._run_plain, self._exchanges[stream_id])
            case h2.events.StreamReset(stream_id=stream_id):
                self._cancel(stream_id)

    def _open(self, stream_id: int, headers: Headers) -> None:
        if stream_id not in self.h2.streams or self.h2.streams[stream_id].closed:
            self._forget(stream_id)  # opened and reset in one chunk
            return
        found = dict(headers)
        content_type = found.get(b"content-type", b"")
        if not is_grpc(content_type) or found.get(b":method") != b"POST":
            self._exchanges[stream_id] = Exchange(self, stream_id, headers, self._limits)
            return
        response_headers = ((b":status", b"200"), (b"content-type", content_type))
        path = found[b":path"].decode("ascii", "replace")
        method = self.registry.methods.get(found[b":path"])
        try:
            if method is None:
                raise self.registry.unknown(path)
            context = context_of(headers, found, self._peer)
        except EtcdError as refusal:
            self._end(stream_id, response_headers, refusal.status, str(refusal))
            self._forget(stream_id)
            return
        method.counts.of(context.metadata).started += 1
        stream = Stream(
            self, stream_id, method, context, response_headers, self._limits.message_bytes
        )
        self._streams[stream_id] = stream
        self._host.nursery.start_soon(self._run, stream, method.stream or _unary)

    def _cancel(self, stream_id: int) -> None:
        """The client has reset the stream, or made us reset it."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.discard()
            stream.scope.cancel()
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.cancel()
            if not exchange.is_running:
                self._close_exchange(exchange)

    # -- gRPC

    async def _run(self, stream: Stream, handler: Handler) -> None:
        """A streaming call, from its headers to its trailers."""
        status, text = Status.CANCELLED, "context canceled"
        timeout = stream.context.timeout
        if timeout is not None:
            stream.scope.deadline = trio.current_time() + timeout
        try:
            with stream.scope:
                try:
                    await handler(stream)
                    status, text = Status.OK, ""
                except Exception as error:
                    refusal = self._host.defect(stream.method.path, error)
                    status, text = refusal.status, str(refusal)
                await stream.drained(1)
            if stream.scope.cancelled_caught:
                status, text = Status.CANCELLED, "context canceled"
                if trio.current_time() >= stream.scope.deadline:
                    status, text = Status.DEADLINE_EXCEEDED, str(DeadlineExceeded())
                stream.discard()
            headers = () if stream.headers_sent else stream.response_headers
            self._end(stream.stream_id, headers, status, text)
        finally:
            stream.close()
            del self._streams[stream.stream_id]
            self._forget(stream.stream_id)
            stream.method.counts.end(status)
            self.wake_writer()

    def _end(self, stream_id: int, headers: Headers, status: Status, text: str) -> None:
        """Trailers, behind headers that have not been sent."""
        trailers = [*headers, *status_headers(status, text)]
        with suppress(h2.exceptions.ProtocolError):  # the peer has reset it
            self.h2.send_headers(stream_id, trailers, end_stream=True)
            self.stop_sending(stream_id)
        self.wake_writer()

    def stop_sending(self, stream_id: int) -> None:
        """We have answered: if the client is still sending, it need not, RFC 9113 §8.1."""
        stream = self.h2.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self.h2.reset_stream(stream_id, Code.NO_ERROR)
            self._lane.requests.note_reset(stream_id, expect_late=True)

    def _forget(self, stream_id: int) -> None:
        """The stream is over, and if the client thinks otherwise, it is told."""
        stream = self.h2.streams.get(stream_id)
        if stream is not None:
            if not stream.closed:
                with suppress(h2.exceptions.ProtocolError):  # so is the connection
                    self.h2.reset_stream(stream_id, Code.INTERNAL_ERROR)
                self._lane.requests.note_reset(stream_id, expect_late=True)
            del self.h2.streams[stream_id]

    # -- Plain HTTP

    async def _run_plain(self, exchange: Exchange) -> None:
        """An HTTP request that is not gRPC, from its last byte."""
        try:
            await exchange.run(self._http_handler, self._peer, self._host.defect)
        finally:
            self._close_exchange(exchange)
            self.wake_writer()

    def _close_exchange(self, exchange: Exchange) -> None:
        exchange.close()
        self._exchanges.pop(exchange.stream_id, None)
        self._forget(exchange.stream_id)

    def refuse_exchange(self, exchange: Exchange) -> None:
        """Its body is too large."""
        with suppress(h2.exceptions.ProtocolError):
            self.h2.send_headers(exchange.stream_id, ((b":status", b"413"),), end_stream=True)
            self.stop_sending(exchange.stream_id)
        self._close_exchange(exchange)
        self.wake_writer()


Handler = Callable[[Stream], Awaitable[None]]


class _StreamAnswer:
    """Takes the answer to a unary call that came over one of h2's streams."""

    is_backlogged = False

    def __init__(self) -> None:
        self.given = trio.Event()
        self.message = b""
        self.error: Refused | None = None

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self.message = message
        self.given.set()

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        self.error = Refused(status, text)
        self.given.set()

    def hold(self) -> None:
        pass  # there is one answer

    def release(self) -> None:
        pass

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def _unary(stream: Stream) -> None:
    """The handler of a unary method whose call was too odd for the lane."""
    message = await stream.receive()
    if message is None:
        raise Refused(Status.UNKNOWN, "EOF")
    answer, method = _StreamAnswer(), stream.method
    deadline = None if stream.context.timeout is None else stream.scope.deadline
    call = UnaryCall(answer, stream.stream_id, method, stream.context, message, deadline)
    try:
        if method.batch is not None:
            wait = method.batch.submit([call])
            if wait is not None:
                await wait
            await answer.given.wait()
            if answer.error is not None:
                raise answer.error
            await stream.send(answer.message)
        elif method.unary is not None:
            await stream.send(await method.unary(call))
    finally:
        call.closed = True
