"""Does a watch tell what happened: in order, once, all of it, and no revision in parts?

A watch that was resumed after a broken connection is one watch: what it promises holds over the
seam.  Source: etcd's documentation of the watch guarantees (ordered, unique, reliable, atomic,
resumable, bookmarkable).
"""

from __future__ import annotations

from trioetcd.testing.checker import Wrong
from trioetcd.testing.history import Delivery, Event, Watching
from trioetcd.testing.replay import Log


def check_watch(watching: Watching, log: Log, complete_to: int | None = None) -> None:
    """`complete_to` is a revision up to which everything must have come by now.

    Raises:
        Wrong
    """
    seen = _check_order(watching)
    wanted = [
        event
        for revision in sorted(log)
        if revision >= watching.start_revision
        for event in log[revision]
        if watching.covers(event.key)
    ]
    if invented := set(seen) - set(wanted):
        raise Wrong(f"{_name(watching)} saw what never was: {sorted(invented, key=_place)}")
    last = seen[-1].revision if seen else 0
    _check_complete(watching, seen, [event for event in wanted if event.revision <= last])
    if complete_to is not None:
        due = [event for event in wanted if event.revision <= complete_to]
        _check_complete(watching, [event for event in seen if event.revision <= complete_to], due)
    _check_progress(watching, wanted)


def _name(watching: Watching) -> str:
    return f"the watch of [{watching.key!r}, {watching.range_end!r}) from {watching.start_revision}"


def _check_order(watching: Watching) -> list[Event]:
    """All events, which come in order, none twice, and each revision in one response."""
    seen: list[Event] = []
    reached = watching.start_revision - 1  # the revision that is told in full
    fragments: list[Event] = []
    for delivery in watching.deliveries:
        fragments += delivery.events
        if delivery.is_fragment:
            continue
        _check_response(watching, delivery, fragments, reached)
        if fragments:
            reached = fragments[-1].revision
        seen += fragments
        fragments = []
    return seen + fragments


def _check_response(
    watching: Watching, delivery: Delivery, events: list[Event], reached: int
) -> None:
    revisions = [event.revision for event in events]
    if revisions != sorted(revisions):
        raise Wrong(f"{_name(watching)} is out of order: {events}")
    if len({(event.revision, event.key) for event in events}) < len(events):
        raise Wrong(f"{_name(watching)} tells something twice: {events}")
    if revisions and revisions[0] <= reached:
        raise Wrong(f"{_name(watching)} had told all of {reached}, and now {events[0]}")
    if revisions and revisions[-1] > delivery.revision:
        raise Wrong(f"{_name(watching)}: {events[-1]} in a response of {delivery.revision}")
    for event in events:
        if not watching.covers(event.key):
            raise Wrong(f"{_name(watching)} is told of {event}")


def _check_complete(watching: Watching, seen: list[Event], wanted: list[Event]) -> None:
    if seen != wanted:
        missing = sorted(set(wanted) - set(seen), key=_place)
        raise Wrong(f"{_name(watching)} missed {missing}" if missing else "keys out of order")


def _check_progress(watching: Watching, wanted: list[Event]) -> None:
    """A response without events says that everything up to its revision has been told."""
    told: set[Event] = set()
    for delivery in watching.deliveries:
        told.update(delivery.events)
        if not delivery.events:
            missing = [e for e in wanted if e.revision <= delivery.revision and e not in told]
            if missing:
                raise Wrong(f"{_name(watching)} was at {delivery.revision}, without {missing}")


def _place(event: Event) -> tuple[int, bytes]:
    return event.revision, event.key
