"""The client's side of an HTTP/2 connection, without I/O.

Frames go straight to the streams they belong to: h2, which serves streaming calls so well on
the server's side, takes 200 µs for a unary call on this one (Python 3.11), and the whole call
has to cost less than half of that.  So the rules of RFC 9113 that h2 would keep are kept here:
they are few for a client that is never pushed to and sends one HEADERS per stream.  Header
blocks are decoded by hpack, once per distinct block.
Source: RFC 9113 §5, §6; grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wire.http2.client_sending import Outgoing, Sender
from wire.http2.frames import (
    DEFAULT_WINDOW,
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    PREFACE,
    STREAM_MASK,
    Code,
    ConnectionFault,
    Flag,
    Type,
    frame,
    unpadded,
)
from wire.http2.headers import MAX_LIST_BYTES, BlockFrames, HeaderDecoder, Headers
from wire.http2.limits import Limits

STREAM_WINDOW = 1 << 20  # bytes of one stream that wait for whoever called
CONNECTION_WINDOW = 16 << 20  # given back as bytes arrive: no stream waits for another's reader
MAX_STREAM_ID = (1 << 31) - 1

_DATA, _HEADERS = int(Type.DATA), int(Type.HEADERS)
_END_STREAM, _END_HEADERS = int(Flag.END_STREAM), int(Flag.END_HEADERS)
_PLAIN_HEADERS = (_END_HEADERS, _END_HEADERS | _END_STREAM)
_PADDED = int(Flag.PADDED)


class Setting:
    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


H = TypeVar("H")


class Exchange(Outgoing, ABC, Generic[H]):
    """One stream: a request on its way out, and whoever waits for what comes back.

    `H` is what a header block means to it.  When `head` or `data` says `ended`, or after
    `was_reset` or `was_lost`, the connection has forgotten the stream.
    """

    __slots__ = ("owed", "receive_window")

    def __init__(self) -> None:
        super().__init__()
        self.receive_window = STREAM_WINDOW
        self.owed = 0  # taken in, and the window for it not given back

    @abstractmethod
    def head(self, head: H, ended: bool) -> None:
        """A header block: the response's, or its trailers."""

    @abstractmethod
    def data(self, data: bytes, taken: int, ended: bool) -> None:
        """Bytes of the body, which took `taken` of the stream's window; see `give_back`."""

    @abstractmethod
    def was_reset(self, code: int) -> None:
        """The server has ended the stream with RST_STREAM."""

    @abstractmethod
    def was_lost(self, why: str, maybe_sent: bool) -> None:
        """The connection is gone, or going without this stream."""


@dataclass(frozen=True)
class Goaway:
    """The server takes no streams after `last`."""

    last: int
    code: int
    text: str


class ClientConnection(Generic[H]):
    """Feed it with `receive`, send what `take` returns.  A `ConnectionFault`: `fail`, close.

    Invariant: `streams` are those opened and not over, all odd and below `_next_id`.
    """

    def __init__(self, understand: Callable[[Headers], H]) -> None:
        self._decoder = HeaderDecoder(understand)
        self._limits = Limits()
        self._buffer = b""
        self._block: BlockFrames | None = None
        self._next_id = 1
        self._handed_over = 0  # the last stream of which something may have left
        self._received = 0  # DATA bytes for which the connection's window is not given back
        self.streams: dict[int, Exchange[H]] = {}
        self.sender = Sender()
        self.most_streams = MAX_STREAM_ID  # until the server says otherwise
        self.is_ready = False  # the server's first SETTINGS are here
        self.goaway: Goaway | None = None
        self.pongs = 0
        self._greet()

    def _greet(self) -> None:
        settings = (
            (Setting.ENABLE_PUSH, 0),
            (Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (Setting.MAX_HEADER_LIST_SIZE, MAX_LIST_BYTES),
        )
        payload = b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in settings)
        self.sender.put(PREFACE + frame(Type.SETTINGS, 0, 0, payload))
        self.sender.give_window(0, CONNECTION_WINDOW - DEFAULT_WINDOW)

    def take(self) -> bytes:
        """Everything to send now; from here on it may have reached the server."""
        self._handed_over = self._next_id - 2
        return self.sender.take()

    # -- Streams

    @property
    def is_accepting(self) -> bool:
        """Whether this connection may still be used for new streams, now or later."""
        return self.goaway is None and self._next_id <= MAX_STREAM_ID

    @property
    def places(self) -> int:
        """How many more streams the server takes now."""
        return max(self.most_streams - len(self.streams), 0)

    @property
    def has_room(self) -> bool:
        """Whether `open` may be called."""
        return len(self.streams) < self.most_streams and self.is_accepting

    def open(self, stream: Exchange[H], block: bytes, body: bytes, *, end: bool) -> None:
        """Begin a stream with a header block and the beginning (`end`: all) of its body."""
        stream.stream_id = self._next_id
        self._next_id += 2
        self.streams[stream.stream_id] = stream
        self.sender.open(stream, block, body, end=end)

    def maybe_sent(self, stream: Outgoing) -> bool:
        """Whether the server may have seen anything of the stream."""
        return 0 < stream.stream_id <= self._handed_over

    def reset(self, stream: Exchange[H], code: Code = Code.CANCEL) -> None:
        """End a stream from our side, unless it is over."""
        if self.streams.pop(stream.stream_id, None) is not None:
            self.sender.reset(stream, code)

    def give_back(self, stream: Exchange[H], count: int) -> None:
        """So many bytes of a stream have been taken in: the server may send as many more."""
        stream.owed += count
        if stream.owed >= STREAM_WINDOW // 4 and stream.stream_id in self.streams:
            stream.receive_window += stream.owed
            self.sender.give_window(stream.stream_id, stream.owed)
            stream.owed = 0

    def ping(self, payload: bytes) -> None:
        """Eight bytes; `pongs` counts answers."""
        self.sender.put(frame(Type.PING, 0, 0, payload))

    # -- Receiving

    def receive(self, data: bytes) -> None:
        """Deal with bytes from the socket.

        Raises:
            ConnectionFault: the server has broken a rule; the connection is over.
        """
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        unpack, streams, known = HEADER.unpack_from, self.streams, self._decoder.get
        while size - at >= HEADER_BYTES:
            kind, flags, stream_id = unpack(buffer, at)
            length, kind = kind >> 8, kind & 0xFF
            start = at + HEADER_BYTES
            at = start + length
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"frame of {length} bytes")
            if at > size:
                at = start - HEADER_BYTES
                break
            payload = buffer[start:at]
            stream = streams.get(stream_id)
            if stream is None or self._block is not None:
                self._other(kind, flags, stream_id & STREAM_MASK, payload)
            elif kind == _HEADERS and flags in _PLAIN_HEADERS:
                head = known(payload)
                if head is None:
                    head = self._decoder.decode(payload)
                ended = flags != _END_HEADERS
                if ended:
                    self._over(stream)
                stream.head(head, ended)
            elif kind == _DATA and not flags & _PADDED:
                self._data(stream, flags, payload, length)
            else:
                self._other(kind, flags, stream_id, payload)
        self._buffer = buffer[at:] if at < size else b""
        if self._received >= CONNECTION_WINDOW // 4:
            self.sender.give_window(0, self._received)
            self._received = 0

    def _data(self, stream: Exchange[H], flags: int, data: bytes, taken: int) -> None:
        self._received += taken
        stream.receive_window -= taken
        if stream.receive_window < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more data than the window allows")
        ended = bool(flags & _END_STREAM)
        if ended:
            self._over(stream)
        stream.data(data, taken, ended)

    def _over(self, stream: Exchange[H]) -> None:
        """The server has said all.  What we have not is not wanted any more, RFC 9113 §8.1."""
        del self.streams[stream.stream_id]
        if stream.is_open:
            self.sender.reset(stream, Code.NO_ERROR)

    def _other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Everything but ordinary frames of streams that are open."""
        if self._block is not None:
            self._continue_block(kind, flags, stream_id, payload)
        elif not self.is_ready and kind != Type.SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        elif kind == Type.SETTINGS:
            self._settings(flags, stream_id, payload)
        elif kind == Type.PING:
            self._ping(flags, stream_id, payload)
        elif kind == Type.GOAWAY:
            self._goaway(stream_id, payload)
        elif kind == Type.WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == Type.RST_STREAM:
            self._rst(stream_id, payload)
        elif kind == Type.HEADERS:
            self._check_known(stream_id)
            self._block = BlockFrames(stream_id, flags, payload, self._limits)
            if flags & _END_HEADERS:
                self._block_done()
        elif kind == Type.DATA:
            self._odd_data(flags, stream_id, payload)
        elif kind in (Type.PUSH_PROMISE, Type.CONTINUATION):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"unexpected {Type(kind).name}")
        elif kind == Type.PRIORITY and len(payload) != 5:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PRIORITY has a wrong size")

    def _check_known(self, stream_id: int) -> None:
        """A stream that we have opened, whether it is over or not."""
        if not stream_id & 1 or stream_id >= self._next_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {stream_id} was never opened")

    # -- Header blocks

    def _continue_block(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        assert self._block is not None
        if kind != Type.CONTINUATION or stream_id != self._block.stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "header block interrupted")
        self._block.add(payload)
        if flags & _END_HEADERS:
            self._block_done()

    def _block_done(self) -> None:
        """A block is decoded also for a stream that is over: it may change the table."""
        assert self._block is not None
        block, self._block = self._block, None
        head = self._decoder.decode(block.bytes)
        stream = self.streams.get(block.stream)
        if stream is not None:
            ended = bool(block.flags & _END_STREAM)
            if ended:
                self._over(stream)
            stream.head(head, ended)

    # -- The rarer frames

    def _odd_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """DATA with padding, or of a stream that is over."""
        self._check_known(stream_id)
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._data(stream, flags, unpadded(payload, flags), len(payload))
        else:
            self._received += len(payload)

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & Flag.ACK and payload):
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS has a wrong size")
        if flags & Flag.ACK:
            return
        for at in range(0, len(payload), 6):
            name = int.from_bytes(payload[at : at + 2], "big")
            self._set(name, int.from_bytes(payload[at + 2 : at + 6], "big"))
        self.is_ready = True
        # First the answer: only then does the server know the new windows that are used next.
        self.sender.put_control(frame(Type.SETTINGS, Flag.ACK, 0, b""))
        self.sender.flush()

    def _set(self, name: int, value: int) -> None:
        if name == Setting.HEADER_TABLE_SIZE:
            self.sender.owe_size_update()
        elif name == Setting.ENABLE_PUSH and value:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a server cannot be pushed to")
        elif name == Setting.MAX_CONCURRENT_STREAMS:
            self.most_streams = value
        elif name == Setting.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "initial window is too large")
            self.sender.set_initial_window(value, list(self.streams.values()))
        elif name == Setting.MAX_FRAME_SIZE:
            if not MAX_FRAME_BYTES <= value < 1 << 24:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "impossible frame size")
            self.sender.frame_bytes = value

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PING has a wrong size")
        if flags & Flag.ACK:
            self.pongs += 1
        else:
            self.sender.put_control(frame(Type.PING, Flag.ACK, 0, payload))

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has a wrong size")
        increment = int.from_bytes(payload, "big") & STREAM_MASK
        if not stream_id:
            if not increment:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self.sender.widen(increment)
            return
        self._check_known(stream_id)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.send_window += increment
        if not increment or stream.send_window > MAX_WINDOW:
            code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
            self.reset(stream, code)
            stream.was_reset(code)
        else:
            self.sender.flush()

    def _rst(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM has a wrong size")
        self._check_known(stream_id)
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self.sender.forget(stream)
            stream.was_reset(int.from_bytes(payload, "big"))

    # -- The end

    def _goaway(self, stream_id: int, payload: bytes) -> None:
        """Streams after the last one that the server has seen may be tried elsewhere."""
        if stream_id:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "GOAWAY has a wrong size")
        last = int.from_bytes(payload[:4], "big") & STREAM_MASK
        code = int.from_bytes(payload[4:8], "big")
        if self.goaway is not None and last > self.goaway.last:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY takes streams back")
        self.goaway = Goaway(last, code, payload[8:].decode("utf-8", "replace"))
        for stream in [one for one in self.streams.values() if one.stream_id > last]:
            del self.streams[stream.stream_id]
            self.sender.forget(stream)
            stream.was_lost("the server is going away", False)

    def lose(self, why: str) -> None:
        """The connection is gone: tell every stream."""
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            self.sender.forget(stream)
            stream.was_lost(why, self.maybe_sent(stream))

    def fail(self, fault: ConnectionFault) -> None:
        """Say goodbye with the fault's code."""
        why = fault.why.encode("ascii", "replace")
        payload = (0).to_bytes(4, "big") + fault.code.to_bytes(4, "big") + why
        self.sender.put(frame(Type.GOAWAY, 0, 0, payload))
