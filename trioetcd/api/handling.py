"""How long calls took to be handled: `--metrics=extensive`.

A clock read a call is too much for everybody to pay, so calls are looked at only where this was
asked for.
Source: go-grpc-prometheus server_metrics.go (EnableHandlingTimeHistogram).
"""

from __future__ import annotations

from trioetcd.api.observing import Ended
from wire.durations import Durations
from wire.grpc.service import Context, Method, Registry

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds; Prometheus'


class HandlingTimes:
    """By method; an `Observer`."""

    is_full = False

    def __init__(self) -> None:
        self.durations: dict[str, Durations] = {}  # by path

    def expect(self, registry: Registry) -> None:
        """Methods are shown before they are called, too."""
        for method in registry.methods.values():
            self.durations[method.path] = Durations(BOUNDS)

    def caller(self, context: Context) -> str:
        return ""

    def ended(self, call: Ended) -> None:
        self.durations[call.method.path].note(call.seconds)

    def received(self, method: Method, context: Context, message: bytes) -> None:
        pass

    async def room(self) -> None:
        pass
