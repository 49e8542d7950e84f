"""Answers to unary calls on their way out, and everything else that is put out, in order.

A good answer is three frames made of constants around its message, charged to the connection's
outbound window, which h2 keeps.  One that does not fit a window or a frame waits in line with
the others that do not.
Source: grpc/doc/PROTOCOL-HTTP2.md ("Responses").
"""

from __future__ import annotations

import struct
from collections import deque

import trio
from h2.connection import H2Connection

from wire.grpc.framing import PREFIX, PREFIX_BYTES
from wire.grpc.metadata import encode_message
from wire.grpc.service import UnaryCall
from wire.http2.frames import (
    HEADER,
    HEADER_BYTES,
    MAX_WINDOW,
    Code,
    ConnectionFault,
    Flag,
    Type,
    frame,
)
from wire.http2.headers import StatelessEncoder, encode
from wire.http2.outflow import Line, Piece
from wire.status import Status

_END_HEADERS = int(Flag.END_HEADERS)
_LAST = int(Flag.END_HEADERS | Flag.END_STREAM)
_RESPONSE_BLOCK = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_OK_BLOCK = encode([(b"grpc-status", b"0"), (b"grpc-message", b"")])

# The three frames of a good answer are, with the stream's number where "#" stands:
# _HEADERS # _RESPONSE_BLOCK, DATA header # prefix, message, _TRAILERS # _OK_BLOCK.
_pack_number = struct.Struct(">I").pack
_HEADERS = HEADER.pack(len(_RESPONSE_BLOCK) << 8 | Type.HEADERS, _END_HEADERS, 0)[:-4]
_TRAILERS = HEADER.pack(len(_OK_BLOCK) << 8 | Type.HEADERS, _LAST, 0)[:-4]
_FIXED_BYTES = 3 * HEADER_BYTES + len(_RESPONSE_BLOCK) + len(_OK_BLOCK)


def _around(size: int) -> tuple[bytes, bytes]:
    """What stands before and after the number of a DATA frame of `size` bytes."""
    header = HEADER.pack(size << 8 | Type.DATA, 0, 0)[:-4]
    return _RESPONSE_BLOCK + header, PREFIX.pack(0, max(size - PREFIX_BYTES, 0))


_SMALL = tuple(_around(size) for size in range(2048))  # ready made: 0.4 MB once


class Reply:
    """A good answer that waits: the `Outflow` of a lane stream."""

    __slots__ = ("begun", "pieces", "replies", "size", "stream_id")

    def __init__(self, replies: Replies, stream_id: int) -> None:
        self.replies = replies
        self.stream_id = stream_id
        self.pieces: deque[Piece] = deque()
        self.size = 0
        self.begun = False

    @property
    def window(self) -> int:
        return self.replies.window(self.stream_id)

    def charge(self, count: int) -> None:
        self.replies.charge(self.stream_id, count)

    def begin(self, output: list[Piece]) -> None:
        if not self.begun:
            self.begun = True
            block = self.replies.encoder.take_update() + _RESPONSE_BLOCK
            output.append(frame(Type.HEADERS, _END_HEADERS, self.stream_id, block))

    def sent(self, count: int, output: list[Piece]) -> None:
        if not self.size:
            self.replies.queued.remove(self.stream_id)
            output.append(frame(Type.HEADERS, _LAST, self.stream_id, _OK_BLOCK))
            self.replies.forget_window(self.stream_id)


class Replies:
    """The connection's output, its open unary calls, and their outbound windows.

    Invariants: `open` are the calls handed out, not answered and not closed; `_windows` holds
    only lane streams that are not over.
    """

    def __init__(
        self, connection: H2Connection, encoder: StatelessEncoder, line: Line, output_bytes: int
    ) -> None:
        """With more than `output_bytes` waiting, `is_backlogged`."""
        self._output_bytes = output_bytes
        self._room = trio.lowlevel.ParkingLot()
        self.open: dict[int, UnaryCall] = {}
        self.encoder = encoder
        self.line = line
        self.output_bytes = 0  # put out and not taken
        # Since they were last asked for: what earns the peer its budgets, and what is counted.
        self.answers = 0  # and DATA frames of what waits in line
        self.message_bytes = 0  # of answers
        self.queued: set[int] = set()  # streams whose answers wait in line
        self.is_idle = False  # the writer waits: call `wake` when something is put out
        self._is_held = False  # it waits, and is not to be woken before `release`
        self._h2 = connection
        self._output: list[Piece] = []
        self._windows: dict[int, int] = {}  # of streams whose window is not the initial one
        self._initial = connection.remote_settings.initial_window_size
        self._most = 0  # the largest DATA frame that any stream may send at once
        self.settings_changed()

    def wake(self) -> None:
        """Set by the connection: there is something to send."""

    def flush(self) -> None:
        """Set by the connection: send what is put out, now if possible."""

    def gave_up(self, stream_id: int) -> None:
        """Set by the connection: nobody waits for this call's answer any more."""

    # -- Answers

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """`UnaryCall.reply`: OK, with a message."""
        stream_id = call.stream_id
        del self.open[stream_id]
        call.method.counts.ok += 1
        count = len(message)
        size = count + PREFIX_BYTES
        self.message_bytes += count
        self.answers += 1
        connection = self._h2
        if (
            size > self._most
            or size > connection.outbound_flow_control_window
            or self.line
            or self.encoder.owes_update
        ):
            reply = Reply(self, stream_id)
            self.queued.add(stream_id)
            self.line.add(reply, PREFIX.pack(0, count))
            self.line.add(reply, message)
        else:
            connection.outbound_flow_control_window -= size
            number = _pack_number(stream_id)
            before, after = _SMALL[size] if size < len(_SMALL) else _around(size)
            self._output += (
                _HEADERS, number, before, number, after, message, _TRAILERS, number, _OK_BLOCK
            )  # fmt: skip
            self.output_bytes += size + _FIXED_BYTES
            if self._windows:
                self._windows.pop(stream_id, None)
        if self.is_idle:
            self.wake()

    def hold(self) -> None:
        """`Answerer.hold`."""
        self._is_held, self.is_idle = self.is_idle, False

    def release(self) -> None:
        """`Answerer.release`."""
        if self._is_held:
            self._is_held = False
            self.flush()

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        """`UnaryCall.refuse`: a status and no message."""
        del self.open[call.stream_id]
        call.method.counts.end(status)
        self.answers += 1
        self.put_status(call.stream_id, status, text)
        if self.is_idle:
            self.wake()

    def put_status(self, stream_id: int, status: Status, text: str) -> None:
        """A whole response that is nothing but a status."""
        self._windows.pop(stream_id, None)
        block = self.encoder.encode(
            [
                (b":status", b"200"),
                (b"content-type", b"application/grpc"),
                (b"grpc-status", b"%d" % status),
                (b"grpc-message", encode_message(text)),
            ]
        )
        self.put(frame(Type.HEADERS, _LAST, stream_id, block))

    def close(self, stream_id: int) -> None:
        """The peer, or a rule it broke, has ended the stream: nobody waits any more."""
        self._windows.pop(stream_id, None)
        call = self.open.pop(stream_id, None)
        if call is not None:
            call.closed = True
            call.method.counts.end(Status.CANCELLED)
            self.gave_up(stream_id)
        elif stream_id in self.queued:
            self.queued.remove(stream_id)
            self.line.drop(stream_id)

    # -- Output, in order

    def put(self, data: bytes) -> None:
        self._output.append(data)
        self.output_bytes += len(data)

    def put_h2(self) -> None:
        """What h2 has to send takes its place in line."""
        data = self._h2.data_to_send()
        if data:
            self.put(data)

    def take(self, burst: int) -> bytes:
        """Everything to send now, with up to `burst` bytes of what waits in line."""
        if self.line:
            self.put_h2()
            self.answers += self.line.pump(burst, self._output)
        data = b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return data

    @property
    def is_backlogged(self) -> bool:
        """`Answerer.is_backlogged`."""
        return self.output_bytes + self.line.size > self._output_bytes

    async def room(self) -> None:
        """`Answerer.room`."""
        while self.is_backlogged:
            await self._room.park()

    def taken(self) -> None:
        """The socket has taken what `take` returned."""
        if self._room:
            self._room.unpark_all()

    # -- Windows of lane streams

    def window(self, stream_id: int) -> int:
        return self._windows.get(stream_id, self._initial)

    def charge(self, stream_id: int, count: int) -> None:
        self._windows[stream_id] = self.window(stream_id) - count

    def forget_window(self, stream_id: int) -> None:
        self._windows.pop(stream_id, None)

    def open_window(self, stream_id: int, increment: int) -> bool:
        """A WINDOW_UPDATE of a lane stream; False if it makes the window too large."""
        window = self.window(stream_id) + increment
        if window > MAX_WINDOW:
            return False
        self._windows[stream_id] = window
        self.line.window_opened(stream_id)
        return True

    def settings_changed(self) -> None:
        """A new initial window moves those of open streams too, RFC 9113 §6.9.2."""
        initial = self._h2.remote_settings.initial_window_size
        difference, self._initial = initial - self._initial, initial
        for stream_id in self._windows:
            self._windows[stream_id] += difference
            if self._windows[stream_id] > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "window grows past 2^31-1")
        self._most = min(initial, self._h2.max_outbound_frame_size)
        self.line.windows_changed()
