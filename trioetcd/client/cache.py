"""A copy of all keys with a prefix, kept fresh: read it as often as you like.

    async with client.cache("config/") as config:
        timeout = config.text("config/timeout", "30")
        async for change in config.changes(): ...

It lists once and watches from there on; if what it missed was compacted it lists again, and tells
of the difference.  A reader of `changes` who is slow hears of a key's last change alone, so nobody
makes it hold more than the keys there are, twice.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import trio

from trioetcd.beside import beside
from trioetcd.client.base import BaseClient
from trioetcd.client.values import Data, KeyValue, to_bytes
from trioetcd.client.watch import Batch


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a key since its last change was told."""

    key: bytes
    before: KeyValue | None  # None: it was not there
    after: KeyValue | None  # None: it is gone

    @property
    def is_delete(self) -> bool:
        return self.after is None


class Cache:
    """A mapping from keys to what they are, in the order of the keys.

    Invariant: it is the store as it was at `revision`, as far as the prefix goes.
    """

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.revision = 0
        self._items: dict[bytes, KeyValue] = {}
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._moved = trio.lowlevel.ParkingLot()  # those who wait for a revision

    # -- What is there

    def get(self, key: Data) -> KeyValue | None:
        return self._items.get(to_bytes(key))

    def text(self, key: Data, default: str = "") -> str:
        """A value as UTF-8; `default` if there is none."""
        found = self.get(key)
        return default if found is None else found.text

    def __getitem__(self, key: Data) -> KeyValue:
        """Raises KeyError."""
        return self._items[to_bytes(key)]

    def __contains__(self, key: Data) -> bool:
        return to_bytes(key) in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[KeyValue]:
        """As they are now, in order; what changes meanwhile is not seen."""
        return iter([self._items[key] for key in sorted(self._items)])

    # -- What changes

    async def wait_revision(self, revision: int) -> None:
        """Until it is as the store was at this revision, or later: after a write, the write's.

        Other keys' changes do not move a cache on at once: the server tells of them every ten
        minutes, unless its --experimental-watch-progress-notify-interval is shorter.
        """
        while self.revision < revision:
            await self._moved.park()

    def changes(self) -> AsyncIterator[Change]:
        """What changes from now on.  Use it from one task at a time."""
        reader = _Reader()
        self._readers.add(reader)
        return reader

    def take(self, batch: Batch) -> None:
        """A batch of its watch."""
        if batch.listing is not None:
            found = {kv.key: kv for kv in batch.listing.items}
            for key in self._items.keys() - found.keys():
                self._set(key, None)
            for key, kv in found.items():
                self._set(key, kv)
        for event in batch.events:
            self._set(event.key, None if event.is_delete else event.kv)
        self.revision = batch.revision
        self._moved.unpark_all()

    def _set(self, key: bytes, after: KeyValue | None) -> None:
        before = self._items.get(key)
        if before == after:
            return
        if after is None:
            del self._items[key]
        else:
            self._items[key] = after
        for reader in self._readers:
            reader.tell(Change(key, before, after))


class _Reader:
    """Changes that were not read yet, one a key, the longest waiting first."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Change] = {}
        self._told = trio.Event()

    def tell(self, change: Change) -> None:
        earlier = self._waiting.get(change.key)
        before = change.before if earlier is None else earlier.before
        if before == change.after:  # it has come and gone
            self._waiting.pop(change.key, None)
            return
        self._waiting[change.key] = Change(change.key, before, change.after)
        self._told.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._waiting:
            self._told = trio.Event()
            await self._told.wait()
        key = next(iter(self._waiting))
        return self._waiting.pop(key)


@asynccontextmanager
async def open_cache(client: BaseClient, prefix: Data) -> AsyncIterator[Cache]:
    """See `Client.cache`."""
    cache = Cache(to_bytes(prefix))
    failure: Exception | None = None
    async with client.watch(prefix=prefix, relist=True, progress=True) as watch:
        cache.take(await anext(watch))
        async with beside() as nursery:

            async def follow() -> None:
                nonlocal failure
                try:
                    async for batch in watch:
                        cache.take(batch)
                except Exception as error:
                    failure = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(follow)
            yield cache
    if failure is not None:
        raise failure
