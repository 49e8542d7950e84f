"""The lane: HTTP/2 without I/O, with a short way for unary calls.

h2's `H2Connection` owns the connection: preface, SETTINGS, PING, GOAWAY, flow-control windows,
and every stream that is not an ordinary unary call.  It takes 110 µs for a unary call; the lane
in front of it takes 4.  The lane cuts the bytes into frames and keeps for itself

- every header block: it has the connection's only HPACK decoder;
- HEADERS of a known unary method, which open a lane stream, and that stream's DATA, RST_STREAM
  and WINDOW_UPDATE; h2 is told only that the stream's number is used up.

All else goes to h2, headers encoded anew without a dynamic table, so that h2 sees ordinary
streams.  Only requests that are right in every respect take the lane: what is odd is h2's to
judge.  A reply is three frames made of constants, charged to h2's outbound window; what does
not fit a window waits in line.

What a peer may make us do for nothing (answer pings, acknowledge settings, open streams only
to reset them) is counted, and beyond `Limits` answered with GOAWAY ENHANCE_YOUR_CALM.
Source: RFC 9113; grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from wire.errors import EtcdError, Refused
from wire.grpc.framing import PREFIX, PREFIX_BYTES, decompress, too_large
from wire.grpc.service import Peer, Registry
from wire.http2.budget import Budget
from wire.http2.frames import (
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    PREFACE,
    STREAM_MASK,
    Code,
    ConnectionFault,
    Flag,
    Type,
    frame,
    rst_stream,
    unpadded,
    window_update,
)
from wire.http2.headers import MAX_LIST_BYTES, HeaderDecoder, Headers, encode
from wire.http2.heads import Head, understand
from wire.http2.replies import Replies
from wire.status import Status

_DATA, _HEADERS, _RST, _WINDOW = Type.DATA, Type.HEADERS, Type.RST_STREAM, Type.WINDOW_UPDATE
_END_STREAM, _END_HEADERS = int(Flag.END_STREAM), int(Flag.END_HEADERS)
_PADDED, _PRIORITY = int(Flag.PADDED), int(Flag.PRIORITY)


@dataclass(frozen=True)
class Limits:
    """What one connection may use and do.  The budgets are spent by the peer's frames and
    earned back by answered requests and by time."""

    message_bytes: int = 2_097_152  # of one request message
    concurrent_streams: int = (1 << 32) - 1  # announced; enforced for both paths
    connection_window: int = 4 << 20  # bytes a peer may send ahead
    stream_window: int = 1 << 20
    buffered_bytes: int = 64 << 20  # of incomplete requests; beyond it no window is given back
    calls_in_batch: int = 512  # handed over at once
    header_block_bytes: int = 64 * 1024  # of one block, over all its frames
    header_frames: int = 32  # HEADERS and CONTINUATION of one block
    control_frames: int = 1000  # unearned PING, SETTINGS, PRIORITY, unknown and empty frames
    resets: int = 200  # streams reset by the peer that were never answered


class Call:
    """A complete unary request, as the lane hands it out."""

    __slots__ = ("head", "message", "stream_id")

    def __init__(self, stream_id: int, head: Head, message: bytes) -> None:
        self.stream_id = stream_id
        self.head = head
        self.message = message


class _Incoming:
    """A lane stream whose request is not complete."""

    __slots__ = ("body", "head", "received", "window")

    def __init__(self, head: Head, window: int) -> None:
        self.head = head
        self.body: bytearray | None = None  # DATA so far; most requests have only one frame
        self.received = 0
        self.window = window  # what the peer may still send


class Lane:
    """One server connection's protocol state.

    Feed it with `receive`, take `batch`es of calls and h2's events from it, answer, and send
    what `replies.take` returns.  A `ConnectionFault` from any of them: `fail`, send, close.
    """

    def __init__(self, registry: Registry, limits: Limits, peer: Peer) -> None:
        self._registry = registry
        self._limits = limits
        self._peer = peer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self._decoder: HeaderDecoder[Head] = HeaderDecoder(
            lambda headers: understand(headers, registry, peer)
        )
        self._buffer = b""
        self._at = 0
        self.awaits_preface = True
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, of CONTINUATION
        self._block_frames = 0
        self._incoming: dict[int, _Incoming] = {}
        self._unanswered: set[int] = set()  # lane streams handed out and not answered
        self._buffered = 0  # bytes of incomplete requests
        self._consumed = 0  # DATA bytes since windows were last looked at
        self._owed = 0  # connection window not given back while too much is buffered
        self._controls = Budget(limits.control_frames, "control frames")
        self._resets = Budget(limits.resets, "streams reset")
        self.pings = 0  # received and not yet judged by the connection's keep-alive policy
        self.accepting = True  # False: draining, new streams are refused
        self._start()

    def _start(self) -> None:
        limits = self._limits
        settings = h2.settings.SettingCodes
        self.h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                settings.MAX_CONCURRENT_STREAMS: min(limits.concurrent_streams, (1 << 32) - 1),
                settings.INITIAL_WINDOW_SIZE: limits.stream_window,
                settings.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(
            limits.connection_window - self.h2.inbound_flow_control_window
        )
        self._inbound = self.h2._inbound_flow_control_window_manager
        self.replies = Replies(self.h2)
        self.replies.put_h2()

    # -- Receiving

    def receive(self, data: bytes) -> None:
        """Add bytes from the socket; `batch` looks at them."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def batch(self) -> tuple[list[Call], list[h2.events.Event], bool]:
        """Complete calls and h2's events, from as much of the input as makes one batch.

        True: there is more input to look at, after these have been dealt with.

        Raises:
            ConnectionFault: the connection is over; what was found before is lost with it.
        """
        calls: list[Call] = []
        events: list[h2.events.Event] = []
        if self.awaits_preface and not self._take_preface():
            return calls, events, False
        buffer, at, size = self._buffer, self._at, len(self._buffer)
        unpack, incoming = HEADER.unpack_from, self._incoming
        most = self._limits.calls_in_batch
        try:
            while size - at >= HEADER_BYTES:
                kind, flags, stream = unpack(buffer, at)
                length, kind = kind >> 8, kind & 0xFF
                if length > MAX_FRAME_BYTES:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"frame of {length} bytes")
                start = at + HEADER_BYTES
                if size - start < length:
                    break
                if len(calls) >= most or events:
                    return calls, events, True
                at = start + length
                stream &= STREAM_MASK
                if self._block is not None:
                    self._continue_block(kind, flags, stream, buffer[start:at], calls, events)
                elif kind == _DATA and stream in incoming:
                    self._data(stream, flags, buffer[start:at], calls)
                elif kind == _HEADERS and stream:
                    self._headers(stream, flags, buffer[start:at], calls, events)
                else:
                    self._other(kind, flags, stream, buffer[start - HEADER_BYTES : at], events)
        finally:
            self._at = at
            if self._consumed:
                self._give_windows_back()
        return calls, events, False

    def _take_preface(self) -> bool:
        head = self._buffer[: len(PREFACE)]
        if not PREFACE.startswith(head):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(head) < len(PREFACE):
            return False
        self.awaits_preface = False
        self._at = len(PREFACE)
        self.h2.receive_data(PREFACE)
        return True

    # -- HEADERS

    def _headers(
        self,
        stream: int,
        flags: int,
        payload: bytes,
        calls: list[Call],
        events: list[h2.events.Event],
    ) -> None:
        if flags & (_PADDED | _PRIORITY):
            payload = unpadded(payload, flags, priority=True)
        if not flags & _END_HEADERS:
            self._block = stream, flags, bytearray(payload)
            self._block_frames = 1
            return
        self._block_done(stream, flags, payload, calls, events)

    def _continue_block(
        self,
        kind: int,
        flags: int,
        stream: int,
        payload: bytes,
        calls: list[Call],
        events: list[h2.events.Event],
    ) -> None:
        """Nothing may stand between the frames of a header block, RFC 9113 §6.10."""
        assert self._block is not None
        begun, first_flags, block = self._block
        if kind != Type.CONTINUATION or stream != begun:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "header block interrupted")
        block += payload
        self._block_frames += 1
        if (
            len(block) > self._limits.header_block_bytes
            or self._block_frames > self._limits.header_frames
        ):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "header block is too long")
        if flags & _END_HEADERS:
            self._block = None
            self._block_done(stream, first_flags, bytes(block), calls, events)

    def _block_done(
        self,
        stream: int,
        flags: int,
        block: bytes,
        calls: list[Call],
        events: list[h2.events.Event],
    ) -> None:
        head = self._decoder.get(block) or self._decoder.decode(block)
        if stream in self._incoming:
            self._trailers(stream, flags, calls)
            return
        connection = self.h2
        if stream in connection.streams:
            self._pass_headers(stream, flags, head.headers, events)
            return
        if stream <= connection.highest_inbound_stream_id or not stream & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {stream} cannot be opened")
        if not self.accepting or self._is_full():
            connection.highest_inbound_stream_id = stream
            self._resets.spend()
            self.replies.put(rst_stream(stream, Code.REFUSED_STREAM))
            return
        if head.method is None:
            self._pass_headers(stream, flags, head.headers, events)
            return
        connection.highest_inbound_stream_id = stream
        request = self._incoming[stream] = _Incoming(head, self._limits.stream_window)
        head.method.counts.started += 1
        if head.fault is not None:
            self._fault(stream, request, head.fault, ended=bool(flags & _END_STREAM))
        elif flags & _END_STREAM:
            self._complete(stream, request, calls)

    def _pass_headers(
        self, stream: int, flags: int, headers: Headers, events: list[h2.events.Event]
    ) -> None:
        """Hand a decoded block to h2, in frames that need no decoder state."""
        block = encode(headers)
        pieces = [
            block[start : start + MAX_FRAME_BYTES]
            for start in range(0, max(len(block), 1), MAX_FRAME_BYTES)
        ]
        end_stream = flags & _END_STREAM
        for number, piece in enumerate(pieces):
            ends = _END_HEADERS if number == len(pieces) - 1 else 0
            if number == 0:
                self._to_h2(frame(Type.HEADERS, end_stream | ends, stream, piece), events)
            else:
                self._to_h2(frame(Type.CONTINUATION, ends, stream, piece), events)

    def _trailers(self, stream: int, flags: int, calls: list[Call]) -> None:
        """A request's trailers say nothing in gRPC, but they end it."""
        if not flags & _END_STREAM:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "trailers that do not end the stream")
        self._complete(stream, self._incoming[stream], calls)

    # -- DATA

    def _data(self, stream: int, flags: int, payload: bytes, calls: list[Call]) -> None:
        self._consumed += len(payload)
        request = self._incoming[stream]
        if flags & _PADDED:
            request.window -= len(payload)
            payload = unpadded(payload, flags, priority=False)
            request.window += len(payload)
        if flags & _END_STREAM and request.body is None and len(payload) >= PREFIX_BYTES:
            # The usual case: the whole request in one frame.
            compressed, size = PREFIX.unpack_from(payload)
            head = request.head
            if (
                not compressed
                and len(payload) == size + PREFIX_BYTES
                and size <= self._limits.message_bytes
                and head.content_length in (None, len(payload))
            ):
                del self._incoming[stream]
                self._unanswered.add(stream)
                calls.append(Call(stream, head, payload[PREFIX_BYTES:]))
                return
        self._gather(stream, flags, payload, request, calls)

    def _gather(
        self, stream: int, flags: int, payload: bytes, request: _Incoming, calls: list[Call]
    ) -> None:
        """A request in several frames, or one that is not right."""
        if not payload and not flags & _END_STREAM:
            self._controls.spend()
        request.window -= len(payload)
        if request.window < 0:
            self._reset(stream, Code.FLOW_CONTROL_ERROR)
            return
        if request.body is None:
            request.body = bytearray()
        request.body += payload
        request.received += len(payload)
        self._buffered += len(payload)
        if len(request.body) >= PREFIX_BYTES:
            _, size = PREFIX.unpack_from(request.body)
            if size > self._limits.message_bytes:
                error = too_large(size, self._limits.message_bytes)
                self._fault(stream, request, error, ended=bool(flags & _END_STREAM))
                return
        if flags & _END_STREAM:
            self._complete(stream, request, calls)
        elif request.window < self._limits.stream_window // 2:
            increment = self._limits.stream_window - request.window
            request.window += increment
            self.replies.put(window_update(stream, increment))

    def _complete(self, stream: int, request: _Incoming, calls: list[Call]) -> None:
        """The client has sent all of its request: is it one message?"""
        head, body = request.head, bytes(request.body or b"")
        if head.content_length not in (None, len(body)):
            self._reset(stream, Code.PROTOCOL_ERROR)  # RFC 9113 §8.1.1
            return
        try:
            message = self._one_message(body, head)
        except Refused as error:
            self._fault(stream, request, error, ended=True)
            return
        self._forget(stream)
        self._unanswered.add(stream)
        calls.append(Call(stream, head, message))

    def _one_message(self, body: bytes, head: Head) -> bytes:
        if len(body) < PREFIX_BYTES:
            raise Refused(Status.INTERNAL, "EOF" if not body else "unexpected EOF")
        compressed, size = PREFIX.unpack_from(body)
        if len(body) - PREFIX_BYTES < size:
            raise Refused(Status.INTERNAL, "unexpected EOF")
        if len(body) - PREFIX_BYTES > size:
            raise Refused(Status.INTERNAL, "grpc: a unary call has more than one message")
        message = body[PREFIX_BYTES:]
        if not compressed:
            return message
        assert head.context is not None
        return decompress(message, head.context.encoding, self._limits.message_bytes)

    def _fault(self, stream: int, request: _Incoming, error: EtcdError, *, ended: bool) -> None:
        """Answer a call that never becomes one."""
        method = request.head.method
        self._forget(stream)
        if not ended:
            self._resets.spend()
        self.replies.refuse(stream, error.status, str(error))
        if not ended:
            self.replies.put(rst_stream(stream, Code.NO_ERROR))  # stop sending, RFC 9113 §8.1
        if method is not None:
            method.counts.end(error.status)

    def _forget(self, stream: int) -> None:
        request = self._incoming.pop(stream, None)
        if request is not None and request.body is not None:
            self._buffered -= len(request.body)

    def _give_windows_back(self) -> None:
        """Charge the connection's window for what came in, and let the peer send more.

        Not while too much of it waits in incomplete requests: that is what bounds them.
        """
        consumed, self._consumed = self._consumed, 0
        try:
            self._inbound.window_consumed(consumed)
        except h2.exceptions.FlowControlError as error:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, str(error)) from error
        self._owed += consumed
        if self._buffered > self._limits.buffered_bytes:
            return
        increment = self._inbound.process_bytes(self._owed)
        self._owed = 0
        if increment:
            self.replies.put(window_update(0, increment))

    # -- Everything else

    def _other(
        self, kind: int, flags: int, stream: int, data: bytes, events: list[h2.events.Event]
    ) -> None:
        length = len(data) - HEADER_BYTES
        if kind == _DATA:
            self._stray_data(stream, flags, length, data, events)
        elif kind == _RST and self._is_lane(stream) and length == 4:
            self._peer_reset(stream)
        elif kind == _WINDOW and self._is_lane(stream) and length == 4:
            self._open_window(stream, int.from_bytes(data[HEADER_BYTES:], "big") & STREAM_MASK)
        elif kind == _WINDOW:
            self._to_h2(data, events)
            if stream == 0:
                self.replies.flush()
        else:
            if kind == _RST:
                self._resets.spend()
            else:
                self._controls.spend()
            if kind == Type.PING and not flags & Flag.ACK:
                self.pings += 1
            self._to_h2(data, events)

    def _stray_data(
        self, stream: int, flags: int, length: int, data: bytes, events: list[h2.events.Event]
    ) -> None:
        """DATA of a stream that is h2's, or of one that is over."""
        if not self._is_lane(stream):
            if length == 0 and not flags & _END_STREAM:
                self._controls.spend()
            self._to_h2(data, events)
            return
        # The peer may not have heard yet that the stream is over; still it counts.
        self._consumed += length
        if stream in self._unanswered:
            self._reset(stream, Code.STREAM_CLOSED)
        else:
            self._controls.spend()

    def _is_lane(self, stream: int) -> bool:
        """Whether a stream is, or was, the lane's: used up, and unknown to h2."""
        return (
            0 < stream <= self.h2.highest_inbound_stream_id
            and bool(stream & 1)
            and stream not in self.h2.streams
            and stream not in self.h2._closed_streams
        )

    def _peer_reset(self, stream: int) -> None:
        self._resets.spend()
        self._close(stream)

    def _open_window(self, stream: int, increment: int) -> None:
        is_open = (
            stream in self._incoming
            or stream in self._unanswered
            or self.replies.is_waiting(stream)
        )
        if not is_open:
            self._controls.spend()
        elif increment == 0:
            self._reset(stream, Code.PROTOCOL_ERROR)
        elif not self.replies.open_window(stream, increment):
            self._reset(stream, Code.FLOW_CONTROL_ERROR)

    def _to_h2(self, data: bytes, events: list[h2.events.Event]) -> None:
        try:
            found = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.h2.clear_outbound_data_buffer()  # its GOAWAY; `fail` makes ours
            code = Code(int(error.error_code))
            raise ConnectionFault(code, str(error) or type(error).__name__) from error
        for event in found:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.replies.settings_changed()
            elif isinstance(event, h2.events.StreamReset):
                self._resets.spend()
            events.append(event)
        self.replies.put_h2()

    def earn(self, share: float) -> None:
        """Give back a share of the budgets; called as time passes."""
        self._controls.earn_share(share)
        self._resets.earn_share(share)

    # -- Answering

    @property
    def lane_streams(self) -> int:
        """Lane streams that are not over."""
        return len(self._incoming) + len(self._unanswered) + len(self.replies)

    def _is_full(self) -> bool:
        most = self._limits.concurrent_streams - self.lane_streams
        # h2 counts its open streams by looking at all of them, so first ask for less.
        return len(self.h2.streams) >= most and self.h2.open_inbound_streams >= most

    def reply(self, stream: int, message: bytes) -> bool:
        """Answer a call with OK; False when nobody waits for it any more."""
        unanswered = self._unanswered
        if stream not in unanswered:
            return False
        unanswered.remove(stream)
        self._resets.earn()
        self.replies.reply(stream, message)
        return True

    def refuse(self, stream: int, status: Status, text: str) -> bool:
        """Answer a call with a status and no message; False when nobody waits any more."""
        if stream not in self._unanswered:
            return False
        self._unanswered.remove(stream)
        self.replies.refuse(stream, status, text)
        return True

    def _reset(self, stream: int, code: Code) -> None:
        self._resets.spend()
        self._close(stream)
        self.replies.put(rst_stream(stream, code))

    def _close(self, stream: int) -> None:
        self._forget(stream)
        self._unanswered.discard(stream)
        self.replies.drop(stream)

    # -- The end

    def fail(self, fault: ConnectionFault) -> None:
        """Say goodbye with the fault's code."""
        self.goodbye(fault.code, fault.why.encode("ascii", "replace")[:100])

    def goodbye(self, code: Code = Code.NO_ERROR, why: bytes = b"") -> None:
        """GOAWAY: nothing after the last stream seen is processed."""
        self.accepting = False
        last = self.h2.highest_inbound_stream_id
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + why
        self.replies.put(frame(Type.GOAWAY, 0, 0, payload))


def split_frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of whole frames; for tests and tools."""
    at = 0
    while len(data) - at >= HEADER_BYTES:
        kind, flags, stream = HEADER.unpack_from(data, at)
        length, kind = kind >> 8, kind & 0xFF
        start = at + HEADER_BYTES
        at = start + length
        yield kind, flags, stream & STREAM_MASK, data[start:at]
