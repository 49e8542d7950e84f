"""The lane: HTTP/2 without I/O, with a short way for unary calls.

h2's `H2Connection` owns the connection: preface, SETTINGS, PING, flow-control windows, and every
stream that is not an ordinary unary call.  The lane in front of it takes a twentieth of its time
for a unary call.  It cuts the bytes into frames and keeps for itself

- every header block: it has the connection's only HPACK decoder;
- HEADERS of a known unary method, which open a lane stream, and that stream's DATA, RST_STREAM
  and WINDOW_UPDATE; h2 is told only that the stream's number is used up;
- the connection's WINDOW_UPDATE, frames of streams that are over, and GOAWAY, after which h2
  would hear of nothing more.

All else goes to h2, headers encoded anew without a dynamic table, so that h2 sees ordinary
streams.  Only requests that are right in every respect take the lane: what is odd is h2's to
judge.

What a peer may make us do for nothing (answer pings, acknowledge settings, open streams only
to reset them) is counted, and beyond `Limits` answered with GOAWAY ENHANCE_YOUR_CALM.
Source: RFC 9113; grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import struct

from wire.grpc.framing import PREFIX, PREFIX_BYTES
from wire.grpc.service import BatchHandler, Peer, Registry, UnaryCall
from wire.http2.budget import Budget
from wire.http2.frames import (
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
    window_update,
)
from wire.http2.headers import BlockFrames, HeaderDecoder, StatelessEncoder
from wire.http2.heads import CallHead, Head, Understanding
from wire.http2.limits import Limits
from wire.http2.outflow import Line
from wire.http2.owner import Inflow, Owner, new_connection
from wire.http2.replies import Replies
from wire.http2.requests import Requests

_DATA, _HEADERS, _WHOLE = int(Type.DATA), int(Type.HEADERS), int(Flag.END_HEADERS)
_END_STREAM, _END_HEADERS = int(Flag.END_STREAM), int(Flag.END_HEADERS)
_KNOWN = frozenset(Type)  # other frames are ignored, RFC 9113 §5.5
_header_at = HEADER.unpack_from
_MESSAGE = struct.Struct(HEADER.format + PREFIX.format[1:])  # a frame header, a message's prefix
_data_at = _MESSAGE.unpack_from
_DATA_BYTES = _MESSAGE.size


class Lane:
    """One server connection's protocol state.

    Feed it with `receive` and `step`; after each step look at `requests.ready`, `owner.events` and
    `pings`, and send what `replies.take` returns.  After a `ConnectionFault`: `fail`, send, close.
    """

    def __init__(self, registry: Registry, limits: Limits, peer: Peer, tasks: BatchHandler) -> None:
        """`tasks` takes the calls of unary methods that are coroutines."""
        self.pings = 0  # received and not yet judged by the connection's keep-alive policy
        self.is_open = False  # preface and SETTINGS have come
        self.is_accepting = True  # False: draining, new streams are refused
        self.peer_leaves = False  # its GOAWAY has come
        self._registry = registry
        self._limits = limits
        self._controls = Budget(limits.control_frames, "control frames")
        self._resets = Budget(limits.resets, "streams reset")
        encoder = StatelessEncoder()
        self.h2 = new_connection(limits, encoder)
        self.line = Line(self.h2)
        self.replies = Replies(self.h2, encoder, self.line, limits.output_bytes)
        self.requests = Requests(
            registry, limits, tasks, self.replies, self._controls, self._resets
        )
        self.owner = Owner(self.h2, self.replies, self.requests, self._resets)
        self._inflow = Inflow(self.h2, self.replies, limits.connection_window)
        self._decoder: HeaderDecoder[Head] = HeaderDecoder(
            Understanding(registry, peer, self.requests.basket)
        )
        self._block: BlockFrames | None = None  # of a header block that is not complete
        self._buffer = b""
        self._at = 0
        self._has_preface = False
        self._most_streams = min(limits.concurrent_streams, limits.open_streams)
        self._most_hot = min(limits.message_bytes, MAX_FRAME_BYTES - PREFIX_BYTES)
        self.replies.put_h2()

    # -- Receiving

    def receive(self, data: bytes) -> None:
        """Add bytes from the socket; `step` looks at them."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def step(self, now: float) -> bool:
        """Look at as much of the input as makes one batch; `now` is Trio's time.

        True: there is more input to look at, after what was found has been dealt with.

        Raises:
            ConnectionFault: the connection is over; what was found in this step is lost with it.
        """
        self.owner.events.clear()
        if not self._has_preface and not self._take_preface():
            return False
        buffer, size = self._buffer, len(self._buffer)
        try:
            while True:
                at = self._take_hot_frames(now)
                if size - at < HEADER_BYTES:
                    return False
                first, flags, stream = _header_at(buffer, at)
                start = at + HEADER_BYTES
                end = start + (first >> 8)
                if end - start > MAX_FRAME_BYTES:
                    raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"frame of {end - start} bytes")
                if end > size:
                    return False
                if self._batch_room() <= 0:
                    return True
                self._at = end
                self._frame(first & 0xFF, flags, stream & STREAM_MASK, buffer[at:end], now)
        finally:
            self._inflow.settle()

    def _take_hot_frames(self, now: float) -> int:
        """The usual frames, without a detour: HEADERS seen before, and DATA that is a message.

        Returns where the first frame starts that is something else.  This loop is most of what
        a call costs; everything it checks, the long way checks too.
        """
        buffer, at, size = self._buffer, self._at, len(self._buffer)
        replies, requests, most_hot = self.replies, self.requests, self._most_hot
        known, uploads, open_calls = self._decoder.get, requests.uploads, replies.open
        highest = self.h2.highest_inbound_stream_id
        streams = calls = message_bytes = 0
        stream_room = batch_room = 0
        if self._block is None and self.is_open:
            stream_room, batch_room = self._stream_room(), self._batch_room()
        while size - at >= _DATA_BYTES:
            first, flags, stream, compressed, count = _data_at(buffer, at)
            kind = first & 0xFF
            if kind == _HEADERS and flags == _WHOLE:
                end = at + HEADER_BYTES + (first >> 8)
                if (
                    end > size
                    or not highest < stream <= MAX_WINDOW
                    or not stream & 1
                    or streams >= stream_room
                ):
                    break
                block = buffer[at + HEADER_BYTES : end]
                head = known(block) or self._decoder.decode(block)
                hot = head.hot
                if hot is None:
                    self.h2.highest_inbound_stream_id = highest
                    self._request(stream, flags, head, now)
                else:
                    uploads[stream] = hot
                    hot.counts.started += 1
                highest = stream
                at = end
                streams += 1
            elif kind == _DATA and flags == _END_STREAM:
                start = at + _DATA_BYTES
                stop = start + count
                found = uploads.get(stream)
                if (
                    found.__class__ is not CallHead
                    or first != (count + PREFIX_BYTES) << 8
                    or compressed
                    or count > most_hot
                    or stop > size
                    or calls >= batch_room
                    or (found.body_bytes is not None and found.body_bytes != count + PREFIX_BYTES)
                ):
                    break
                del uploads[stream]
                timeout, basket = found.timeout, found.basket
                deadline = None
                if timeout is not None:
                    deadline = now + timeout
                    if deadline < requests.soonest:
                        requests.soonest = deadline
                call = UnaryCall(
                    replies, stream, found.method, found.context, buffer[start:stop], deadline
                )
                open_calls[stream] = call
                if not basket.calls:
                    requests.ready.append(basket)
                basket.calls.append(call)
                found.counts.received += 1
                at = stop
                calls += 1
                message_bytes += count
            else:
                break
        self._at = at
        self.h2.highest_inbound_stream_id = highest
        self._inflow.uncharged += message_bytes + calls * PREFIX_BYTES
        self._registry.received_bytes += message_bytes
        return at

    def _batch_room(self) -> int:
        """How many calls more make a batch."""
        most = self._limits.calls_in_batch
        ready = self.requests.ready
        return most - sum([len(basket.calls) for basket in ready]) if ready else most

    def _stream_room(self) -> int:
        """How many streams more the peer may open."""
        replies, requests, limits = self.replies, self.requests, self._limits
        if (
            not self.is_accepting
            or self.line.size > limits.unsent_bytes
            or requests.intake.held > limits.unread_bytes
        ):
            return 0
        in_lane = len(replies.open) + len(requests.uploads) + len(replies.queued)
        return self._most_streams - in_lane - len(self.h2.streams)

    def _take_preface(self) -> bool:
        head = self._buffer[: len(PREFACE)]
        if not PREFACE.startswith(head):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(head) < len(PREFACE):
            return False
        self._has_preface = True
        self._at = len(PREFACE)
        self.h2.receive_data(PREFACE)
        return True

    def _frame(self, kind: int, flags: int, stream: int, data: bytes, now: float) -> None:
        """One whole frame; `data` is all of it."""
        if self._block is not None or kind == Type.CONTINUATION:
            self._continue_block(kind, flags, stream, data[HEADER_BYTES:], now)
        elif not self.is_open:
            self._first(kind, flags, data)
        elif kind == Type.DATA:
            self._data(stream, flags, data, now)
        elif kind == Type.HEADERS:
            self._headers(stream, flags, data[HEADER_BYTES:], now)
        elif kind == Type.WINDOW_UPDATE:
            self._window_update(stream, data)
        elif kind == Type.RST_STREAM:
            self._rst_stream(stream, data)
        else:
            self._controls.spend()
            if kind == Type.GOAWAY:
                self._goaway(stream, data)
            elif kind == Type.PUSH_PROMISE:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
            elif kind in _KNOWN:
                if kind == Type.PING and not flags & Flag.ACK:
                    self.pings += 1
                self.owner.give(data)

    def _first(self, kind: int, flags: int, data: bytes) -> None:
        """The first frame has to be SETTINGS, RFC 9113 §3.4."""
        if kind != Type.SETTINGS or flags & Flag.ACK:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self.owner.give(data)
        self.is_open = True

    # -- HEADERS and CONTINUATION

    def _headers(self, stream: int, flags: int, payload: bytes, now: float) -> None:
        if stream == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on stream 0")
        block = BlockFrames(stream, flags, payload, self._limits)
        if flags & _END_HEADERS:
            self._whole_block(stream, flags, self._decoder.decode(block.bytes), now)
        else:
            self._block = block

    def _continue_block(
        self, kind: int, flags: int, stream: int, payload: bytes, now: float
    ) -> None:
        """Nothing may stand between the frames of a header block, RFC 9113 §6.10."""
        block = self._block
        if block is None or kind != Type.CONTINUATION or stream != block.stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "header block interrupted")
        block.add(payload)
        if flags & _END_HEADERS:
            self._block = None
            self._whole_block(stream, block.flags, self._decoder.decode(block.bytes), now)

    def _whole_block(self, stream: int, flags: int, head: Head, now: float) -> None:
        """A header block, wherever it belongs."""
        connection, requests = self.h2, self.requests
        if stream in requests.uploads:
            requests.trailers(stream, flags, head.headers, now)
        elif requests.is_late(stream):
            pass
        elif stream in connection.streams:
            self.owner.give_headers(stream, flags, head.headers)
        elif stream in requests or requests.was_reset(stream):
            requests.reset(stream, Code.STREAM_CLOSED)
        elif stream <= connection.highest_inbound_stream_id or not stream & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {stream} cannot be opened")
        elif self._stream_room() <= 0:
            connection.highest_inbound_stream_id = stream
            requests.refuse(stream)
        else:
            self._request(stream, flags, head, now)

    def _request(self, stream: int, flags: int, head: Head, now: float) -> None:
        """The headers of a new stream that there is room for."""
        if head.call is None:
            self.owner.give_headers(stream, flags, head.headers)
        else:
            self.h2.highest_inbound_stream_id = stream
            self.requests.open(stream, head.call, flags, now)

    # -- DATA, and the windows it uses

    def _data(self, stream: int, flags: int, data: bytes, now: float) -> None:
        count = len(data) - HEADER_BYTES
        if stream in self.requests.uploads:
            self._inflow.uncharged += count
            self.requests.data(stream, flags, data[HEADER_BYTES:], now)
        elif self.requests.is_late(stream, count):
            self._inflow.uncharged += count
        elif self.owner.has(stream):
            padding = data[HEADER_BYTES] + 1 if flags & Flag.PADDED and count else 0
            if count == padding and not flags & _END_STREAM:
                self._controls.spend()
            self._inflow.charged += count
            self.owner.give(data)
        else:
            self._refuse_idle(stream, "DATA")
            self._inflow.uncharged += count
            self.requests.reset(stream, Code.STREAM_CLOSED)

    def _refuse_idle(self, stream: int, what: str) -> None:
        """Only HEADERS and PRIORITY may come on a stream that is not open yet, RFC 9113 §5.1."""
        if stream > self.h2.highest_inbound_stream_id or not stream & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{what} on stream {stream}")

    # -- Other frames

    def _window_update(self, stream: int, data: bytes) -> None:
        if len(data) - HEADER_BYTES != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        increment = int.from_bytes(data[HEADER_BYTES:], "big") & MAX_WINDOW
        if stream == 0:
            window = self.h2.outbound_flow_control_window + increment
            if increment == 0:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            if window > MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "window grows past 2^31-1")
            self.h2.outbound_flow_control_window = window
        elif increment == 0:
            self._refuse_idle(stream, "WINDOW_UPDATE")
            self.requests.reset(stream, Code.PROTOCOL_ERROR)
        elif stream in self.requests:
            if not self.replies.open_window(stream, increment):
                self.requests.reset(stream, Code.FLOW_CONTROL_ERROR)
        elif self.owner.has(stream):
            self.owner.give(window_update(stream, increment))  # h2 minds the reserved bit
            self.line.window_opened(stream)
        elif not self.requests.is_late(stream):
            self._refuse_idle(stream, "WINDOW_UPDATE")
            self._controls.spend()

    def _rst_stream(self, stream: int, data: bytes) -> None:
        if len(data) - HEADER_BYTES != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        if stream in self.requests:
            self.requests.peer_reset(stream)
        elif self.owner.has(stream):
            self.owner.give(data)
        elif not self.requests.is_late(stream):
            self._refuse_idle(stream, "RST_STREAM")
            self._controls.spend()

    def _goaway(self, stream: int, data: bytes) -> None:
        """The peer will end the connection when its streams are over."""
        if stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(data) - HEADER_BYTES < 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self.peer_leaves = True

    # -- As time passes, and the end

    def earn(self, answers: int, share: float = 0.0) -> None:
        """Give back budgets: for what was sent, or for a share of time."""
        if answers:
            self._controls.earn(answers)
            self._resets.earn(answers)
        if share:
            self._controls.earn_share(share)
            self._resets.earn_share(share)

    @property
    def is_busy(self) -> bool:
        """Whether any lane stream is not over."""
        return bool(self.replies.open or self.requests.uploads or self.replies.queued)

    def fail(self, fault: ConnectionFault) -> None:
        """Say goodbye with the fault's code; h2 may have done so in its own words."""
        self.h2.clear_outbound_data_buffer()
        self.goodbye(fault.code, fault.why.encode("ascii", "replace")[:100])

    def goodbye(self, code: Code = Code.NO_ERROR, why: bytes = b"") -> None:
        """GOAWAY: nothing after the last stream seen is processed."""
        self.is_accepting = False
        last = self.h2.highest_inbound_stream_id
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + why
        self.replies.put(frame(Type.GOAWAY, 0, 0, payload))

    def end(self) -> None:
        """The connection is gone: nobody waits for an answer any more."""
        for stream in (*self.replies.open, *self.requests.uploads):
            self.requests.close(stream)
