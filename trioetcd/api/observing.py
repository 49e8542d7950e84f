"""Looking at every call of a registry, for those who asked for it: handlers are wrapped.

Nobody else pays for it, which is why this is not in the path of a call itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import trio

from wire.grpc.service import (
    Answerer,
    BatchHandler,
    Context,
    Method,
    Registry,
    ServerStream,
    UnaryCall,
)
from wire.http2.defects import refusal_of
from wire.status import Status


class Ended(NamedTuple):
    """A call that is over; of a stream, `payload` and `message` are empty."""

    method: Method
    context: Context
    payload: bytes
    seconds: float
    status: Status
    message: bytes  # if it was answered
    error: str  # if it was refused
    caller: str = ""  # what `Observer.caller` said before it began


class Observer(Protocol):
    """Nothing of it waits but `room`."""

    def caller(self, context: Context) -> str:
        """Who calls, asked before a call that may change that; empty: ask again afterwards."""
        ...

    def ended(self, call: Ended) -> None: ...

    def received(self, method: Method, context: Context, message: bytes) -> None:
        """On a stream."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether calls should wait for it."""
        ...

    async def room(self) -> None: ...


def observe(registry: Registry, observer: Observer) -> None:
    """From now on; before the registry is served."""
    batches: dict[BatchHandler, BatchHandler] = {}  # whose calls are to stay together
    for key, method in registry.methods.items():
        if method.batch is not None:
            if method.batch not in batches:
                batches[method.batch] = _Batch(method.batch, observer)
            registry.methods[key] = replace(method, batch=batches[method.batch])
        elif method.unary is not None:
            registry.methods[key] = replace(method, unary=_unary(method, observer))
        else:
            registry.methods[key] = replace(method, stream=_stream(method, observer))


def _unary(method: Method, observer: Observer) -> Callable[[UnaryCall], Awaitable[bytes]]:
    handler = method.unary
    assert handler is not None

    async def run(call: UnaryCall) -> bytes:
        if observer.is_full:
            await observer.room()
        began, caller = trio.current_time(), observer.caller(call.context)
        status, message, error = Status.CANCELLED, b"", ""
        try:
            message = await handler(call)
            status = Status.OK
            return message
        except Exception as failure:
            status, error = _status_of(failure), str(failure)
            raise
        finally:
            took = trio.current_time() - began
            observer.ended(
                Ended(method, call.context, call.payload, took, status, message, error, caller)
            )

    return run


def _stream(method: Method, observer: Observer) -> Callable[[ServerStream], Awaitable[None]]:
    handler = method.stream
    assert handler is not None

    async def run(stream: ServerStream) -> None:
        began = trio.current_time()
        status, error = Status.CANCELLED, ""
        try:
            await handler(_Stream(stream, method, observer))
            status = Status.OK
        except Exception as failure:
            status, error = _status_of(failure), str(failure)
            raise
        finally:
            took = trio.current_time() - began
            observer.ended(Ended(method, stream.context, b"", took, status, b"", error))

    return run


def _status_of(failure: Exception) -> Status:
    refusal = refusal_of(failure)
    return Status.INTERNAL if refusal is None else refusal.status


class _Stream:
    """A `ServerStream` whose messages are seen as they are received."""

    def __init__(self, stream: ServerStream, method: Method, observer: Observer) -> None:
        self._stream = stream
        self._method = method
        self._observer = observer
        self.context = stream.context

    @property
    def unsent(self) -> int:
        return self._stream.unsent

    async def send(self, message: bytes) -> None:
        await self._stream.send(message)

    def send_framed(self, data: bytes, messages: int = 1) -> None:
        self._stream.send_framed(data, messages)

    async def drained(self, below: int) -> None:
        await self._stream.drained(below)

    async def consume(self, consumer: Callable[[bytes], None]) -> None:
        await self._stream.consume(consumer)

    async def receive(self) -> bytes | None:
        message = await self._stream.receive()
        if message is not None:
            self._observer.received(self._method, self.context, message)
        return message


class _Batch:
    """A batch handler whose calls' answers are seen."""

    def __init__(self, handler: BatchHandler, observer: Observer) -> None:
        self._handler = handler
        self._observer = observer

    def submit(self, calls: list[UnaryCall]) -> Awaitable[None] | None:
        seen = _Answers(calls[0].connection, self._observer)  # they came in one chunk
        for call in calls:
            call.connection = seen
        wait = self._handler.submit(calls)
        return self._both(wait) if self._observer.is_full else wait

    async def _both(self, wait: Awaitable[None] | None) -> None:
        if wait is not None:
            await wait
        await self._observer.room()


class _Answers:
    """The `Answerer` of one chunk's calls."""

    def __init__(self, connection: Answerer, observer: Observer) -> None:
        self._connection = connection
        self._observer = observer
        self._began = trio.current_time()
        self.hold = connection.hold
        self.release = connection.release
        self.room = connection.room

    @property
    def is_backlogged(self) -> bool:
        return self._connection.is_backlogged

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self._ended(call, Status.OK, message, "")
        self._connection.answer(call, message)

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        self._ended(call, status, b"", text)
        self._connection.refuse(call, status, text)

    def _ended(self, call: UnaryCall, status: Status, message: bytes, error: str) -> None:
        took = trio.current_time() - self._began
        self._observer.ended(
            Ended(call.method, call.context, call.payload, took, status, message, error)
        )
