"""A streaming call on one of h2's streams, as its handler sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from wire.errors import EtcdError, Refused
from wire.grpc.framing import PREFIX_BYTES, MessageReader, frame
from wire.grpc.service import Context, Method
from wire.http2.headers import Headers
from wire.http2.sending import Host, Sending
from wire.http2.uploads import NO_ROOM
from wire.invariant import invariant
from wire.status import Status

SEND_BUFFER_BYTES = 256 * 1024  # unsent, at which `send` begins to wait


class Stream(Sending):
    """See `ServerStream`.

    The stream's window is given back as the handler takes its messages, so a slow handler slows
    its client and nobody else.
    """

    def __init__(
        self,
        host: Host,
        stream_id: int,
        method: Method,
        context: Context,
        response_headers: Headers,
        message_bytes: int,
    ) -> None:
        super().__init__(host, stream_id, response_headers)
        self.method = method
        self.context = context
        self._arrivals = method.counts.of(context.metadata)
        self.scope = trio.CancelScope()  # of the handler
        self.ended = False  # the client has sent all it will
        self._reader = MessageReader(message_bytes, context.encoding)
        self._messages: deque[tuple[bytes, int, int]] = deque()  # with kept and owed bytes
        self._kept = 0  # bytes of ours in the intake
        self._owed = 0  # window bytes to give back
        self._advanced = 0  # given back before the message they belong to was complete
        self._window = host.h2.local_settings.initial_window_size
        self._fault: EtcdError | None = None
        self._receiver: trio.lowlevel.Task | None = None
        self._consumer: Callable[[bytes], None] | None = None

    # -- The handler's side

    async def receive(self) -> bytes | None:
        """`ServerStream.receive`; raises Refused for bytes that are no message."""
        while not self._messages:
            if self._fault is not None:
                raise self._fault
            if self.ended:
                await trio.lowlevel.checkpoint()
                return None
            await self._wait()
        message, kept, owed = self._messages.popleft()
        self._release(kept)
        self._give_back(owed)
        return message

    async def consume(self, consumer: Callable[[bytes], None]) -> None:
        """`ServerStream.consume`."""
        self._consumer = consumer
        self._hand_over(consumer)
        while self._fault is None and not self.ended:
            await self._wait()
        if self._fault is not None:
            raise self._fault

    def _hand_over(self, consumer: Callable[[bytes], None]) -> None:
        while self._messages and self._fault is None:
            message, kept, owed = self._messages.popleft()
            self._release(kept)
            self._give_back(owed)
            try:
                consumer(message)
            except EtcdError as fault:
                self._fault = fault
                self._wake()

    async def _wait(self) -> None:
        invariant(self._receiver is None, "two tasks receive from one stream")
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def send(self, message: bytes) -> None:
        await self.drained(SEND_BUFFER_BYTES)
        self.send_framed(frame(message))

    def send_framed(self, data: bytes, messages: int = 1) -> None:
        self.method.counts.sent += messages
        self._host.registry.sent_bytes += len(data) - messages * PREFIX_BYTES
        self.add(data)

    @property
    def unsent(self) -> int:
        return self.size

    # -- The connection's side

    def feed(self, data: bytes, window_bytes: int) -> None:
        """DATA came in, taking `window_bytes` of the window with its padding."""
        self._owed += window_bytes - len(data)
        if self._fault is not None:
            return
        before = self._reader.buffered
        self._kept += len(data)
        self._host.intake.held += len(data)
        try:
            messages = self._reader.feed(data)
            if self._host.intake.is_full:
                raise NO_ROOM
        except EtcdError as fault:
            self._fault = fault
            self._wake()
            return
        if messages:
            # What several messages took together is given back with the last.
            kept = before + len(data) - self._reader.buffered
            self._messages.extend((message, 0, 0) for message in messages[:-1])
            self._messages.append((messages[-1], kept, kept - self._advanced))
            self._advanced = 0
            self._arrivals.received += len(messages)
            self._host.registry.received_bytes += sum(map(len, messages))
            if self._consumer is None:
                self._wake()
            else:
                self._hand_over(self._consumer)
        if not self._messages:
            # A message longer than the window cannot wait to be taken.
            more = self._reader.buffered - self._advanced
            self._advanced += more
            self._give_back(more)

    def end(self) -> None:
        """The client has sent all it will."""
        self.ended = True
        if self._reader.buffered and self._fault is None:
            self._fault = Refused(Status.INTERNAL, "unexpected EOF")
        self._wake()

    def close(self) -> None:
        """The stream is over, and whatever it kept is let go."""
        self._release(self._kept)
        self._messages.clear()
        self.discard()

    def _release(self, count: int) -> None:
        self._kept -= count
        self._host.intake.held -= count

    def _give_back(self, count: int) -> None:
        """The peer may send `count` bytes more; it is told when that is much."""
        self._owed += count
        if self._owed * 2 >= self._window and not self._h2_stream.closed and not self.ended:
            self._host.h2.increment_flow_control_window(self._owed, self.stream_id)
            self._owed = 0
            self._host.wake_writer()

    def _wake(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            trio.lowlevel.reschedule(receiver)
