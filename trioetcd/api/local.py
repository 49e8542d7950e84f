"""Calls on registered methods, made by this process itself.

So whatever watches over calls by gRPC (the gate, permissions, quotas, counters) watches over
these too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import trio
from google.protobuf.message import Message

from wire.errors import DeadlineExceeded, EtcdError, Refused
from wire.grpc.framing import MessageReader
from wire.grpc.service import Context, Method, Registry, UnaryCall
from wire.status import Status

MESSAGE_BYTES = (1 << 31) - 1  # of one that is sent; gRPC's own limit
UNSENT_BYTES = 256 * 1024  # at which `send` waits


class Desk:
    """Where one call's answer arrives: what a connection is to a call by gRPC."""

    is_backlogged = False

    def __init__(self) -> None:
        self.message: bytes | None = None
        self.error: EtcdError | None = None
        self.answered = trio.Event()

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self.message = message
        self.answered.set()

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        self.error = Refused(status, text)
        self.answered.set()

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def call_unary(method: Method, context: Context, request: bytes) -> bytes:
    """The answer's bytes; counted like any call.  Raises EtcdError."""
    arrivals = method.counts.of(context.metadata)
    arrivals.started += 1
    arrivals.received += 1
    try:
        message = await _call(method, context, request)
    except EtcdError as error:
        method.counts.end(error.status)
        raise
    method.counts.ok += 1
    return message


async def _call(method: Method, context: Context, request: bytes) -> bytes:
    deadline = None if context.timeout is None else trio.current_time() + context.timeout
    desk = Desk()
    call = UnaryCall(desk, 0, method, context, request, deadline)
    with trio.CancelScope(deadline=deadline or float("inf")) as scope:
        try:
            if method.batch is not None:
                wait = method.batch.submit([call])
                if wait is not None:
                    await wait
                await desk.answered.wait()
            elif method.unary is not None:
                call.reply(await method.unary(call))
        except EtcdError as error:
            call.refuse(error)
        finally:
            call.closed = True
    if scope.cancelled_caught:
        desk.error = DeadlineExceeded()
    if desk.message is None:
        raise desk.error or Refused(Status.INTERNAL, "no answer")
    return desk.message


class Caller:
    """Makes calls in the name of whoever makes one: with its metadata, and as if from there.

    They are part of that call, and not counted.
    """

    def __init__(self, registry: Registry, context: Context) -> None:
        self._registry = registry
        self._context = replace(context, timeout=None)

    def _method(self, path: str) -> tuple[Method, Context]:
        return self._registry.methods[path.encode()], replace(self._context, path=path)

    async def unary(self, path: str, request: Message) -> bytes:
        """Raises EtcdError: the refusal's words, and no code, as etcd's services on top of
        others have it."""
        method, context = self._method(path)
        try:
            return await _call(method, context, request.SerializeToString())
        except EtcdError as refusal:
            raise Refused(Status.UNKNOWN, str(refusal)) from refusal

    @asynccontextmanager
    async def stream(self, path: str, *requests: Message) -> AsyncIterator[LocalStream]:
        """Ends with the block."""
        method, context = self._method(path)
        stream = LocalStream(context, [one.SerializeToString() for one in requests])
        refusal: EtcdError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.serve, method)
            try:
                yield stream
            except EtcdError as error:  # which a nursery would wrap up
                refusal = error
            nursery.cancel_scope.cancel()
        if refusal is not None:
            raise refusal


class LocalStream:
    """A `ServerStream` whose client is in this process."""

    def __init__(self, context: Context, requests: Sequence[bytes]) -> None:
        self.context = context
        self._requests = deque(requests)
        self._reader = MessageReader(MESSAGE_BYTES)
        self._messages: deque[bytes] = deque()
        self._unsent = 0
        self._stirred = trio.lowlevel.ParkingLot()
        self._ended = False
        self.error: EtcdError | None = None  # what the handler has ended with

    # -- The handler's side

    async def receive(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._requests.popleft() if self._requests else None

    async def consume(self, consumer: Callable[[bytes], None]) -> None:
        await trio.lowlevel.checkpoint()
        while self._requests:
            consumer(self._requests.popleft())

    async def send(self, message: bytes) -> None:
        await self.drained(UNSENT_BYTES)
        self._put(message)

    def send_framed(self, data: bytes, messages: int = 1) -> None:
        for message in self._reader.feed(data):
            self._put(message)

    def _put(self, message: bytes) -> None:
        self._messages.append(message)
        self._unsent += len(message)
        self._stirred.unpark_all()

    @property
    def unsent(self) -> int:
        return self._unsent

    async def drained(self, below: int) -> None:
        while self._unsent >= below:
            await self._stirred.park()

    # -- The client's side

    async def serve(self, method: Method) -> None:
        """Run the method's handler; `error` is what it ends with."""
        assert method.stream is not None
        timeout = self.context.timeout
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                await method.stream(self)
        except trio.TooSlowError:
            self.error = DeadlineExceeded()
        except EtcdError as error:
            self.error = error
        self._ended = True
        self._stirred.unpark_all()

    async def next(self) -> bytes | None:
        """The next message; None after the last."""
        while not self._messages:
            if self._ended:
                return None
            await self._stirred.park()
        message = self._messages.popleft()
        self._unsent -= len(message)
        self._stirred.unpark_all()
        return message
