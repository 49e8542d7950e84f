"""Watchers that read history: many at once, a bounded step at a time.

Reading history costs the same for one watcher as for hundreds, so they go in *rounds*: the
watcher that has waited longest, and those that need nothing older than it does and nothing
much newer, share one pass over the rows.  A round ends when it has caught up, or after some
steps, when those left go to the back of the queue: one watcher that starts a million
revisions ago delays nobody for long.
Source: etcd server/storage/mvcc/watchable_store.go (syncWatchers).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.mvcc.feed import Event
from actors.watch.interest import Interest, Interests, Previous
from actors.watch.watcher import State, Watcher

WATCHERS_PER_ROUND = 512  # etcd's
STEPS_PER_ROUND = 8
CHANGES_PER_STEP = 1000  # etcd sends at most so many revisions at once
FIRST_CHANGES = 64  # values may be large: the steps grow while they are not
STEP_BYTES = 1 << 20  # of changes; a step that had more halves the next

# Sends events to watchers, with the revision for the header; returns those whose sink is full.
Send = Callable[[Sequence[Watcher], Sequence[bytes], int], list[Watcher]]


class History(Protocol):
    """The store, as far as the past goes."""

    @property
    def revision(self) -> int: ...

    @property
    def compact_revision(self) -> int: ...

    def events(self, first: int, last: int, limit: int) -> list[Event]:
        """Changes in [first, last], in order: whole revisions, the earliest, about `limit`."""
        ...


@dataclass(slots=True)
class Outcome:
    """Watchers that a step has led out of here."""

    caught_up: list[Watcher] = field(default_factory=list)  # to the store's revision
    blocked: list[Watcher] = field(default_factory=list)
    compacted: list[Watcher] = field(default_factory=list)  # what they need is gone


class CatchUp:
    """Invariant: a watcher is BEHIND exactly if it is in the queue or in the round."""

    def __init__(self) -> None:
        self._queue: dict[Watcher, None] = {}  # first come, first served
        self._round: dict[Watcher, None] = {}
        self._interests = Interests()  # of those in the round
        self._at = 0  # what the round reads next
        self._steps_left = 0
        self._limit = FIRST_CHANGES  # changes to read in the next step

    def __len__(self) -> int:
        return len(self._queue) + len(self._round)

    def add(self, watcher: Watcher) -> None:
        watcher.state = State.BEHIND
        self._queue[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        if watcher in self._queue:
            del self._queue[watcher]
        else:
            del self._round[watcher]
            self._interests.remove(watcher)

    def step(self, history: History, previous: Previous, send: Send) -> Outcome:
        """Read and send a piece of history."""
        outcome = Outcome()
        if not self._round:
            self._begin_round()
        if self._at < history.compact_revision:
            self._drop_compacted(history.compact_revision, outcome)
        if not self._round:
            return outcome
        now = history.revision
        changes = history.events(self._at, now, self._limit)
        self._adapt(changes)
        for interest in self._interests.gather(changes, previous):
            for watcher in _send_each(interest, send, now):
                self.remove(watcher)
                outcome.blocked.append(watcher)
            interest.clear()
        self._at = changes[-1].main + 1 if changes else now + 1
        for watcher in self._round:
            watcher.next_revision = max(watcher.next_revision, self._at)
        self._steps_left -= 1
        if self._at > now:
            outcome.caught_up += self._end_round()
        elif not self._steps_left:
            self._queue |= self._end_round()
        return outcome

    def _begin_round(self) -> None:
        first = next(iter(self._queue))
        self._at = first.next_revision
        horizon = self._at + STEPS_PER_ROUND * CHANGES_PER_STEP
        for watcher in self._queue:
            if self._at <= watcher.next_revision <= horizon:
                self._round[watcher] = None
                if len(self._round) == WATCHERS_PER_ROUND:
                    break
        for watcher in self._round:
            del self._queue[watcher]
            self._interests.add(watcher)
        self._steps_left = STEPS_PER_ROUND

    def _end_round(self) -> dict[Watcher, None]:
        left, self._round = self._round, {}
        self._interests = Interests()
        return left

    def _drop_compacted(self, compact_revision: int, outcome: Outcome) -> None:
        for watcher in list(self._round):
            if watcher.next_revision < compact_revision:
                self.remove(watcher)
                outcome.compacted.append(watcher)
        if self._round:
            self._at = min(watcher.next_revision for watcher in self._round)

    def _adapt(self, changes: Sequence[Event]) -> None:
        if sum(len(change.keyvalue) for change in changes) > STEP_BYTES:
            self._limit = max(1, self._limit // 2)
        else:
            self._limit = min(CHANGES_PER_STEP, 2 * self._limit)


def _send_each(interest: Interest, send: Send, revision: int) -> list[Watcher]:
    """Send what was gathered, to each watcher from the revision it needs; returns the blocked."""
    by_start: dict[int, list[Watcher]] = {}
    for watcher in interest.watchers:
        start = bisect_left(interest.revisions, watcher.next_revision)
        by_start.setdefault(start, []).append(watcher)
    blocked = []
    for start, watchers in by_start.items():
        if start < len(interest.events):
            blocked += send(watchers, interest.events[start:], revision)
    return blocked
