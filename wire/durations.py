"""How long things took, in plain numbers; whoever exports them reads them.

Here because every layer measures something.  Source: etcd server/storage/wal/metrics.go.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def doubling(first: float, count: int) -> tuple[float, ...]:
    """Bounds of a histogram, each twice the one before."""
    return tuple(first * 2**n for n in range(count))


FSYNC_BOUNDS = doubling(0.001, 14)  # seconds


class Durations:
    """A histogram.  `counts[n]` are at most `bounds[n]` seconds and more than the bound before.

    The last count is of those beyond every bound.
    """

    __slots__ = ("bounds", "counts", "total_seconds")

    def __init__(self, bounds: Sequence[float] = FSYNC_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total_seconds = 0.0

    def note(self, seconds: float, times: int = 1) -> None:
        """`times` of something took `seconds` each."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.total_seconds += seconds * times
