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
from wire.grpc.metadata import metadata_of, parse_timeout, status_headers
from wire.grpc.service import Context, Method, Peer, Registry, UnaryCall
from wire.http import HTTPHandler, HTTPRequest, HTTPResponse
from wire.http2.frames import Code
from wire.http2.headers import Headers
from wire.http2.stream import Stream
from wire.status import Status

BURST_BYTES = 256 * 1024  # of all streams' data put into frames at once
HTTP_BODY_BYTES = 4 << 20  # of a plain HTTP request
HTTP_UNSENT_BYTES = 256 * 1024  # of a streamed HTTP response

_GRPC_HEADERS = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_PLAIN = Method("/http/plain")


class Host(Protocol):
    """The connection these streams are on."""

    @property
    def nursery(self) -> trio.Nursery: ...

    def wake_writer(self) -> None: ...

    def stream_ended(self) -> None: ...

    def defect(self, method: Method, error: Exception) -> Refused: ...


class Streams:
    """Every stream of one connection that h2 looks after, by id."""

    def __init__(
        self,
        host: Host,
        connection: h2.connection.H2Connection,
        registry: Registry,
        peer: Peer,
        http_handler: HTTPHandler,
        message_bytes: int,
    ) -> None:
        self._host = host
        self._h2 = connection
        self._registry = registry
        self._peer = peer
        self._http_handler = http_handler
        self._message_bytes = message_bytes
        self._streams: dict[int, Stream] = {}
        self._plain: dict[int, _PlainRequest] = {}  # not complete

    def __len__(self) -> int:
        return len(self._streams) + len(self._plain)

    # -- What h2 reports

    def handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream_id), headers=headers):
                self._open(stream_id, tuple(headers or ()))
            case h2.events.DataReceived(stream_id=int(stream_id)):
                self._data(stream_id, event.data or b"", event.flow_controlled_length or 0)
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                if stream_id in self._streams:
                    self._streams[stream_id].end()
                elif stream_id in self._plain:
                    plain = self._plain.pop(stream_id)
                    self._host.nursery.start_soon(self._run_plain, stream_id, plain)
            case h2.events.StreamReset(stream_id=int(stream_id)):
                self._cancel(stream_id)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._host.wake_writer()

    def _open(self, stream_id: int, headers: Headers) -> None:
        found = dict(headers)
        if not found.get(b"content-type", b"").startswith(b"application/grpc"):
            self._plain[stream_id] = _PlainRequest(headers)
            return
        path = found.get(b":path", b"").decode("ascii", "replace")
        method = self._registry.methods.get(found.get(b":path", b""))
        try:
            if method is None:
                raise self._registry.unknown(path)
            context = self._context(path, headers, found)
        except EtcdError as refusal:
            self._end(stream_id, refusal.status, str(refusal), headers_sent=False)
            return
        method.counts.started += 1
        stream = Stream(self, stream_id, method, context, self._message_bytes)
        self._streams[stream_id] = stream
        handler = method.stream or _unary
        self._host.nursery.start_soon(self._run, stream, handler)

    def _context(self, path: str, headers: Headers, found: dict[bytes, bytes]) -> Context:
        timeout = found.get(b"grpc-timeout")
        encoding = found.get(b"grpc-encoding", b"identity")
        if encoding not in (b"identity", b"gzip"):
            shown = encoding.decode("ascii", "replace")
            raise Refused(
                Status.UNIMPLEMENTED,
                f'grpc: Decompressor is not installed for grpc-encoding "{shown}"',
            )
        seconds = None if timeout is None else parse_timeout(timeout)
        return Context(path, metadata_of(headers), self._peer, seconds, encoding)

    def _data(self, stream_id: int, data: bytes, window_bytes: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.feed(data, window_bytes)
            return
        self.consumed(stream_id, window_bytes)
        plain = self._plain.get(stream_id)
        if plain is not None:
            plain.body += data
            if len(plain.body) > HTTP_BODY_BYTES:
                del self._plain[stream_id]
                with suppress(h2.exceptions.ProtocolError):
                    self._h2.reset_stream(stream_id, Code.ENHANCE_YOUR_CALM)

    def _cancel(self, stream_id: int) -> None:
        self._plain.pop(stream_id, None)
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.took(len(stream.pending))
            stream.scope.cancel()

    # -- gRPC

    async def _run(self, stream: Stream, handler: Handler) -> None:
        status, text = Status.CANCELLED, "context canceled"
        if stream.context.timeout is not None:
            stream.scope.deadline = trio.current_time() + stream.context.timeout
        try:
            with stream.scope:
                try:
                    await handler(stream)
                    status, text = Status.OK, ""
                except EtcdError as refusal:
                    status, text = refusal.status, str(refusal)
                except Exception as error:
                    defect = self._host.defect(stream.method, error)
                    status, text = defect.status, defect.text
            if stream.scope.cancelled_caught and trio.current_time() >= stream.scope.deadline:
                status, text = Status.DEADLINE_EXCEEDED, str(DeadlineExceeded())
            with trio.CancelScope() as stream.scope:  # a reset ends this too
                await stream.drained(1)
                self._end(stream.stream_id, status, text, headers_sent=stream.headers_sent)
        finally:
            del self._streams[stream.stream_id]
            stream.method.counts.end(status)
            self._host.stream_ended()

    def _end(self, stream_id: int, status: Status, text: str, *, headers_sent: bool) -> None:
        trailers = list(status_headers(status, text))
        if not headers_sent:
            trailers = [*_GRPC_HEADERS, *trailers]
        with suppress(h2.exceptions.ProtocolError):  # the peer has reset it
            self._h2.send_headers(stream_id, trailers, end_stream=True)
            stream = self._h2.streams.get(stream_id)
            if stream is not None and not stream.closed:
                self._h2.reset_stream(stream_id, Code.NO_ERROR)
        self._host.wake_writer()

    # -- Plain HTTP

    async def _run_plain(self, stream_id: int, plain: _PlainRequest) -> None:
        stream = Stream(self, stream_id, _PLAIN, Context("", {}, self._peer), 0)
        stream.headers_sent = True
        self._streams[stream_id] = stream
        try:
            with stream.scope:
                try:
                    response = await self._http_handler(plain.request(self._peer))
                except Exception as error:
                    self._host.defect(_PLAIN, error)
                    response = HTTPResponse(500, b"internal error\n")
                with suppress(h2.exceptions.ProtocolError):  # the peer has reset it
                    await self._respond(stream, response)
        finally:
            del self._streams[stream_id]
            self._host.stream_ended()

    async def _respond(self, stream: Stream, response: HTTPResponse) -> None:
        headers = [(b":status", b"%d" % response.status), *response.headers]
        self._h2.send_headers(stream.stream_id, headers)
        stream.send_framed(response.body)
        if response.stream is not None:
            async for piece in response.stream:
                await stream.drained(HTTP_UNSENT_BYTES)
                stream.send_framed(piece)
        await stream.drained(1)
        self._h2.end_stream(stream.stream_id)
        self._host.wake_writer()

    # -- What streams and the writer ask for

    def wake_writer(self) -> None:
        self._host.wake_writer()

    def consumed(self, stream_id: int, count: int) -> None:
        """The peer may send `count` bytes more."""
        if count:
            with suppress(h2.exceptions.ProtocolError):
                self._h2.acknowledge_received_data(count, stream_id)
            self._host.wake_writer()

    def pump(self) -> bool:
        """Move what streams have to send into frames, as far as windows and the burst go.

        True: something was put out.
        """
        room = BURST_BYTES
        for stream in list(self._streams.values()):
            if stream.pending and room > 0:
                try:
                    room -= self._pump(stream, room)
                except h2.exceptions.ProtocolError:
                    self._cancel(stream.stream_id)  # the peer has reset it
        return room < BURST_BYTES

    def _pump(self, stream: Stream, room: int) -> int:
        connection, stream_id = self._h2, stream.stream_id
        if not stream.headers_sent:
            stream.headers_sent = True
            connection.send_headers(stream_id, _GRPC_HEADERS)
        sent = 0
        while stream.pending and sent < room:
            window = connection.local_flow_control_window(stream_id)
            count = min(window, connection.max_outbound_frame_size, len(stream.pending))
            if count <= 0:
                break
            connection.send_data(stream_id, bytes(stream.pending[:count]))
            stream.took(count)
            sent += count
        return sent


Handler = Callable[[Stream], Awaitable[None]]


class _PlainRequest:
    """An HTTP request that is still coming in."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self.body = bytearray()

    def request(self, peer: Peer) -> HTTPRequest:
        found = dict(self._headers)
        return HTTPRequest(
            found.get(b":method", b"").decode("ascii", "replace"),
            found.get(b":path", b"").decode("ascii", "replace"),
            tuple(pair for pair in self._headers if not pair[0].startswith(b":")),
            bytes(self.body),
            peer,
        )


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

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def _unary(stream: Stream) -> None:
    """The handler of a unary method whose call was too odd for the lane."""
    message = await stream.receive()
    if message is None:
        raise Refused(Status.INTERNAL, "EOF")
    answer, method = _StreamAnswer(), stream.method
    call = UnaryCall(answer, stream.stream_id, method, stream.context, message, None)
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
