"""When to tell which watchers how far they are, though nothing has happened.

Pure.  Each stream that has such watchers has its own beat, with some jitter, so that watchers
made at once (by a client that came back) are not all told at once.
Source: etcd server/etcdserver/api/v3rpc/watch.go (GetProgressReportInterval).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from sortedcontainers import SortedDict

from actors.watch.watcher import Stream, Watcher

DEFAULT_INTERVAL = 600.0  # seconds; etcd's
MIN_INTERVAL = 0.1  # seconds; etcd's
JITTER = 0.1  # of the interval, on top
NEVER = float("inf")


class Ticks:
    """Invariant: a stream is in `_beats` exactly while it has watchers that want to be told."""

    def __init__(self, rng: random.Random, interval: float = DEFAULT_INTERVAL) -> None:
        """`interval` in seconds; shorter ones than MIN_INTERVAL are that long."""
        self._rng = rng
        self._interval = max(interval, MIN_INTERVAL)
        self._beats: SortedDict = SortedDict()  # (time, stream number) -> stream

    @property
    def next_time(self) -> float:
        return float(self._beats.peekitem(0)[0][0]) if self._beats else NEVER

    def add(self, watcher: Watcher, now: float) -> None:
        stream = watcher.stream
        if not stream.notified:
            self._plan(stream, now)
        stream.notified[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Nothing happens when it never wanted to be told."""
        stream = watcher.stream
        if watcher in stream.notified:
            del stream.notified[watcher]
            if not stream.notified:
                del self._beats[stream.next_tick, stream.number]

    def due(self, now: float) -> Iterator[Watcher]:
        """The watchers of every stream whose time has come; its next beat is planned."""
        while self._beats and self.next_time <= now:
            stream = self._beats.popitem(0)[1]
            self._plan(stream, now)
            yield from stream.notified

    def _plan(self, stream: Stream, now: float) -> None:
        stream.next_tick = now + self._interval * (1 + JITTER * self._rng.random())
        self._beats[stream.next_tick, stream.number] = stream
