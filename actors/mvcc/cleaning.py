"""The removal under way, if any: begun when it is due, stepped between other work, timed."""

from __future__ import annotations

from collections.abc import Callable

from actors.mvcc.compaction import Compaction, is_due
from actors.mvcc.compaction_times import CompactionTimes
from actors.mvcc.pins import Pins
from actors.mvcc.store import Store


class Cleaning:
    def __init__(
        self, store: Store, pins: Pins, times: CompactionTimes, clock: Callable[[], float]
    ) -> None:
        """`clock` counts seconds.  What somebody reads is pinned, and no removal begins below."""
        self._store = store
        self._pins = pins
        self._times = times
        self._clock = clock
        self._running: Compaction | None = None
        self._since = 0.0

    @property
    def is_running(self) -> bool:
        return self._running is not None

    @property
    def is_due(self) -> bool:
        return is_due(self._store) and not self._pins.below(self._store.compact_revision)

    def step(self, work: int) -> bool:
        """Go on with the removal, or begin one that is due; False if there is nothing to do."""
        if self._running is None:
            if not self.is_due:
                return False
            self._since = self._clock()
            self._running = Compaction(self._store)
            self._times.indexed.note(1000 * (self._clock() - self._since))
        began, removed = self._clock(), self._running.removed
        goes_on = self._running.step(work)
        now = self._clock()
        self._times.steps.note(1000 * (now - began))
        self._times.removed += self._running.removed - removed
        if not goes_on:
            self._times.runs.note(1000 * (now - self._since))
            self._times.finished_at = now
            self._running = None
        return True

    def abandon(self) -> None:
        """The store is replaced: what was to be removed is not in it."""
        self._running = None
