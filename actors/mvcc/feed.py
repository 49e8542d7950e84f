"""What has just changed, for the watch hub: pushed by the store, pulled by the hub.

Holds the changes since the hub last took them, up to a size.  A hub that falls further behind
(or has just been restarted) reads the rest from the rows, like any watcher that starts in the
past.
"""

from __future__ import annotations

from typing import NamedTuple

LIMIT_BYTES = 32 << 20
EVENT_BYTES = 200  # what an event costs in memory beside its bytes


class Event(NamedTuple):
    """One change: the place of its row, the key, the stored KeyValue, whether it is a deletion."""

    main: int
    sub: int
    key: bytes
    keyvalue: bytes
    dead: bool


class Feed:
    """Invariant: while `wanted`, `events` holds every change of a revision >= `start`."""

    def __init__(self) -> None:
        self.wanted = False
        self.start = 0
        self.events: list[Event] = []
        self._bytes = 0

    def want(self, revision: int) -> None:
        """Begin to hold changes; the store is at `revision`."""
        self.wanted = True
        self._reset(revision + 1)

    def skip_to(self, revision: int) -> None:
        """The store is at `revision` without having changed one by one, or it need not be told."""
        self._reset(revision + 1)

    def unwant(self) -> None:
        """Nobody watches: hold nothing."""
        self.wanted = False
        self._reset(0)

    def add(self, event: Event) -> None:
        """Note a change; only called while `wanted`."""
        if event.main < self.start:
            return  # the rest of a revision whose beginning was dropped
        self.events.append(event)
        self._bytes += len(event.keyvalue) + EVENT_BYTES
        if self._bytes > LIMIT_BYTES:
            self._reset(event.main + 1)

    def take(self, revision: int) -> tuple[int, list[Event]]:
        """The first revision that is complete here, and the events since; the store is at
        `revision`, which the next events come after."""
        start, events = self.start, self.events
        self._reset(revision + 1)
        return start, events

    def _reset(self, start: int) -> None:
        self.start = start
        self.events = []
        self._bytes = 0
