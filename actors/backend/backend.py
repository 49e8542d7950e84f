"""Everything that was applied: two layers of changes over a database.

Applying puts changes into the *pending* layer.  A commit takes that layer whole (it becomes
the *committing* one) and writes it to the database while a new pending layer fills.  Reads ask
pending, then committing, then the database, so they always see all that was applied.

Pure: the actor beside it says when to commit and does what may block.
"""

from __future__ import annotations

from actors.backend.buckets import ALL, CONSISTENT_INDEX, KEY, META, TERM
from actors.backend.engine import Engine, Row
from wire.invariant import invariant

ROW_BYTES = 96  # what one pending row costs in memory beside its bytes


class Layer:
    """Changes by bucket and key; a value of None is a deletion."""

    __slots__ = ("buckets", "bytes", "rows")

    def __init__(self) -> None:
        self.buckets: dict[str, dict[bytes, bytes | None]] = {name: {} for name in ALL}
        self.rows = self.buckets[KEY]
        self.bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    @property
    def stored_bytes(self) -> int:
        return max(self.bytes - ROW_BYTES * len(self), 0)


class Backend:
    """The buckets as applied so far.

    `applied_index` and `applied_term` say up to which log entry; they are committed in the
    same transaction as the rows that entry wrote.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stored_bytes = 0  # in layers before the pending one
        self.reload()

    def reload(self) -> None:
        """The engine holds another state: forget this one."""
        engine = self.engine
        self._pending = Layer()
        self._committing: Layer | None = None
        self.applied_index = _number(engine.get(META, CONSISTENT_INDEX))
        self.applied_term = _number(engine.get(META, TERM))
        self.durable_index = self.applied_index

    # -- Changes

    def put(self, bucket: str, key: bytes, value: bytes) -> None:
        self._pending.buckets[bucket][key] = value
        self._pending.bytes += len(key) + len(value) + ROW_BYTES

    def put_row(self, revision: bytes, value: bytes) -> None:
        """`put` into bucket KEY: once per change of the store."""
        pending = self._pending
        pending.rows[revision] = value
        pending.bytes += len(value) + ROW_BYTES

    def delete(self, bucket: str, key: bytes) -> None:
        self._pending.buckets[bucket][key] = None
        self._pending.bytes += len(key) + ROW_BYTES

    @property
    def pending_rows(self) -> int:
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """Memory held by changes that are not durable yet."""
        committing = self._committing
        return self._pending.bytes + (committing.bytes if committing is not None else 0)

    @property
    def stored_bytes(self) -> int:
        """Of all changes since the start, as they are stored."""
        return self._stored_bytes + self._pending.stored_bytes

    # -- Reads

    def get(self, bucket: str, key: bytes) -> bytes | None:
        value: bytes | _Missing | None = self._pending.buckets[bucket].get(key, MISSING)
        if value is MISSING and self._committing is not None:
            value = self._committing.buckets[bucket].get(key, MISSING)
        if value is MISSING:
            return self.engine.get(bucket, key)
        return value  # type: ignore[return-value]  # MISSING is gone

    def row(self, revision: bytes) -> bytes | None:
        """`get` from bucket KEY, without a step too many: once per key of a range."""
        value = self._pending.rows.get(revision)
        if value is not None:
            return value
        committing = self._committing
        if committing is not None:
            value = committing.rows.get(revision)
            if value is not None:
                return value
        return self.get(KEY, revision)

    def scan(
        self, bucket: str, start: bytes = b"", stop: bytes | None = None, limit: int = 1 << 62
    ) -> list[Row]:
        """At most `limit` rows with start <= key < stop, in order; no stop: to the end."""
        layers = [self._committing] if self._committing is not None else []
        changes: dict[bytes, bytes | None] = {}
        for layer in [*layers, self._pending]:
            changes |= {
                key: value
                for key, value in layer.buckets[bucket].items()
                if start <= key and (stop is None or key < stop)
            }
        if not changes:
            return self.engine.scan(bucket, start, stop, limit)
        # A change hides at most one row of the database each, so this many are enough.
        rows = dict(self.engine.scan(bucket, start, stop, limit + len(changes)))
        complete = len(rows) < limit + len(changes)
        horizon = None if complete else next(reversed(rows))
        for key, value in changes.items():
            if horizon is not None and key > horizon:
                continue  # beyond what was read: rows before it may be missing
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        return [(key, rows[key]) for key in sorted(rows)[:limit]]

    # -- Committing, in this order

    def take(self) -> Layer | None:
        """The changes to commit now, with the index they belong to; None when there are none."""
        invariant(self._committing is None, "two commits at once")
        if not len(self._pending) and self.durable_index == self.applied_index:
            return None
        self.put(META, CONSISTENT_INDEX, self.applied_index.to_bytes(8, "big"))
        self.put(META, TERM, self.applied_term.to_bytes(8, "big"))
        self._stored_bytes += self._pending.stored_bytes
        self._committing, self._pending = self._pending, Layer()
        self._committing_index = self.applied_index
        return self._committing

    def committed(self) -> None:
        """The engine has the taken changes: durable, and visible to its reads."""
        invariant(self._committing is not None, "no commit to finish")
        self._committing = None
        self.durable_index = self._committing_index


class _Missing:
    pass


MISSING = _Missing()


def _number(row: bytes | None) -> int:
    return int.from_bytes(row or b"", "big")
