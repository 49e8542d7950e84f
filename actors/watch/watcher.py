"""Watchers, the streams they are on, and where streams lead.

Source: etcd server/storage/mvcc/watcher.go, watchable_store.go.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from actors.watch.encode import id_field

NO_PUTS, NO_DELETIONS, WITH_PREVIOUS = 1, 2, 4  # what a watcher may ask for


class Sink(Protocol):
    """Where one stream's responses go.  Nothing here blocks or raises."""

    def offer(self, frame: bytes) -> bool:
        """Take a framed response, whole, or (False) leave it because the sink is full.

        After a refusal the hub must be told when there is room again.
        """
        ...

    def push(self, frame: bytes) -> None:
        """Take a response whatever the fill: answers to requests, and later fragments.

        Whoever makes requests waits for room first, so these are few.
        """
        ...

    def stop(self) -> None:
        """The hub has ended: nothing will come any more."""
        ...


class State(Enum):
    """Where a watcher is, in history and among the hub's collections."""

    NEW = "new"  # in none yet
    SYNCED = "synced"  # has all there is; hears of changes as they happen
    FUTURE = "future"  # starts at a revision that is yet to come
    BEHIND = "behind"  # reads history, or waits for its turn to
    BLOCKED = "blocked"  # would be behind, but its sink is full
    COMPACTED = "compacted"  # ended by compaction; only its id is still taken


class Stream:
    """One client's stream of responses, and the watchers on it, by id."""

    __slots__ = (
        "blocked",
        "is_closed",
        "next_id",
        "next_tick",
        "notified",
        "number",
        "sink",
        "watchers",
    )

    def __init__(self, sink: Sink, number: int) -> None:
        self.sink = sink
        self.number = number
        self.is_closed = False  # the client has gone, or the hub has
        self.watchers: dict[int, Watcher] = {}
        self.next_id = 0
        self.blocked: dict[Watcher, None] = {}  # while there are any, the sink counts as full
        self.notified: dict[Watcher, None] = {}  # those that want to hear of progress
        self.next_tick = 0.0  # when they do; meaningless while there are none

    def free_id(self) -> int:
        """An id for a watch whose client left the choice to us: 0, 1, 2, … but those taken."""
        while self.next_id in self.watchers:
            self.next_id += 1
        self.next_id += 1
        return self.next_id - 1


class Watcher:
    """Invariant: what it wants below `next_revision` was sent (while SYNCED: all there is)."""

    __slots__ = (
        "end",
        "fragment",
        "id_field",
        "is_quiet",
        "key",
        "next_revision",
        "options",
        "start_revision",
        "state",
        "stream",
        "watch_id",
    )

    def __init__(
        self,
        stream: Stream,
        watch_id: int,
        key: bytes,
        end: bytes | None = b"",
        *,
        start_revision: int,
        next_revision: int,
        options: int = 0,
        fragment: bool = False,
    ) -> None:
        """Watches [key, end); an empty `end` is the key alone, and None no end at all.

        `start_revision` as the client gave it, `next_revision` what it comes to.
        """
        self.stream = stream
        self.watch_id = watch_id
        self.id_field = id_field(watch_id)
        self.key = key
        self.end = end
        self.options = options
        self.fragment = fragment
        self.start_revision = start_revision
        self.next_revision = next_revision
        self.state = State.NEW
        self.is_quiet = True  # nothing was sent since the last progress tick
