"""How long calls took to be handled: `--metrics=extensive`.

A clock read a call is too much for everybody to pay, so the handlers are wrapped only where this
was asked for.
Source: go-grpc-prometheus server_metrics.go (EnableHandlingTimeHistogram).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from wire.durations import Durations
from wire.grpc.service import (
    Answerer,
    BatchHandler,
    Method,
    Registry,
    ServerStream,
    UnaryCall,
)
from wire.status import Status

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; Prometheus'


class HandlingTimes:
    """By method."""

    def __init__(self) -> None:
        self.durations: dict[str, Durations] = {}  # by path

    def watch(self, registry: Registry) -> None:
        """Time every method of a registry from now on; before it is served."""
        batches: dict[BatchHandler, BatchHandler] = {}  # whose calls are to stay together
        for key, method in registry.methods.items():
            times = self.durations[method.path] = Durations(BOUNDS)
            if method.batch is not None:
                if method.batch not in batches:
                    batches[method.batch] = _TimedBatch(method.batch, self.durations)
                registry.methods[key] = replace(method, batch=batches[method.batch])
            elif method.unary is not None:
                registry.methods[key] = replace(method, unary=_timed(method.unary, times))
            else:
                registry.methods[key] = _timed_stream(method, times)


def _timed(
    handler: Callable[[UnaryCall], Awaitable[bytes]], times: Durations
) -> Callable[[UnaryCall], Awaitable[bytes]]:
    async def run(call: UnaryCall) -> bytes:
        began = trio.current_time()
        try:
            return await handler(call)
        finally:
            times.note(trio.current_time() - began)

    return run


def _timed_stream(method: Method, times: Durations) -> Method:
    handler = method.stream
    assert handler is not None

    async def run(stream: ServerStream) -> None:
        began = trio.current_time()
        try:
            await handler(stream)
        finally:
            times.note(trio.current_time() - began)

    return replace(method, stream=run)


class _TimedBatch:
    """A batch handler whose calls are answered through a clock."""

    def __init__(self, handler: BatchHandler, durations: dict[str, Durations]) -> None:
        self._handler = handler
        self._durations = durations

    def submit(self, calls: list[UnaryCall]) -> Awaitable[None] | None:
        timed = _Timed(calls[0].connection, self._durations)  # they came in one chunk
        for call in calls:
            call.connection = timed
        return self._handler.submit(calls)


class _Timed:
    """An `Answerer` that notes when it answers."""

    def __init__(self, connection: Answerer, durations: dict[str, Durations]) -> None:
        self._connection = connection
        self._durations = durations
        self._began = trio.current_time()
        self.hold = connection.hold
        self.release = connection.release
        self.room = connection.room

    @property
    def is_backlogged(self) -> bool:
        return self._connection.is_backlogged

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self._note(call)
        self._connection.answer(call, message)

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        self._note(call)
        self._connection.refuse(call, status, text)

    def _note(self, call: UnaryCall) -> None:
        self._durations[call.method.path].note(trio.current_time() - self._began)
