"""How long removals took, in milliseconds, as etcd counts them."""

from __future__ import annotations

from wire.durations import Durations, doubling


class CompactionTimes:
    """Of all removals since the start."""

    def __init__(self) -> None:
        self.steps = Durations(doubling(1, 13))  # milliseconds, in which nobody else is served
        self.runs = Durations(doubling(100, 14))  # milliseconds, from the first step to the last
        self.indexed = Durations(doubling(0.5, 14))  # milliseconds, to find what to look at
        self.removed = 0  # rows
        self.finished_at: float | None = None  # Trio time
