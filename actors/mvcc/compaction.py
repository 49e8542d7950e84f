"""Removing what a compaction made unreadable, a slice at a time.

`Store.apply_compaction` only moves the line below which nothing can be read.  The rows below
it go later, so that a compaction of a million keys delays nobody.  Which ones is known from
the index: keys with a single living revision need not be looked at.  A crash loses nothing:
the line is stored, and the next start removes what is left.
Source: etcd server/storage/mvcc/kvstore_compaction.go.
"""

from __future__ import annotations

from actors.backend.buckets import FINISHED_COMPACTION, KEY, META
from actors.mvcc.revision import row_key, tombstone_key
from actors.mvcc.store import Store


class Compaction:
    """One run over the keys, for the line as it stood when the run began."""

    def __init__(self, store: Store) -> None:
        self.revision = store.compact_revision
        self.removed = 0  # rows
        self._store = store
        self._keys = store.index.compactable()
        self._keys.reverse()  # taken from the end

    def step(self, work: int) -> bool:
        """Look at keys and remove rows, `work` of both together; False when all is done and
        marked as done."""
        store, keys = self._store, self._keys
        while work > 0 and keys:
            gone = store.index.compact(keys[-1], self.revision, work)
            for main, sub, dead in gone:
                row = tombstone_key(main, sub) if dead else row_key(main, sub)
                store.backend.delete(KEY, row)
            if len(gone) < work:
                keys.pop()  # else it may have more
            self.removed += len(gone)
            work -= len(gone) + 1
        if keys:
            return True
        store.finished_compaction = self.revision
        store.backend.put(META, FINISHED_COMPACTION, row_key(self.revision, 0))
        return False


def is_due(store: Store) -> bool:
    """Whether rows below the line may still be there."""
    return store.finished_compaction < store.compact_revision
