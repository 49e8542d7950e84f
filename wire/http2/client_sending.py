"""What a client connection sends: requests as far as the server's windows go, in order.

Pure.  A request that fits goes out at once, as two frames joined; one that does not waits in
line with the others that do not, and all of them send a frame each in turn.
Source: RFC 9113 §5.2, §6.9.
"""

from __future__ import annotations

from wire.http2.frames import (
    DEFAULT_WINDOW,
    HEADER,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    Code,
    ConnectionFault,
    Flag,
    Type,
    frame,
    rst_stream,
    window_update,
)
from wire.http2.headers import SIZE_UPDATE

CONTROL_FRAMES = 10_000  # answers to pings and settings that the socket has not taken

_HEADERS, _DATA = int(Type.HEADERS), int(Type.DATA)
_END_HEADERS, _END_STREAM = int(Flag.END_HEADERS), int(Flag.END_STREAM)
_pack = HEADER.pack


class Outgoing:
    """The sending half of one stream.  Subclasses add the receiving half."""

    __slots__ = ("_at", "_data", "ends", "is_open", "send_window", "stream_id")

    def __init__(self) -> None:
        self.stream_id = 0  # given when it is opened
        self.send_window = 0
        self.ends = False  # nothing comes after what is unsent
        self.is_open = False  # END_STREAM is not sent yet
        self._data = b""
        self._at = 0  # of `_data`, so much has gone out

    @property
    def unsent(self) -> int:
        """Bytes that the windows have not let out."""
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data
        self._at = 0

    def next_piece(self, size: int) -> bytes:
        """The next bytes that go out."""
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def drop(self) -> None:
        """Nothing more goes out."""
        self.is_open = False
        self._data = b""
        self._at = 0

    def progressed(self) -> None:
        """Some has gone out."""


class Sender:
    """The output of a client connection, and the server's windows.

    Invariant: `_blocked` holds exactly the streams with something unsent, oldest first.
    """

    def __init__(self) -> None:
        self.window = DEFAULT_WINDOW  # of the connection
        self.initial_window = DEFAULT_WINDOW  # of a new stream
        self.frame_bytes = MAX_FRAME_BYTES  # the largest DATA the server takes
        self._blocked: dict[int, Outgoing] = {}
        self._output: list[bytes] = []
        self._controls = 0  # control frames in `_output`
        self._owes_size_update = False
        self.output_bytes = 0

    # -- Output

    def put(self, data: bytes) -> None:
        self._output.append(data)
        self.output_bytes += len(data)

    def put_control(self, data: bytes) -> None:
        """An answer that the server makes us give.

        Raises:
            ConnectionFault: it makes us give them faster than it takes them.
        """
        self._controls += 1
        if self._controls > CONTROL_FRAMES:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many control frames")
        self.put(data)

    def take(self) -> bytes:
        """Everything to send now."""
        data = b"".join(self._output)
        self._output.clear()
        self.output_bytes = self._controls = 0
        return data

    # -- Requests

    def open(self, stream: Outgoing, block: bytes, body: bytes, *, end: bool) -> None:
        """HEADERS with a header block, then `body`; `end`: nothing follows."""
        if self._owes_size_update:
            self._owes_size_update = False
            block = SIZE_UPDATE + block
        size = len(body)
        stream_id = stream.stream_id
        if (
            end
            and size <= self.initial_window
            and size <= self.window
            and size <= self.frame_bytes
            and len(block) <= MAX_FRAME_BYTES
        ):
            self.window -= size
            stream.send_window = self.initial_window - size
            head = _pack(len(block) << 8 | _HEADERS, _END_HEADERS, stream_id)
            data = head + block + _pack(size << 8 | _DATA, _END_STREAM, stream_id) + body
            self._output.append(data)
            self.output_bytes += len(data)
            return
        stream.is_open = True
        stream.send_window = self.initial_window
        self._put_block(stream_id, block)
        if body or end:
            self.send(stream, body, end=end)

    def _put_block(self, stream_id: int, block: bytes) -> None:
        first, rest = block[:MAX_FRAME_BYTES], block[MAX_FRAME_BYTES:]
        self.put(frame(Type.HEADERS, 0 if rest else _END_HEADERS, stream_id, first))
        while rest:
            piece, rest = rest[:MAX_FRAME_BYTES], rest[MAX_FRAME_BYTES:]
            self.put(frame(Type.CONTINUATION, 0 if rest else _END_HEADERS, stream_id, piece))

    def send(self, stream: Outgoing, data: bytes, *, end: bool) -> None:
        """More of a request that is open."""
        stream.add(data)
        stream.ends = stream.ends or end
        self._blocked[stream.stream_id] = stream
        self.flush()

    def reset(self, stream: Outgoing, code: Code) -> None:
        self.forget(stream)
        self.put(rst_stream(stream.stream_id, code))

    def forget(self, stream: Outgoing) -> None:
        """The stream is over: nothing more of it is sent."""
        stream.drop()
        self._blocked.pop(stream.stream_id, None)

    def flush(self) -> None:
        """Send what the windows let out, a frame of each blocked stream in turn."""
        progress = True
        while progress and self._blocked:
            progress = False
            for stream in list(self._blocked.values()):
                progress |= self._send_frame(stream)

    def _send_frame(self, stream: Outgoing) -> bool:
        """Send one frame; False if the windows are shut."""
        size = min(self.window, stream.send_window, self.frame_bytes, stream.unsent)
        if size <= 0 and stream.unsent:
            return False
        piece = stream.next_piece(max(size, 0))
        is_last = stream.ends and not stream.unsent
        if not stream.unsent:
            del self._blocked[stream.stream_id]
        if piece or is_last:
            flags = _END_STREAM if is_last else 0
            self.put(frame(Type.DATA, flags, stream.stream_id, piece))
            self.window -= len(piece)
            stream.send_window -= len(piece)
            stream.is_open = not is_last
            stream.progressed()
        return True

    # -- The server's windows and settings

    def widen(self, increment: int) -> None:
        """WINDOW_UPDATE of the connection."""
        self.window += increment
        if self.window > MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "window grows past 2^31-1")
        self.flush()

    def set_initial_window(self, size: int, streams: list[Outgoing]) -> None:
        """A new initial window moves those of open streams too, RFC 9113 §6.9.2.  `flush` then."""
        difference, self.initial_window = size - self.initial_window, size
        for stream in streams:
            stream.send_window += difference
            if stream.send_window > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "window grows past 2^31-1")

    def owe_size_update(self) -> None:
        """The server's header table has another size; ours, which has none, fits: say so."""
        self._owes_size_update = True

    def give_window(self, stream_id: int, increment: int) -> None:
        """The server may send so much more, on a stream or (0) on all."""
        self.put(window_update(stream_id, increment))
