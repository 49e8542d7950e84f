"""What waits for its turn to be sent: answers and messages that did not fit at once.

Pure.  Every stream with bytes to send has an `Outflow`.  Those that may send stand in line and
send a frame each in turn; those whose own window is shut stand aside until it opens.  Pieces
are kept as they came, so that many streams can share one encoding.
Source: RFC 9113 §5.2, §6.9.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from h2.connection import H2Connection

from wire.http2.frames import HEADER

Piece = bytes | memoryview
_pack_header = HEADER.pack


class Outflow(Protocol):
    """One stream's bytes, and how to begin and end sending them."""

    stream_id: int
    pieces: deque[Piece]
    size: int  # of all pieces, in bytes

    @property
    def window(self) -> int:
        """What the peer lets this stream send."""
        ...

    def charge(self, count: int) -> None:
        """`count` bytes of the window are used."""
        ...

    def begin(self, output: list[Piece]) -> None:
        """A frame is about to be sent: put out headers, if that has not been done."""
        ...

    def sent(self, count: int, output: list[Piece]) -> None:
        """`count` bytes were put out; at the end, put out what comes after."""
        ...


class Line:
    """The outflows of one connection.

    Invariant: an outflow with something to send is either in line or aside, under its stream's
    id; `size` is the sum of theirs.
    """

    def __init__(self, connection: H2Connection) -> None:
        self._h2 = connection
        self._waiting: dict[int, Outflow] = {}  # first in, first out
        self._aside: dict[int, Outflow] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._aside)

    def __bool__(self) -> bool:
        """Whether somebody waits whom only the connection or the socket keeps waiting."""
        return bool(self._waiting)

    def add(self, outflow: Outflow, piece: bytes) -> None:
        if not piece:
            return
        outflow.pieces.append(piece)
        outflow.size += len(piece)
        self.size += len(piece)
        stream_id = outflow.stream_id
        if stream_id not in self._waiting and stream_id not in self._aside:
            self._waiting[stream_id] = outflow

    def drop(self, stream_id: int) -> bool:
        """The stream is over: whatever waits is not sent.  False if nothing did."""
        outflow = self._waiting.pop(stream_id, None) or self._aside.pop(stream_id, None)
        if outflow is None:
            return False
        self.size -= outflow.size
        outflow.pieces.clear()
        outflow.size = 0
        return True

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._waiting or stream_id in self._aside

    def window_opened(self, stream_id: int) -> None:
        outflow = self._aside.pop(stream_id, None)
        if outflow is not None:
            self._waiting[stream_id] = outflow

    def windows_changed(self) -> None:
        """Every stream's window may have opened."""
        self._waiting.update(self._aside)
        self._aside.clear()

    def pump(self, room: int, output: list[Piece]) -> int:
        """Put out frames, in turn, of about `room` bytes together; returns how many."""
        put_out = frames = 0
        waiting, connection = self._waiting, self._h2
        while waiting and put_out < room and connection.outbound_flow_control_window > 0:
            stream_id = next(iter(waiting))
            outflow = waiting.pop(stream_id)
            window = outflow.window
            if window <= 0 and outflow.size:
                self._aside[stream_id] = outflow
                continue
            put_out += self._send_frame(outflow, window, output)
            frames += 1
            if outflow.size:
                waiting[stream_id] = outflow
        return frames

    def _send_frame(self, outflow: Outflow, window: int, output: list[Piece]) -> int:
        connection, pieces = self._h2, outflow.pieces
        most = min(
            window, connection.outbound_flow_control_window, connection.max_outbound_frame_size
        )
        outflow.begin(output)
        at = len(output)
        output.append(b"")
        count = 0
        while pieces and count < most:
            piece = pieces.popleft()
            if len(piece) > most - count:
                view = memoryview(piece)
                pieces.appendleft(view[most - count :])
                piece = view[: most - count]
            output.append(piece)
            count += len(piece)
        output[at] = _pack_header(count << 8, 0, outflow.stream_id)
        outflow.size -= count
        self.size -= count
        connection.outbound_flow_control_window -= count
        outflow.charge(count)
        outflow.sent(count, output)
        return count
