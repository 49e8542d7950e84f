"""Which rows of our database stand in a snapshot file, and which of a file's are taken over.

Our buckets and rows are etcd's already (`actors/backend/buckets.py`).  Pure.
Source: etcd server/storage/schema (bucket.go, membership.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.backend.buckets import ALL
from actors.backend.engine import Snapshot
from actors.bolt.pages import Row


def buckets_of(snapshot: Snapshot) -> Iterator[tuple[bytes, Iterable[Row]]]:
    """A file's buckets: all of ours, by name."""
    for name in sorted(ALL):
        yield name.encode(), snapshot.rows(name)
