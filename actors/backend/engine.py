"""What the backend asks of a database, and the one that lives in memory.

Writing has three parts, so that a database on disk can block in the first and last, which
run on a worker, and never in the middle one, which runs on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sortedcontainers import SortedDict

from actors.backend.buckets import ALL

Row = tuple[bytes, bytes]


class Full(Exception):
    """The database's address space is used up: abort the transaction, `grow`, write again."""


class Engine(Protocol):
    """One open database.

    Reads see what the last commit left, until `renew`.  One writer at a time.
    """

    def get(self, bucket: str, key: bytes) -> bytes | None: ...

    def scan(self, bucket: str, start: bytes, stop: bytes | None, limit: int) -> list[Row]:
        """At most `limit` rows with start <= key < stop, in order; no stop: to the end."""
        ...

    def begin(self) -> None:
        """Open a write transaction; may block."""
        ...

    def append(self, bucket: str, rows: list[Row]) -> None:
        """Write rows whose keys come after every key of the bucket, in order; never blocks."""
        ...

    def write(self, bucket: str, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put, or delete where there is no value; never blocks."""
        ...

    def commit(self) -> None:
        """Make the transaction durable; may block.

        Raises:
            OSError: it could not be; nothing of it is kept.
        """
        ...

    def renew(self) -> None:
        """Let reads see the last commit; never blocks."""
        ...

    def abort(self) -> None:
        """Forget the transaction; may block."""
        ...

    def grow(self) -> None:
        """Make room after `Full`, outside a transaction; never blocks."""
        ...

    def size(self) -> int:
        """Bytes the database takes on disk."""
        ...

    def size_in_use(self) -> int:
        """Bytes of it that hold data; what a defragmentation would leave."""
        ...

    def readers(self) -> int:
        """Read transactions that are open."""
        ...

    def defragment(self) -> None:
        """Write a compact copy beside the database; may block.

        Raises:
            OSError: it could not be written; nothing has changed.
        """
        ...

    def swap(self) -> None:
        """Put the copy in the database's place; snapshots under way go on reading the old one."""
        ...

    def snapshot(self) -> Snapshot: ...

    # Another member's database, in three steps; see `actors/snapshot/rows.py`.

    def receive(self) -> Engine:
        """A new, empty database beside this one; one that was not finished is removed.

        What is committed to it need not be durable before `keep`; may block.
        """
        ...

    def keep(self, received: Engine, index: int) -> None:
        """Close a received database and make it durable, as the state at a log index; may block.

        Raises:
            OSError: it could not be.
        """
        ...

    def adopt(self, index: int) -> bool:
        """Put the database kept for an index in this one's place; False if there is none.

        Outside a transaction.  Reads and new snapshots see it at once.
        """
        ...

    def close(self) -> None: ...


class Snapshot(Protocol):
    """The database as one commit left it, readable while others follow."""

    def rows(self, bucket: str) -> Iterator[Row]: ...

    def close(self) -> None: ...


class MemoryEngine:
    """Keeps everything in dictionaries: for tests, simulation and nodes without a disk."""

    def __init__(self) -> None:
        self._buckets: dict[str, SortedDict] = {name: SortedDict() for name in ALL}
        self._staged: list[tuple[str, bytes, bytes | None]] = []
        self._bytes = 0
        self._kept: tuple[int, MemoryEngine] | None = None

    def get(self, bucket: str, key: bytes) -> bytes | None:
        value: bytes | None = self._buckets[bucket].get(key)
        return value

    def scan(self, bucket: str, start: bytes, stop: bytes | None, limit: int) -> list[Row]:
        rows = self._buckets[bucket]
        found: list[Row] = []
        for key in rows.irange(start, stop, inclusive=(True, False)):
            if len(found) >= limit:
                break
            found.append((key, rows[key]))
        return found

    def begin(self) -> None:
        self._staged = []

    def append(self, bucket: str, rows: list[Row]) -> None:
        self._staged += [(bucket, key, value) for key, value in rows]

    def write(self, bucket: str, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._staged += [(bucket, key, value) for key, value in changes]

    def commit(self) -> None:
        for bucket, key, value in self._staged:
            rows = self._buckets[bucket]
            old = rows.get(key)
            self._bytes -= 0 if old is None else len(key) + len(old)
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
                self._bytes += len(key) + len(value)
        self._staged = []

    def renew(self) -> None:
        pass

    def abort(self) -> None:
        self._staged = []

    def grow(self) -> None:
        pass

    def size(self) -> int:
        return max(self._bytes, 1)  # etcdctl 3.6 divides by it

    size_in_use = size

    def readers(self) -> int:
        return 0

    def defragment(self) -> None:
        pass  # nothing is ever left behind

    def swap(self) -> None:
        pass

    def snapshot(self) -> MemorySnapshot:
        return MemorySnapshot({name: list(rows.items()) for name, rows in self._buckets.items()})

    def receive(self) -> Engine:
        return MemoryEngine()

    def keep(self, received: Engine, index: int) -> None:
        assert isinstance(received, MemoryEngine)
        self._kept = index, received

    def adopt(self, index: int) -> bool:
        if self._kept is None or self._kept[0] != index:
            return False
        _, kept = self._kept
        self._buckets, self._bytes, self._kept = kept._buckets, kept._bytes, None
        return True

    def close(self) -> None:
        pass


class MemorySnapshot:
    def __init__(self, buckets: dict[str, list[Row]]) -> None:
        self._buckets = buckets

    def rows(self, bucket: str) -> Iterator[Row]:
        return iter(self._buckets[bucket])

    def close(self) -> None:
        self._buckets = {}
