"""A client's calls as the connection tells them: one answer, or a stream of messages."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Protocol

import trio

from wire.errors import EtcdError, Refused
from wire.grpc.client_errors import Head, Unavailable, reset_error
from wire.grpc.framing import PREFIX, PREFIX_BYTES, MessageReader, decompress, frame, too_large
from wire.http2.client import Exchange
from wire.invariant import invariant
from wire.status import Status

SEND_BUFFER_BYTES = 256 * 1024  # of a stream, unsent, at which `send` begins to wait

_unpack = PREFIX.unpack_from


class Host(Protocol):
    """The connection that a call is on."""

    def cancel(self, exchange: Exchange[Head]) -> None:
        """Reset the stream, if it is not over."""
        ...

    def give_back(self, exchange: Exchange[Head], count: int) -> None: ...

    def send(self, exchange: Exchange[Head], data: bytes, *, end: bool) -> None: ...


class UnaryExchange(Exchange[Head]):
    """A call with one answer.  Whoever made it sleeps as `task` until `wake`."""

    __slots__ = ("_body", "_encoding", "_host", "_limit", "error", "message", "task")

    def __init__(self, host: Host, limit: int) -> None:
        """`limit` is the largest answer taken, in bytes."""
        super().__init__()
        self.task: trio.lowlevel.Task | None = None
        self.message: bytes | None = None
        self.error: EtcdError | None = None
        self._host = host
        self._limit = limit
        self._body: bytearray | None = None  # of an answer that is not in one frame
        self._encoding = b"identity"

    def head(self, head: Head, ended: bool) -> None:
        if ended:
            self._end(head.outcome())
        elif head.fault is not None:
            self._fail(head.fault)
        else:
            self._encoding = head.encoding

    def data(self, data: bytes, taken: int, ended: bool) -> None:
        if self._body is None and self.message is None and len(data) >= PREFIX_BYTES:
            compressed, size = _unpack(data)
            # The usual case: the whole answer in one frame, and trailers to come.
            if not compressed and len(data) == size + PREFIX_BYTES and not ended:
                if size > self._limit:
                    self._fail(too_large(size, self._limit))
                else:
                    self.message = data[PREFIX_BYTES:]
                return
        self._gather(data)
        if self.error is None:
            if ended:
                self._end(Head(()).outcome())
            else:
                self._host.give_back(self, taken)

    def _gather(self, data: bytes) -> None:
        """An answer in several frames, or one that is not right."""
        if not data:
            return
        if self.message is not None:
            self._fail(_not_one("more than one message"))
            return
        if self._body is None:
            self._body = bytearray()
        self._body += data
        if len(self._body) >= PREFIX_BYTES:
            _, size = _unpack(self._body)
            if size > self._limit:
                self._fail(too_large(size, self._limit))

    def _end(self, error: EtcdError | None) -> None:
        if error is None and self.message is None:
            try:
                self.message = self._whole()
            except EtcdError as fault:
                error = fault
        self.error = error
        self.wake()

    def _whole(self) -> bytes:
        body = bytes(self._body or b"")
        if len(body) < PREFIX_BYTES:
            raise _not_one("no message")
        flag, size = _unpack(body)
        if len(body) != size + PREFIX_BYTES:
            raise _not_one("no whole message" if len(body) < size else "more than one message")
        return decompress(flag, body[PREFIX_BYTES:], self._encoding, self._limit)

    def _fail(self, error: EtcdError) -> None:
        self.error = error
        self._host.cancel(self)
        self.wake()

    def was_reset(self, code: int) -> None:
        self.error = reset_error(code)
        self.wake()

    def was_lost(self, why: str, maybe_sent: bool) -> None:
        self.error = Unavailable(why, maybe_sent=maybe_sent)
        self.wake()

    def wake(self) -> None:
        if self.task is not None:
            task, self.task = self.task, None
            trio.lowlevel.reschedule(task)

    async def wait(self) -> bytes:
        """The answer.  Cancelling the wait cancels the call."""
        if self.error is None:
            self.task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self.error is not None:
            raise self.error
        invariant(self.message is not None, "a call has ended without an outcome")
        assert self.message is not None
        return self.message

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.task = None
        self._host.cancel(self)
        return trio.lowlevel.Abort.SUCCEEDED


def _not_one(what: str) -> Refused:
    return Refused(Status.INTERNAL, f"grpc: a unary call was answered with {what}")


class StreamExchange(Exchange[Head]):
    """A streaming call.  Messages not received hold the server's window: it waits, others do not.

    Use as `async with`; leaving cancels what is not over.
    """

    __slots__ = (
        "_encoding",
        "_error",
        "_host",
        "_is_over",
        "_limit",
        "_messages",
        "_pending",
        "_reader",
        "_receiver",
        "_room",
        "headers",
        "trailers",
    )

    def __init__(self, host: Host, limit: int) -> None:
        """`limit` is the largest message taken, in bytes."""
        super().__init__()
        self.headers: Head | None = None
        self.trailers: Head | None = None
        self._host = host
        self._reader = MessageReader(limit)
        self._limit = limit
        self._messages: deque[tuple[bytes, int]] = deque()  # with the window bytes each took
        self._pending = 0  # window bytes of a message that is not complete
        self._error: EtcdError | None = None
        self._is_over = False
        self._receiver: trio.lowlevel.Task | None = None
        self._room = trio.lowlevel.ParkingLot()

    # -- The caller's side

    async def send(self, message: bytes) -> None:
        """Send a message; waits while too much is unsent.

        Raises:
            EtcdError: the server has ended the call with this.
            trio.BrokenResourceError: it has ended it with OK.
        """
        await self.room()
        self.send_nowait(message)
        await trio.lowlevel.checkpoint()

    async def room(self) -> None:
        """Until `send` would not wait, or the call is over.  May be cancelled and tried again."""
        while self.unsent >= SEND_BUFFER_BYTES and not self._is_over:
            await self._room.park()

    def send_nowait(self, message: bytes) -> None:
        """The same without waiting; look at `unsent`."""
        if self._error is not None:
            raise self._error
        if self._is_over:
            raise trio.BrokenResourceError("the server has ended the stream")
        invariant(not self.ends, "sending after done_sending")
        self._host.send(self, frame(message), end=False)

    def done_sending(self) -> None:
        """No more messages from us; the server's may go on."""
        if not self.ends and not self._is_over:
            self._host.send(self, b"", end=True)

    async def receive(self) -> bytes | None:
        """The server's next message; None when it has ended the call with OK.

        Raises:
            EtcdError: it has ended it with this, or the connection is gone.
        """
        if not self._messages and not self._is_over:
            await self._wait()
        else:
            await trio.lowlevel.checkpoint()
        if self._messages:
            message, taken = self._messages.popleft()
            if not self._messages:  # now the rest of one that has begun may come
                taken += self._pending
                self._pending = 0
            self._host.give_back(self, taken)
            return message
        if self._error is not None:
            raise self._error
        return None

    async def _wait(self) -> None:
        invariant(self._receiver is None, "two tasks receive from one stream")
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def __aiter__(self) -> StreamExchange:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> StreamExchange:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the call, if the server has not."""
        if not self._is_over:
            self._host.cancel(self)
            self._finish(Refused(Status.CANCELLED, "context canceled"))

    # -- The connection's side

    def head(self, head: Head, ended: bool) -> None:
        if ended:
            self.trailers = head
            self._finish(head.outcome())
        elif head.fault is not None:
            self._fail(head.fault)
        elif self.headers is None and not head.is_informational:
            self.headers = head
            self._reader = MessageReader(self._limit, head.encoding)

    def data(self, data: bytes, taken: int, ended: bool) -> None:
        self._pending += taken
        try:
            messages = self._reader.feed(data)
        except EtcdError as fault:
            self._fail(fault)
            return
        for number, message in enumerate(messages):
            # The window that several messages took together is given back with the last.
            owed = self._pending if number == len(messages) - 1 else 0
            self._messages.append((message, owed))
        if messages:
            self._pending = 0
            self._wake()
        elif self._pending and not self._messages:
            # A long message, and somebody waits for it: let the rest of it come.
            self._host.give_back(self, self._pending)
            self._pending = 0
        if ended:
            self._finish(Head(()).outcome())

    def was_reset(self, code: int) -> None:
        # After its trailers a server may tell us not to send the rest; they came first.
        self._finish(reset_error(code))

    def was_lost(self, why: str, maybe_sent: bool) -> None:
        self._finish(Unavailable(why, maybe_sent=maybe_sent))

    def progressed(self) -> None:
        self._room.unpark_all()

    def _fail(self, error: EtcdError) -> None:
        self._host.cancel(self)
        self._finish(error)

    def _finish(self, error: EtcdError | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._room.unpark_all()
            self._wake()

    def _wake(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            trio.lowlevel.reschedule(receiver)
