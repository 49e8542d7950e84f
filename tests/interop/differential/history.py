"""What has happened to the keys, and what follows from it for watchers and for hashes.

An oracle beside the servers: it knows nothing of how any of them works.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import google_crc32c

from wire.pb import etcdserverpb as pb
from wire.pb import mvccpb


@dataclass(frozen=True)
class Change:
    revision: int
    sub: int
    key: bytes
    is_deletion: bool
    stored: bytes  # the KeyValue, as etcd keeps it


class History:
    """Every change since the first, in order."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._revisions: list[int] = []

    def add(self, response: pb.WatchResponse) -> None:
        """What a watch of everything was sent."""
        for event in response.events:
            revision = event.kv.mod_revision
            sub = 0
            if self._revisions and self._revisions[-1] == revision:
                sub = self.changes[-1].sub + 1
            is_deletion = event.type == mvccpb.Event.DELETE
            stored = mvccpb.KeyValue(key=event.kv.key) if is_deletion else event.kv
            self.changes.append(
                Change(revision, sub, event.kv.key, is_deletion, stored.SerializeToString())
            )
            self._revisions.append(revision)

    @property
    def last(self) -> int:
        return self._revisions[-1] if self._revisions else 1

    def since(self, revision: int) -> list[Change]:
        return self.changes[bisect_left(self._revisions, revision) :]

    def at(self, revision: int) -> list[Change]:
        until = bisect_left(self._revisions, revision + 1)
        return self.changes[bisect_left(self._revisions, revision) : until]

    def hash(self, revision: int, compacted: int) -> int:
        """HashKV at a revision: of what was compacted, only what can be read at that revision."""
        newest = {change.key: change for change in self.changes if change.revision <= revision}
        kept = {change for change in newest.values() if not change.is_deletion}
        value = google_crc32c.value(b"key")
        for change in self.changes:
            if change.revision > revision:
                break
            if change.revision > compacted or change in kept:
                mark = b"t" if change.is_deletion else b""
                row = b"%b_%b%b" % (
                    change.revision.to_bytes(8, "big"),
                    change.sub.to_bytes(8, "big"),
                    mark,
                )
                value = google_crc32c.extend(google_crc32c.extend(value, row), change.stored)
        return value


class Wanted:
    """What a watch asks for."""

    def __init__(self, request: pb.WatchCreateRequest, first: int) -> None:
        """`first` is the first revision it sees."""
        self.key = request.key or b"\0"
        self.end = request.range_end
        self.first = first
        kinds = pb.WatchCreateRequest
        self._unwanted = set()
        if kinds.NOPUT in request.filters:
            self._unwanted.add(False)
        if kinds.NODELETE in request.filters:
            self._unwanted.add(True)

    def includes(self, change: Change) -> bool:
        if change.revision < self.first or change.is_deletion in self._unwanted:
            return False
        if not self.end:
            return change.key == self.key
        return self.key <= change.key and (self.end == b"\0" or change.key < self.end)
