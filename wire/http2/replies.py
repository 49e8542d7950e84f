"""Replies on their way out: three frames each, as far as the peer's windows go.

A good reply is made of constants around its message and charged to the connection's outbound
window, which h2 keeps.  One that does not fit a window or a frame waits in line with the
others that do not, and all of them send a frame each in turn.
"""

from __future__ import annotations

import struct
from collections import deque

from h2.connection import H2Connection

from wire.grpc.framing import PREFIX, PREFIX_BYTES
from wire.grpc.metadata import encode_message
from wire.http2.frames import MAX_WINDOW, Code, ConnectionFault, Flag, Type, frame
from wire.http2.headers import encode
from wire.status import Status

_END_HEADERS = int(Flag.END_HEADERS)
_LAST = int(Flag.END_HEADERS | Flag.END_STREAM)
_RESPONSE_BLOCK = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_OK_BLOCK = encode([(b"grpc-status", b"0"), (b"grpc-message", b"")])

# The three frames of a good reply around its message: HEADERS, the DATA frame's header with the
# gRPC prefix behind it, and then the trailers.
_HEAD = struct.Struct(f">IBI{len(_RESPONSE_BLOCK)}sIBIBI")
_TAIL = struct.Struct(f">IBI{len(_OK_BLOCK)}s")
_HEAD_KIND = len(_RESPONSE_BLOCK) << 8 | Type.HEADERS
_TAIL_KIND = len(_OK_BLOCK) << 8 | Type.HEADERS

_pack_head, _pack_tail = _HEAD.pack, _TAIL.pack


class _Waiting:
    """A reply that did not fit."""

    __slots__ = ("at", "data", "started", "stream_id")

    def __init__(self, stream_id: int, data: bytes) -> None:
        self.stream_id = stream_id
        self.data = data
        self.at = 0
        self.started = False


class Replies:
    """The connection's output, and the lane streams' outbound windows.

    Invariant: `_windows` holds only lane streams that are not over.
    """

    def __init__(self, connection: H2Connection) -> None:
        self._connection = connection
        self._waiting: deque[_Waiting] = deque()
        self._windows: dict[int, int] = {}  # of streams whose window is not the initial one
        self._initial = connection.remote_settings.initial_window_size
        self._output: list[bytes] = []
        self.output_bytes = 0

    # -- Output, in order

    def put(self, data: bytes) -> None:
        self._output.append(data)
        self.output_bytes += len(data)

    def put_h2(self) -> None:
        """What h2 has to send takes its place in line."""
        data = self._connection.data_to_send()
        if data:
            self.put(data)

    def take(self) -> bytes:
        """Everything to send now."""
        self.put_h2()
        data = b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return data

    # -- Answers

    def reply(self, stream_id: int, message: bytes) -> None:
        """OK, with a message."""
        connection = self._connection
        size = len(message) + PREFIX_BYTES
        windows = self._windows
        if (
            size > (windows.get(stream_id, self._initial) if windows else self._initial)
            or size > connection.outbound_flow_control_window
            or size > connection.max_outbound_frame_size
            or self._waiting
        ):
            prefix = PREFIX.pack(0, len(message))
            self._waiting.append(_Waiting(stream_id, prefix + message))
            self.flush()
            return
        if windows:
            windows.pop(stream_id, None)
        connection.outbound_flow_control_window -= size
        head = _pack_head(
            _HEAD_KIND,
            _END_HEADERS,
            stream_id,
            _RESPONSE_BLOCK,
            size << 8,
            0,
            stream_id,
            0,
            size - PREFIX_BYTES,
        )
        data = head + message + _pack_tail(_TAIL_KIND, _LAST, stream_id, _OK_BLOCK)
        self._output.append(data)
        self.output_bytes += len(data)

    def refuse(self, stream_id: int, status: Status, text: str) -> None:
        """A status and no message."""
        self._windows.pop(stream_id, None)
        block = encode(
            [
                (b":status", b"200"),
                (b"content-type", b"application/grpc"),
                (b"grpc-status", b"%d" % status),
                (b"grpc-message", encode_message(text)),
            ]
        )
        self.put(frame(Type.HEADERS, _LAST, stream_id, block))

    def drop(self, stream_id: int) -> None:
        """The stream is over: whatever waited for it is not sent."""
        self._windows.pop(stream_id, None)
        if self.is_waiting(stream_id):
            self._waiting = deque(one for one in self._waiting if one.stream_id != stream_id)

    def is_waiting(self, stream_id: int) -> bool:
        return any(one.stream_id == stream_id for one in self._waiting)

    def __len__(self) -> int:
        """Replies that wait for windows."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        return sum(len(one.data) - one.at for one in self._waiting)

    # -- Windows

    def open_window(self, stream_id: int, increment: int) -> bool:
        """A WINDOW_UPDATE of a lane stream; False if it makes the window too large."""
        window = self._windows.get(stream_id, self._initial) + increment
        if window > MAX_WINDOW:
            return False
        self._windows[stream_id] = window
        self.flush()
        return True

    def settings_changed(self) -> None:
        """A new initial window moves those of open streams too, RFC 9113 §6.9.2."""
        initial = self._connection.remote_settings.initial_window_size
        difference, self._initial = initial - self._initial, initial
        for stream_id in self._windows:
            self._windows[stream_id] += difference
            if self._windows[stream_id] > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "window grows past 2^31-1")
        self.flush()

    def flush(self) -> None:
        """Send what the windows allow of the replies that wait, a frame each in turn."""
        stuck: list[_Waiting] = []
        connection = self._connection
        while self._waiting and connection.outbound_flow_control_window > 0:
            reply = self._waiting.popleft()
            if not self._send_frame(reply):
                stuck.append(reply)
            elif reply.at < len(reply.data):
                self._waiting.append(reply)
        self._waiting.extendleft(reversed(stuck))

    def _send_frame(self, reply: _Waiting) -> bool:
        """One DATA frame, and the trailers after the last; False if the window is shut."""
        connection, stream_id = self._connection, reply.stream_id
        window = self._windows.get(stream_id, self._initial)
        count = min(
            window,
            connection.outbound_flow_control_window,
            connection.max_outbound_frame_size,
            len(reply.data) - reply.at,
        )
        if count <= 0:
            return False
        if not reply.started:
            reply.started = True
            self.put(frame(Type.HEADERS, _END_HEADERS, stream_id, _RESPONSE_BLOCK))
        self.put(frame(Type.DATA, 0, stream_id, reply.data[reply.at : reply.at + count]))
        reply.at += count
        connection.outbound_flow_control_window -= count
        if reply.at < len(reply.data):
            self._windows[stream_id] = window - count
        else:
            self._windows.pop(stream_id, None)
            self.put(frame(Type.HEADERS, _LAST, stream_id, _OK_BLOCK))
        return True
