"""How long the log's fdatasyncs took, in plain numbers; whoever exports them reads them.

Source: etcd server/storage/wal/metrics.go.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

FSYNC_BOUNDS = tuple(0.001 * 2**n for n in range(14))  # seconds


class Durations:
    """A histogram.  `counts[n]` are at most `bounds[n]` seconds and more than the bound before.

    The last count is of those beyond every bound.
    """

    def __init__(self, bounds: Sequence[float] = FSYNC_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total_seconds = 0.0

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_seconds += seconds
