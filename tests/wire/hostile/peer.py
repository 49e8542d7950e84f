"""A client that says exactly the bytes it is told to, and a server to say them to.

What the server says is read with hyperframe and hpack, not with code of ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing
from hpack import Decoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from wire.grpc.service import Registry, ServerStream, UnaryCall
from wire.http2.connection import serve_connection
from wire.log import NullLog

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ECHO, HELD, TASK, STREAM = (
    "/test.Echo/Batch",
    "/test.Echo/Held",
    "/test.Echo/Task",
    "/test.Echo/Bidi",
)
END_STREAM, END_HEADERS = "END_STREAM", "END_HEADERS"
PATIENCE = 300.0  # seconds of the test's clock after which a missing answer is a failure


class EchoBatch:
    """Answers each call with its own message, at once."""

    def submit(self, calls: list[UnaryCall]) -> None:
        for call in calls:
            call.reply(call.payload)


class HeldBatch:
    """Keeps calls until the test answers them."""

    def __init__(self) -> None:
        self.calls: list[UnaryCall] = []

    def submit(self, calls: list[UnaryCall]) -> None:
        self.calls += calls


class EchoServer:
    """The registry of the server under attack, and what it saw."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.held = HeldBatch()
        self.streams_open = 0
        self.registry.batch(EchoBatch(), ECHO)
        self.registry.batch(self.held, HELD)
        self.registry.unary(TASK, self._task)
        self.registry.stream(STREAM, self._bidi, "bidi_stream")

    async def _task(self, call: UnaryCall) -> bytes:
        return call.payload

    async def _bidi(self, stream: ServerStream) -> None:
        self.streams_open += 1
        try:
            while (message := await stream.receive()) is not None:
                await stream.send(message)
        finally:
            self.streams_open -= 1


def message(payload: bytes) -> bytes:
    """A gRPC message with its prefix."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def block(fields: list[tuple[bytes, bytes]]) -> bytes:
    """A header block of literals without indexing."""
    out = bytearray()
    for name, value in fields:
        out += b"\0" + literal(name) + literal(value)
    return bytes(out)


def literal(text: bytes) -> bytes:
    """An HPACK string, not Huffman coded."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    out = bytearray((127,))
    size -= 127
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + text


def request_fields(path: str = ECHO, *extra: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"test"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *extra,
    ]


def raw(kind: int, flags: int, stream: int, payload: bytes = b"", size: int | None = None) -> bytes:
    """Any frame, also wrong ones; `size` lies about the payload's."""
    length = len(payload) if size is None else size
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(stream: int, path: str = ECHO, *, end: bool = False) -> bytes:
    return raw(1, 0x5 if end else 0x4, stream, block(request_fields(path)))


def data(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    return raw(0, 1 if end else 0, stream, payload)


def call(stream: int, payload: bytes = b"x", path: str = ECHO) -> bytes:
    """A whole unary call."""
    return headers(stream, path) + data(stream, message(payload))


def rst(stream: int, code: int = 8) -> bytes:
    return raw(3, 0, stream, code.to_bytes(4, "big"))


def settings(*pairs: tuple[int, int]) -> bytes:
    return raw(4, 0, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs))


def window_update(stream: int, increment: int) -> bytes:
    return raw(8, 0, stream, increment.to_bytes(4, "big"))


def ping(n: int = 0) -> bytes:
    return raw(6, 0, 0, n.to_bytes(8, "big"))


@dataclass
class Response:
    """What came back on one stream."""

    headers: dict[bytes, bytes]
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers[b"grpc-status"])

    @property
    def text(self) -> str:
        return self.headers[b"grpc-message"].decode()


class RawPeer:
    """The client's end of a connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.seen: list[Frame] = []
        self.responses: dict[int, Response] = {}
        self.sent_bytes = 0
        self.uploaded: Counter[int] = Counter()  # by stream, and for all of them by 0
        self.is_closed = False  # the server has closed its end
        self._buffer = b""
        self.decoder = Decoder()
        self._block = b""

    async def send(self, *frames: bytes) -> None:
        joined = b"".join(frames)
        await self.stream.send_all(joined)
        self.sent_bytes += len(joined)

    async def try_send(self, *frames: bytes) -> bool:
        """Send to a server that may have closed; False if it has."""
        try:
            await self.send(*frames)
        except trio.BrokenResourceError:
            return False
        return True

    async def hello(self, *pairs: tuple[int, int]) -> None:
        await self.send(PREFACE, settings(*pairs))

    async def read(self) -> bool:
        """Read once; False at the end."""
        try:
            chunk = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            chunk = b""
        if not chunk:
            self.is_closed = True
            return False
        self._buffer += chunk
        while len(self._buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
            if len(self._buffer) < 9 + length:
                break
            frame.parse_body(memoryview(self._buffer[9 : 9 + length]))
            self._buffer = self._buffer[9 + length :]
            self._note(frame)
        return True

    def _note(self, frame: Frame) -> None:
        self.seen.append(frame)
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            self._block += frame.data
            if END_HEADERS in frame.flags:
                fields = dict(self.decoder.decode(self._block, raw=True))
                self._block = b""
                self.responses.setdefault(frame.stream_id, Response({})).headers.update(fields)
        if isinstance(frame, DataFrame):
            self.responses[frame.stream_id].body += frame.data
        if END_STREAM in frame.flags:
            self.responses[frame.stream_id].ended = True
        if isinstance(frame, RstStreamFrame):
            response = self.responses.setdefault(frame.stream_id, Response({}))
            response.reset = frame.error_code

    async def until(self, done: Callable[[], Any]) -> None:
        """Read until `done()`, or fail: the server closed, or said nothing for too long."""
        with trio.fail_after(PATIENCE):
            while not done():
                assert await self.read(), f"closed after {self.seen}"

    async def response(self, stream: int) -> Response:
        """The whole of one stream's response: ended or reset."""

        await self.until(lambda: self._is_over(stream))
        return self.responses[stream]

    async def upload(self, stream: int, body: bytes) -> None:
        """Send a body and end the stream, as the server's windows allow."""
        at = 0
        while at < len(body) and not self._is_over(stream):
            granted = 65535 + self._granted(0), (1 << 20) + self._granted(stream)
            count = min(granted[0] - self.uploaded[0], granted[1] - self.uploaded[stream])
            piece = body[at : at + min(count, 16384)]
            if not piece:
                assert await self.read()
                continue
            at += len(piece)
            self.uploaded[0] += len(piece)
            self.uploaded[stream] += len(piece)
            await self.send(data(stream, piece, end=at == len(body)))

    def _granted(self, stream: int) -> int:
        updates = self.of(WindowUpdateFrame)
        return sum(frame.window_increment for frame in updates if frame.stream_id == stream)

    def _is_over(self, stream: int) -> bool:
        response = self.responses.get(stream)
        return response is not None and (response.ended or response.reset is not None)

    async def goaway(self) -> GoAwayFrame:
        """The server's only GOAWAY; and it closes after it."""
        with trio.fail_after(PATIENCE):
            while await self.read():
                pass
        goaways = self.of(GoAwayFrame)
        assert len(goaways) == 1, self.seen
        return goaways[0]

    async def settled(self) -> None:
        """Until the server has dealt with all that was sent so far: it answers a ping."""
        mark = b"settled!"
        before = sum(frame.opaque_data == mark for frame in self.of(PingFrame))
        await self.send(raw(6, 0, 0, mark))
        await self.until(
            lambda: sum(frame.opaque_data == mark for frame in self.of(PingFrame)) > before
        )
        with trio.move_on_after(0.001):  # and what it put behind the answer
            while await self.read():
                pass

    def bodies(self, stream: int) -> bytes:
        """What has come on a stream so far."""
        return self.responses[stream].body if stream in self.responses else b""

    def of(self, kind: type) -> list[Any]:
        return [frame for frame in self.seen if isinstance(frame, kind)]

    def answers(self) -> list[Frame]:
        """What the server said apart from its part of the opening."""
        own = SettingsFrame | WindowUpdateFrame
        return [frame for frame in self.seen if not isinstance(frame, own)]


@asynccontextmanager
async def attacked(
    server: EchoServer | None = None, *, reads: bool = True, **options: Any
) -> AsyncIterator[RawPeer]:
    """A connection to a fresh server, not yet greeted.

    With `reads=False` the server's writes wait until the test reads them, like those to a socket
    whose buffers are full.
    """
    make = trio.testing.memory_stream_pair if reads else trio.testing.lockstep_stream_pair
    ours, theirs = make()
    registry = (server or EchoServer()).registry
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await serve_connection(theirs, registry, log=NullLog(), **options)

        nursery.start_soon(serve)
        yield RawPeer(ours)
        nursery.cancel_scope.cancel()
