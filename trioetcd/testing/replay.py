"""Check a history against the log of all changes, which every write's revision points into.

What the servers hold in the end is a list of changes by revision.  Every known write must be in
it where it was told to be; every change must have been asked for, once; every read must have
seen what the changes up to its revision make; and revisions never run against time.  Together
that is strict serializability, also of transactions, and takes one pass instead of a search.
A lost write, a stale read, a write applied twice, a split brain: each breaks one of the four.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from trioetcd.testing.checker import Wrong
from trioetcd.testing.history import (
    NEVER,
    Delete,
    Event,
    Found,
    Get,
    Operation,
    Put,
    PutAll,
    Request,
    Swap,
    Written,
    is_serializable,
)

Log = Mapping[int, Sequence[Event]]  # what happened at each revision
FIRST_REVISION = 1  # of an empty store


def log_of(events: Iterable[Event]) -> dict[int, tuple[Event, ...]]:
    """By revision; raises Wrong where a revision has a key twice or the numbers have a gap."""
    log: dict[int, tuple[Event, ...]] = {}
    for event in events:
        log[event.revision] = (*log.get(event.revision, ()), event)
    for revision, changes in log.items():
        if len({event.key for event in changes}) < len(changes):
            raise Wrong(f"revision {revision} changes a key twice: {changes}")
    if log and sorted(log) != list(range(FIRST_REVISION + 1, max(log) + 1)):
        raise Wrong(f"the log has gaps: {sorted(log)}")
    return log


def check_replay(operations: Sequence[Operation], log: Log, expired: Iterable[bytes] = ()) -> None:
    """`expired` are the keys that a lease may take away without anybody asking.

    Raises:
        Wrong
    """
    may_vanish = frozenset(expired)
    states = _States(log)
    open_changes = {revision: tuple(changes) for revision, changes in log.items()}
    for one in operations:
        if isinstance(one.result, Written):
            _check_write(one, one.result, states, open_changes)
        elif isinstance(one.result, Found):
            _check_read(one, one.result, states)
    _explain(open_changes, operations, may_vanish, states)
    check_time(operations)


class _States:
    """What each key was at each revision."""

    def __init__(self, log: Log) -> None:
        self.last = max(log, default=FIRST_REVISION)
        self._revisions: dict[bytes, list[int]] = {}
        self._events: dict[bytes, list[Event]] = {}
        for revision in sorted(log):
            for event in log[revision]:
                self._check_version(event)
                self._revisions.setdefault(event.key, []).append(revision)
                self._events.setdefault(event.key, []).append(event)

    def _check_version(self, event: Event) -> None:
        before = self.at(event.key, event.revision - 1)
        if event.value is None:
            if before is None:
                raise Wrong(f"{event} deletes what is not there")
        elif event.version != (1 if before is None else before.version + 1):
            raise Wrong(f"{event} does not follow {before}")

    def at(self, key: bytes, revision: int) -> Event | None:
        """The newest change of a key up to a revision; None if it is not there."""
        place = bisect_right(self._revisions.get(key, []), revision)
        event = self._events[key][place - 1] if place else None
        return None if event is None or event.value is None else event


def _check_write(
    one: Operation,
    result: Written,
    states: _States,
    open_changes: dict[int, tuple[Event, ...]],
) -> None:
    request = one.request
    if isinstance(request, Delete) and not result.deleted:
        if states.at(request.key, result.revision) is not None:
            raise Wrong(f"{one} found nothing, but the key was there")
        return
    _check_comparison(one, result.revision, states)
    changes = open_changes.pop(result.revision, None)
    if changes is None or not _explains(request, changes):
        raise Wrong(f"{one} was acknowledged; the log has {changes} there")


def _check_comparison(one: Operation, revision: int, states: _States) -> None:
    if isinstance(one.request, Swap):
        before = states.at(one.request.key, revision - 1)
        if (before.value if before else None) != one.request.expected:
            raise Wrong(f"{one} was done, but before it there was {before}")


def _check_read(one: Operation, result: Found, states: _States) -> None:
    assert isinstance(one.request, Get | Swap)
    if result.revision > states.last:
        raise Wrong(f"{one} saw revision {result.revision}; the log ends at {states.last}")
    seen = states.at(one.request.key, result.revision)
    wanted = (None, 0, 0) if seen is None else (seen.value, seen.revision, seen.version)
    if result[1:] != wanted:
        raise Wrong(f"{one} at a revision where there was {seen}")
    if isinstance(one.request, Swap) and result.value == one.request.expected:
        raise Wrong(f"{one} was refused, but had what it expected")


def _explains(request: Request, changes: Sequence[Event]) -> bool:
    made = [(event.key, event.value) for event in changes]
    match request:
        case Put(key, value, lease):
            return made == [(key, value)] and changes[0].lease == lease
        case Swap(key, _, value):
            return made == [(key, value)]
        case Delete(key):
            return made == [(key, None)]
        case PutAll(pairs):
            return sorted(made, key=lambda one: one[0]) == sorted(pairs)
    return False


def _explain(
    changes: dict[int, tuple[Event, ...]],
    operations: Sequence[Operation],
    may_vanish: frozenset[bytes],
    states: _States,
) -> None:
    """Every change that no known write claims is an unknown one's, and each of those does one.

    Values are unique to the write that puts them, so a put is known by what it put; deletions
    of unknown fate are counted.
    """
    unknown = [one for one in operations if not one.is_known]
    deletions = Counter(one.request.key for one in unknown if isinstance(one.request, Delete))
    by_value = {_mark(one.request): one for one in unknown if _mark(one.request)}
    done = _Horizon(operations)
    for revision, events in sorted(changes.items()):
        if all(event.value is None and event.key in may_vanish for event in events):
            continue
        first = events[0]
        if first.value is None:
            deletions[first.key] -= 1
            if len(events) > 1 or deletions[first.key] < 0:
                raise Wrong(f"nobody asked for {events}")
            continue
        cause = by_value.pop((first.key, first.value), None)
        if cause is None or not _explains(cause.request, events):
            raise Wrong(f"nobody asked for {events}, or it was done twice")
        _check_comparison(cause, revision, states)
        if revision <= done.before(cause.called):
            raise Wrong(f"{events} came before it was asked for: {cause}")


def _mark(request: Request) -> tuple[bytes, bytes] | None:
    if isinstance(request, Put | Swap):
        return request.key, request.value
    if isinstance(request, PutAll):
        return request.pairs[0]
    return None


class _Horizon:
    """The latest revision that anybody had been told of at a time."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._times: list[float] = []
        self._revisions: list[int] = []
        highest = 0
        known = (one for one in operations if one.result is not None)
        for one in sorted(known, key=lambda one: one.returned):
            assert one.result is not None
            highest = max(highest, one.result.revision)
            self._times.append(one.returned)
            self._revisions.append(highest)

    def before(self, time: float) -> int:
        place = bisect_right(self._times, time)
        # What returned at this very moment may have been at once with it.
        while place and self._times[place - 1] == time != NEVER:
            place -= 1
        return self._revisions[place - 1] if place else 0


def check_time(operations: Sequence[Operation]) -> None:
    """What began after something had ended saw its revision; a write came after it.

    Raises:
        Wrong
    """
    done = _Horizon(operations)
    for one in operations:
        if one.result is None or is_serializable(one):
            continue
        known = done.before(one.called)
        changed = isinstance(one.result, Written) and (
            not isinstance(one.request, Delete) or one.result.deleted > 0
        )
        if one.result.revision < known or (changed and one.result.revision == known):
            raise Wrong(f"{one}, but revision {known} had been seen before it was called")
