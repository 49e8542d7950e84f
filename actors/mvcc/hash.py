"""The hash of the key space at a revision, by which members compare their data.

CRC-32C over the name of the bucket and then every row up to the revision, key and value, in
order, without those that a compaction may or may not have removed yet.
Source: etcd server/storage/mvcc/hash.go, index.go (Keep).
"""

from __future__ import annotations

from collections.abc import Iterator

import google_crc32c

from actors.backend.buckets import KEY
from actors.mvcc.revision import is_tombstone, parse_row_key
from actors.mvcc.store import Store
from wire.errors import Compacted, FutureRevision
from wire.pb import mvccpb

SLICE_ROWS = 2000  # hashed between two turns of the event loop


class KVHash:
    """Call `step` until it returns False; then `value` is the hash.

    Writes may go on meanwhile; a compaction must not remove rows, so let none run.  If the store
    is replaced, by a snapshot from the leader, it begins again.
    """

    def __init__(self, store: Store, revision: int = 0) -> None:
        """Raises Compacted or FutureRevision for a revision that cannot be hashed."""
        if revision > store.revision:
            raise FutureRevision
        self.revision = revision or store.revision
        self._store = store
        self._begin()

    def _begin(self) -> None:
        store = self._store
        if 0 < self.revision < store.compact_revision:
            raise Compacted
        self.compact_revision = store.compact_revision
        self.value = google_crc32c.value(KEY.encode())
        self._index = store.index
        self._start = b""
        self._anything_alive: bool | None = None

    def step(self, rows: int = SLICE_ROWS) -> bool:
        """Raises Compacted: the store was replaced by one that cannot tell any more."""
        store = self._store
        if store.index is not self._index:
            self._begin()
        page = store.backend.scan(KEY, self._start, None, rows)
        pieces: list[bytes] = []
        for row, keyvalue in page:
            main, _, sub = parse_row_key(row)
            if main > self.revision:
                page = []
                break
            if main <= self.compact_revision and self._is_removable(row, keyvalue, main, sub):
                continue
            pieces += (row, keyvalue)
        self.value = google_crc32c.extend(self.value, b"".join(pieces))
        if len(page) < rows:
            return False
        self._start = page[-1][0] + b"\0"
        return True

    def _is_removable(self, row: bytes, keyvalue: bytes, main: int, sub: int) -> bool:
        """Whether a row at or below the compaction line counts as gone.

        It counts as there only if it is what its key shows at the hashed revision; with
        nothing alive at all there, etcd skips this rule.
        """
        if main == self.compact_revision and is_tombstone(row):
            return True
        if self._anything_alive is None:
            self._anything_alive = any(self._alive_keys())
        if not self._anything_alive:
            return False
        place = self._store.index.at(mvccpb.KeyValue.FromString(keyvalue).key, self.revision)
        return place is None or place[:2] != (main, sub)

    def _alive_keys(self) -> Iterator[bool]:
        index, start = self._store.index, b""
        while keys := index.all_keys(start, None, SLICE_ROWS):
            for key in keys:
                yield index.at(key, self.revision) is not None
            start = keys[-1] + b"\0"


def backend_hash(buckets: Iterator[tuple[str, Iterator[tuple[bytes, bytes]]]]) -> Iterator[int]:
    """The hash of whole buckets (name, rows), yielded after every slice; the last one counts."""
    value = 0
    for name, rows in buckets:
        value = google_crc32c.extend(value, name.encode())
        pieces: list[bytes] = []
        for key, row in rows:
            pieces += (key, row)
            if len(pieces) >= 2 * SLICE_ROWS:
                value = google_crc32c.extend(value, b"".join(pieces))
                pieces.clear()
                yield value
        value = google_crc32c.extend(value, b"".join(pieces))
    yield value
