"""A streaming call on one of h2's streams, as its handler sees it."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import trio

from wire.errors import EtcdError
from wire.grpc.framing import MessageReader, frame
from wire.grpc.service import Context, Method
from wire.invariant import invariant

SEND_BUFFER_BYTES = 256 * 1024  # unsent, at which `send` begins to wait


class Sender(Protocol):
    """The connection's side."""

    def wake_writer(self) -> None: ...

    def consumed(self, stream_id: int, count: int) -> None:
        """Request bytes were taken in: the peer may send as many more."""
        ...


class Stream:
    """See `ServerStream`.  Request bytes are not acknowledged before the handler takes them, so
    a slow handler slows its client and nobody else."""

    def __init__(
        self, connection: Sender, stream_id: int, method: Method, context: Context, limit: int
    ) -> None:
        self.stream_id = stream_id
        self.method = method
        self.context = context
        self.scope = trio.CancelScope()
        self.pending = bytearray()  # to be sent, as windows allow
        self.headers_sent = False
        self.finished = False  # the handler is done; only trailers are missing
        self._connection = connection
        self._reader = MessageReader(limit, context.encoding)
        self._messages: deque[tuple[bytes, int]] = deque()  # with the window bytes each took
        self._fault: EtcdError | None = None
        self._ended = False
        self._owed = 0  # window bytes of a message that is not complete
        self._receiver: trio.lowlevel.Task | None = None
        self._room = trio.lowlevel.ParkingLot()

    # -- The handler's side

    async def receive(self) -> bytes | None:
        while not self._messages:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                await trio.lowlevel.checkpoint()
                return None
            await self._wait()
        message, taken = self._messages.popleft()
        self._connection.consumed(self.stream_id, taken)
        return message

    async def _wait(self) -> None:
        invariant(self._receiver is None, "two tasks receive from one stream")
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def send(self, message: bytes) -> None:
        await self.drained(SEND_BUFFER_BYTES)
        self.method.counts.sent += 1
        self.send_framed(frame(message))

    def send_framed(self, data: bytes) -> None:
        self.pending += data
        self._connection.wake_writer()

    @property
    def unsent(self) -> int:
        return len(self.pending)

    async def drained(self, below: int) -> None:
        while len(self.pending) >= below:
            await self._room.park()

    # -- The connection's side

    def feed(self, data: bytes, window_bytes: int) -> None:
        """DATA came in, taking `window_bytes` of the window with its padding."""
        self._owed += window_bytes
        try:
            messages = self._reader.feed(data)
        except EtcdError as fault:
            self._fault = fault
            messages = []
        for number, message in enumerate(messages):
            # The window that several messages took together is given back with the last.
            owed = self._owed if number == len(messages) - 1 else 0
            self._messages.append((message, owed))
            self.method.counts.received += 1
        if messages:
            self._owed = 0
        elif self._owed > 16384:  # a long message: let the rest of it come
            self._connection.consumed(self.stream_id, self._owed)
            self._owed = 0
        if messages or self._fault:
            self._wake()

    def end(self) -> None:
        """The client has sent all it will."""
        self._ended = True
        self._wake()

    def took(self, count: int) -> None:
        """The writer has sent that much of `pending`."""
        del self.pending[:count]
        if self._room:
            self._room.unpark_all()

    def _wake(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            trio.lowlevel.reschedule(receiver)
