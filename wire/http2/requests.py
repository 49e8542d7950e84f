"""Lane streams from their headers to a complete call: what comes in, and what is wrong with it.

Source: RFC 9113 §5.1, §8.1; grpc/doc/PROTOCOL-HTTP2.md ("Requests").
"""

from __future__ import annotations

from wire.errors import EtcdError, Refused
from wire.grpc.service import BatchHandler, Method, Registry, UnaryCall
from wire.http2.budget import Budget
from wire.http2.frames import Code, ConnectionFault, Flag, rst_stream, unpadded, window_update
from wire.http2.headers import Headers
from wire.http2.heads import Basket, CallHead, are_trailers
from wire.http2.limits import Limits
from wire.http2.replies import Replies
from wire.http2.uploads import Intake, Upload
from wire.status import Status

_END_STREAM, _PADDED = int(Flag.END_STREAM), int(Flag.PADDED)
_REMEMBERED = 1000  # streams that were reset, by either side
_LATE_FRAME_BYTES = 64  # what such a frame costs at least


class Requests:
    """The inbound half of the lane's streams.

    Invariant: a stream is in `uploads` until its request is complete, first by its headers
    alone; then its call is among `replies.open` until it is answered.
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        tasks: BatchHandler,
        replies: Replies,
        controls: Budget,
        resets: Budget,
    ) -> None:
        self.uploads: dict[int, CallHead | Upload] = {}
        self.intake = Intake(limits.unread_bytes)
        self.ready: list[Basket] = []  # those with calls
        self.soonest = float("inf")  # no open call has a deadline before this Trio time
        self._registry = registry
        self._limits = limits
        self._tasks = tasks
        self._replies = replies
        self._controls = controls
        self._resets = resets
        self._baskets: dict[BatchHandler, Basket] = {}
        self._reset: dict[int, int] = {}  # streams that were, and the bytes still expected on each

    def basket(self, method: Method) -> Basket:
        """Where a method's calls go."""
        handler = method.batch or self._tasks
        found = self._baskets.get(handler)
        if found is None:
            found = self._baskets[handler] = Basket(handler)
        return found

    def __contains__(self, stream: int) -> bool:
        """Whether a stream is the lane's, and not over."""
        replies = self._replies
        return stream in self.uploads or stream in replies.open or stream in replies.queued

    # -- What the peer sends

    def open(self, stream: int, head: CallHead, flags: int, now: float) -> None:
        """HEADERS of a unary call that is not hot."""
        self.uploads[stream] = head
        head.counts.started += 1
        ended = bool(flags & _END_STREAM)
        if head.fault is not None:
            self._answer_early(stream, head, head.fault, ended=ended)
        elif ended:
            self._complete(stream, now)

    def _upload(self, stream: int) -> Upload:
        found = self.uploads[stream]
        if isinstance(found, Upload):
            return found
        upload = self.uploads[stream] = Upload(found, self._limits.stream_window, self.intake)
        return upload

    def trailers(self, stream: int, flags: int, headers: Headers, now: float) -> None:
        """A request's trailers say nothing in gRPC, but they end it."""
        if not flags & _END_STREAM:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "trailers that do not end the stream")
        if not are_trailers(headers):
            self.reset(stream, Code.PROTOCOL_ERROR)
        else:
            self._complete(stream, now)

    def data(self, stream: int, flags: int, payload: bytes, now: float) -> None:
        """DATA of an upload."""
        upload = self._upload(stream)
        upload.window -= len(payload)
        if upload.window < 0:
            self.reset(stream, Code.FLOW_CONTROL_ERROR)
            return
        if flags & _PADDED:
            payload = unpadded(payload, flags)
        expected = upload.head.body_bytes
        if expected is not None and upload.received + len(payload) > expected:
            self.reset(stream, Code.PROTOCOL_ERROR)  # RFC 9113 §8.1.1
            return
        ended = bool(flags & _END_STREAM)
        if not payload and not ended:
            self._controls.spend()
        try:
            upload.add(payload, self._limits.message_bytes)
        except Refused as error:
            self._answer_early(stream, upload.head, error, ended=ended)
            return
        if ended:
            self._complete(stream, now)
        elif upload.window < self._limits.stream_window // 2:
            increment = self._limits.stream_window - upload.window
            upload.window += increment
            self._replies.put(window_update(stream, increment))

    def peer_reset(self, stream: int) -> None:
        """RST_STREAM of a stream that is not over."""
        self._resets.spend()
        self.close(stream)
        self.note_reset(stream)

    def refuse(self, stream: int) -> None:
        """A stream that there is no room for."""
        self._resets.spend()
        self._replies.put(rst_stream(stream, Code.REFUSED_STREAM))
        self.note_reset(stream, expect_late=True)

    def reset(self, stream: int, code: Code) -> None:
        """The peer has broken a rule of one stream."""
        self._resets.spend()
        is_uploading = stream in self.uploads
        self.close(stream)
        self._replies.put(rst_stream(stream, code))
        self.note_reset(stream, expect_late=is_uploading)

    # -- Streams that were reset

    def note_reset(self, stream: int, *, expect_late: bool = False) -> None:
        """Remember it; frames may come until the peer has heard of it, RFC 9113 §5.1."""
        self._reset[stream] = self._limits.stream_window if expect_late else 0
        if len(self._reset) > _REMEMBERED:
            del self._reset[next(iter(self._reset))]

    def was_reset(self, stream: int) -> bool:
        return stream in self._reset

    def is_late(self, stream: int, count: int = 0) -> bool:
        """Whether a frame of `count` bytes was on its way when we reset its stream."""
        left = self._reset.get(stream, 0)
        if left <= 0:
            return False
        self._reset[stream] = left - max(count, _LATE_FRAME_BYTES)
        return True

    # -- The end of a request

    def _complete(self, stream: int, now: float) -> None:
        """The client has sent all of it: is it a message?"""
        upload = self._upload(stream)
        head = upload.head
        if head.body_bytes not in (None, upload.received):
            self.reset(stream, Code.PROTOCOL_ERROR)  # RFC 9113 §8.1.1
            return
        try:
            message = upload.message(self._limits.message_bytes)
        except Refused as error:
            self._answer_early(stream, upload.head, error, ended=True)
            return
        self._forget(stream)
        context, basket = head.context, head.basket
        deadline = None
        if context.timeout is not None:
            deadline = now + context.timeout
            self.soonest = min(self.soonest, deadline)
        call = UnaryCall(self._replies, stream, head.method, context, message, deadline)
        self._replies.open[stream] = call
        if not basket.calls:
            self.ready.append(basket)
        basket.calls.append(call)
        head.counts.received += 1
        self._registry.received_bytes += len(message)

    def _answer_early(self, stream: int, head: CallHead, error: EtcdError, *, ended: bool) -> None:
        """Answer a call that never becomes one."""
        self._forget(stream)
        head.method.counts.end(error.status)
        self._replies.put_status(stream, error.status, str(error))
        if not ended:
            self._resets.spend()
            self._replies.put(rst_stream(stream, Code.NO_ERROR))  # stop sending, RFC 9113 §8.1
            self.note_reset(stream, expect_late=True)

    def close(self, stream: int) -> None:
        found = self.uploads.get(stream)
        if found is not None:
            head = found.head if isinstance(found, Upload) else found
            head.method.counts.end(Status.CANCELLED)
        self._forget(stream)
        self._replies.close(stream)

    def _forget(self, stream: int) -> None:
        found = self.uploads.pop(stream, None)
        if isinstance(found, Upload):
            found.release()
