"""Who wants to hear of which keys.

Watchers with the same wish share one `Interest`: a change is matched, and its event encoded,
once for all of them.  A thousand watchers of one range are one range.
Source: etcd server/storage/mvcc/watcher_group.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from actors.mvcc.feed import Event
from actors.watch.encode import event
from actors.watch.intervals import Intervals
from actors.watch.watcher import NO_DELETIONS, NO_PUTS, WITH_PREVIOUS, Watcher
from wire.pb import mvccpb

Previous = Callable[[bytes, int], bytes | None]  # a key's KeyValue before a revision


class Interest:
    """One wish, and the watchers that have it.

    `events` and their `revisions` are what the batch at hand holds for them.
    """

    __slots__ = (
        "events",
        "revisions",
        "skips_deletions",
        "skips_puts",
        "watchers",
        "with_previous",
    )

    def __init__(self, options: int) -> None:
        self.skips_puts = bool(options & NO_PUTS)
        self.skips_deletions = bool(options & NO_DELETIONS)
        self.with_previous = bool(options & WITH_PREVIOUS)
        self.watchers: dict[Watcher, None] = {}
        self.events: list[bytes] = []
        self.revisions: list[int] = []

    def clear(self) -> None:
        """The batch is sent."""
        self.events = []
        self.revisions = []


_Interests = dict[int, Interest]  # of one key or range: options -> interest


class Interests:
    """The wishes of many watchers, by key.

    Invariant: every watcher is in exactly one interest, and no interest is without watchers.
    """

    def __init__(self) -> None:
        self._by_key: dict[bytes, _Interests] = {}
        self._ranges: Intervals[_Interests] = Intervals()
        self._size = 0

    def __len__(self) -> int:
        """How many watchers there are."""
        return self._size

    def __iter__(self) -> Iterator[Watcher]:
        for here in (*self._by_key.values(), *self._ranges.values()):
            for interest in here.values():
                yield from interest.watchers

    def add(self, watcher: Watcher) -> None:
        here = self._at(watcher)
        if here is None:
            here = {}
            if watcher.end == b"":
                self._by_key[watcher.key] = here
            else:
                self._ranges.add(watcher.key, watcher.end, here)
        interest = here.get(watcher.options)
        if interest is None:
            interest = here[watcher.options] = Interest(watcher.options)
        interest.watchers[watcher] = None
        self._size += 1

    def remove(self, watcher: Watcher) -> None:
        here = self._at(watcher)
        assert here is not None
        interest = here[watcher.options]
        del interest.watchers[watcher]
        self._size -= 1
        if interest.watchers:
            return
        del here[watcher.options]
        if here:
            return
        if watcher.end == b"":
            del self._by_key[watcher.key]
        else:
            self._ranges.remove(watcher.key, watcher.end)

    def _at(self, watcher: Watcher) -> _Interests | None:
        if watcher.end == b"":
            return self._by_key.get(watcher.key)
        return self._ranges.get(watcher.key, watcher.end)

    def of(self, key: bytes) -> list[Interest]:
        """Those a change of `key` concerns."""
        at_key = self._by_key.get(key)
        found = [] if at_key is None else list(at_key.values())
        if self._ranges:
            for here in self._ranges.holding(key):
                found += here.values()
        return found

    def gather(self, changes: Iterable[Event], previous: Previous) -> list[Interest]:
        """File a batch's events with those they concern, which are returned, each once.

        An event is encoded once, or twice if some want the previous value and some do not.
        """
        touched = []
        for main, _, key, keyvalue, is_deletion in changes:
            plain = full = b""
            for interest in self.of(key):
                if interest.skips_deletions if is_deletion else interest.skips_puts:
                    continue
                if not interest.events:
                    touched.append(interest)
                if not interest.with_previous:
                    plain = plain or event(main, keyvalue, is_deletion)
                    interest.events.append(plain)
                else:
                    full = full or _with_previous(main, key, keyvalue, is_deletion, previous)
                    interest.events.append(full)
                interest.revisions.append(main)
        return touched


def _with_previous(
    main: int, key: bytes, keyvalue: bytes, is_deletion: bool, previous: Previous
) -> bytes:
    """An event with the key's value before it, but for a creation.

    A key that is deleted and put again in one transaction was there before, and yet is created.
    """
    before = previous(key, main)
    if before is not None and not is_deletion:
        is_creation = mvccpb.KeyValue.FromString(keyvalue).create_revision == main
        before = None if is_creation else before
    return event(main, keyvalue, is_deletion, before)
