"""/debug/profile?seconds=N: where the time goes, as text that flame graphs are made of.

In the place of Go's /debug/pprof, and served only with --enable-pprof.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs

import trio

from actors.kernel import Worker
from wire.http import HTTPRequest, HTTPResponse

DEFAULT_SECONDS, MOST_SECONDS = 10.0, 60.0
_TEXT = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]


class Sampler(Protocol):
    """`actors.kernel.sampler.Sampler`."""

    is_stopped: bool

    def run(self, seconds: float) -> None: ...

    def folded(self) -> str: ...


class ProfilePage:
    """Invariant: at most one profile is taken at a time."""

    def __init__(self, worker: Worker, sampler: Callable[[], Sampler]) -> None:
        """`worker` is nobody else's: a profile keeps its thread for as long as it lasts."""
        self._worker = worker
        self._sampler = sampler
        self._is_taking = False

    async def __call__(self, request: HTTPRequest) -> HTTPResponse:
        seconds = _seconds(request.query)
        if seconds is None:
            words = f"seconds must be a number above 0 and at most {MOST_SECONDS:g}\n"
            return HTTPResponse(400, words.encode(), list(_TEXT))
        if self._is_taking:
            return HTTPResponse(503, b"another profile is being taken\n", list(_TEXT))
        self._is_taking = True
        try:
            text = await self._take(seconds)
        finally:
            self._is_taking = False
        return HTTPResponse(200, text.encode(), list(_TEXT))

    async def _take(self, seconds: float) -> str:
        """The thread cannot be cancelled, so who is cancelled tells it to stop."""
        sampler = self._sampler()

        async def stop_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                sampler.is_stopped = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_cancelled)
            await self._worker.run(sampler.run, seconds)
            nursery.cancel_scope.cancel()
        return sampler.folded()


def _seconds(query: str) -> float | None:
    text = parse_qs(query).get("seconds", [str(DEFAULT_SECONDS)])[0]
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= MOST_SECONDS else None
