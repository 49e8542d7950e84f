"""The store: what puts, deletions, transactions and compactions do to keys and revisions.

Each `apply_*` is one synchronous step, so no reader ever sees half a transaction.  A refusal
is raised before anything is changed.  Answers are the revision for the response's header and
the response's bytes without it.
Source: etcd server/storage/mvcc/kvstore.go, kvstore_txn.go; server/etcdserver/txn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from actors.backend.backend import Backend
from actors.backend.buckets import FINISHED_COMPACTION, KEY, META, SCHEDULED_COMPACTION
from actors.mvcc.feed import Event, Feed
from actors.mvcc.index import KeyIndex
from actors.mvcc.keyvalue import encode_put, encode_tombstone
from actors.mvcc.ranges import RangeCursor, bounds
from actors.mvcc.revision import (
    FIRST_REVISION,
    NEVER_COMPACTED,
    is_tombstone,
    parse_row_key,
    row_key,
    tombstone_key,
)
from actors.mvcc.txn import run_txn
from wire.errors import Compacted, FutureRevision, KeyNotFound, LeaseNotFound
from wire.pb import etcdserverpb, mvccpb
from wire.varint import encode

Answer = tuple[int, bytes]

RESTORE_ROWS = 10_000  # read from the database at once when the index is rebuilt


class Leases(Protocol):
    """Which keys hang on which lease."""

    def lease_of(self, key: bytes) -> int:
        """0 when the key hangs on none."""
        ...

    def exists(self, lease_id: int) -> bool: ...

    def attach(self, lease_id: int, key: bytes) -> None: ...

    def detach(self, lease_id: int, key: bytes) -> None: ...


@dataclass(slots=True)
class OperationCounts:
    """Operations done, as etcd counts them; puts and ranges by themselves are counted apart."""

    puts: int = 0  # in transactions
    ranges: int = 0  # in transactions, or through the log
    deletes: int = 0
    transactions: int = 0  # with more than one operation in them


class Store:
    """Invariant: between steps, every revision of the index has its row in the backend."""

    def __init__(self, backend: Backend, leases: Leases, feed: Feed | None = None) -> None:
        self.backend = backend
        self.leases = leases
        self._lease_of = leases.lease_of
        self.feed = feed or Feed()
        self.index = KeyIndex()
        self.revision = FIRST_REVISION
        self.compact_revision = NEVER_COMPACTED  # nothing below it can be read
        self.finished_compaction = NEVER_COMPACTED  # below it, nothing is left to remove
        self.changes = 0  # of the step at hand: the next change's sub-revision
        self.counts = OperationCounts()

    # -- Single requests

    def apply_put(self, request: etcdserverpb.PutRequest) -> Answer:
        key, lease = request.key, request.lease
        if lease and not self.leases.exists(lease):
            raise LeaseNotFound
        if request.prev_kv or request.ignore_value or request.ignore_lease:
            if (request.ignore_value or request.ignore_lease) and not self.is_alive(key):
                raise KeyNotFound
            body = self.put_with_previous(request)
        else:
            self.put(key, request.value, lease)
            body = b""
        self.end()
        return self.revision, body

    def apply_range(self, request: etcdserverpb.RangeRequest) -> Answer:
        """A range that came through the log: answered at once, in whole."""
        self.counts.ranges += 1
        cursor = self.cursor(request)
        while cursor.step():
            pass
        return self.revision, cursor.body

    def apply_delete_range(self, request: etcdserverpb.DeleteRangeRequest) -> Answer:
        body = self.delete_range(request)
        self.counts.deletes += 1
        self.end()
        return self.revision, body

    def apply_txn(self, request: etcdserverpb.TxnRequest) -> Answer:
        return run_txn(self, request)

    def apply_compaction(self, request: etcdserverpb.CompactionRequest) -> Answer:
        """From now on nothing below the revision can be read; the removal follows in slices."""
        if request.revision <= self.compact_revision:
            raise Compacted
        if request.revision > self.revision:
            raise FutureRevision
        self.compact_revision = request.revision
        self.backend.put(META, SCHEDULED_COMPACTION, row_key(request.revision, 0))
        return self.revision, b""

    def delete_keys(self, keys: Iterable[bytes]) -> None:
        """Delete those of `keys` that are alive, in key order, as one transaction."""
        for key in sorted(keys):
            self.delete(key)
            self.counts.deletes += 1
        self.end()

    # -- Reading

    def cursor(self, request: etcdserverpb.RangeRequest) -> RangeCursor:
        """Start a range; see `RangeCursor` for what it may raise."""
        return RangeCursor(request, self)

    def read_key(self, key: bytes) -> bytes:
        """What a range of one key, now, without options, answers: the commonest read of all."""
        record = self.index.get(key)
        if record is None or not record[3]:
            return b""
        row = self.backend.row(row_key(record[0], record[1]))
        assert row is not None
        return b"\x12%b%b\x20\x01" % (encode(len(row)), row)

    def is_alive(self, key: bytes) -> bool:
        record = self.index.get(key)
        return record is not None and record[3] > 0

    def current_row(self, key: bytes) -> bytes | None:
        """The stored KeyValue of a key that is alive."""
        record = self.index.get(key)
        if record is None or not record[3]:
            return None
        return self.backend.row(row_key(record[0], record[1]))

    def row_at(self, key: bytes, revision: int) -> bytes | None:
        """The stored KeyValue that `key` had at `revision`, if it was alive."""
        place = self.index.at(key, revision)
        return None if place is None else self.backend.row(row_key(place[0], place[1]))

    def events(self, first: int, last: int, limit: int) -> list[Event]:
        """Changes with first <= main <= last, in order: whole revisions, the earliest ones, about
        `limit` changes; at least one revision if there is any."""
        rows = self.backend.scan(KEY, row_key(first, 0), row_key(last + 1, 0), limit)
        if len(rows) == limit:
            main = parse_row_key(rows[-1][0])[0]
            whole = [row for row in rows if parse_row_key(row[0])[0] != main]
            # Nothing whole: one revision that is larger than the limit.
            rows = whole or self.backend.scan(KEY, row_key(main, 0), row_key(main + 1, 0))
        found = []
        for row, keyvalue in rows:
            main, _, sub = parse_row_key(row)
            key = mvccpb.KeyValue.FromString(keyvalue).key
            found.append(Event(main, sub, key, keyvalue, is_tombstone(row)))
        return found

    # -- The steps that transactions are made of; `end` closes them

    def put(self, key: bytes, value: bytes, lease: int) -> None:
        main, sub = self.revision + 1, self.changes
        self.changes = sub + 1
        create, version = self.index.put(key, main, sub)
        keyvalue = encode_put(key, value, create, main, version, lease)
        self.backend.put_row(row_key(main, sub), keyvalue)
        if self.feed.wanted:
            self.feed.add(Event(main, sub, key, keyvalue, False))
        old_lease = self._lease_of(key)
        if old_lease != lease:
            if old_lease:
                self.leases.detach(old_lease, key)
            if lease:
                self.leases.attach(lease, key)

    def put_with_previous(self, request: etcdserverpb.PutRequest) -> bytes:
        """A put that may need the old value: to return it, or to keep part of it."""
        value, lease = request.value, request.lease
        keeps = request.ignore_value or request.ignore_lease
        previous = self.current_row(request.key) if keeps or request.prev_kv else None
        if previous is not None and keeps:
            old = mvccpb.KeyValue.FromString(previous)
            value = old.value if request.ignore_value else value
            lease = old.lease if request.ignore_lease else lease
        self.put(request.key, value, lease)
        if previous is None or not request.prev_kv:
            return b""
        return b"\x12%b%b" % (encode(len(previous)), previous)

    def delete_range(self, request: etcdserverpb.DeleteRangeRequest) -> bytes:
        if request.range_end:
            keys = list(self.index.keys(*bounds(request.key, request.range_end)))
        else:
            record = self.index.get(request.key)
            keys = [request.key] if record is not None and record[3] else []
        previous = []
        if request.prev_kv:
            previous = [row for key in keys if (row := self.current_row(key)) is not None]
        main, sub = self.revision + 1, self.changes
        self.changes = sub + len(keys)
        if len(keys) == 1:
            self.index.delete(keys[0], main, sub)
        else:
            self.index.delete_run(keys, main, sub)
        for at, key in enumerate(keys, sub):
            self._bury(key, main, at)
        body = b"\x10" + encode(len(keys)) if keys else b""
        return body + b"".join([b"\x1a%b%b" % (encode(len(kv)), kv) for kv in previous])

    def delete(self, key: bytes) -> None:
        """Delete a key; nothing happens when it is not alive."""
        record = self.index.get(key)
        if record is None or not record[3]:
            return
        main, sub = self.revision + 1, self.changes
        self.changes = sub + 1
        self.index.delete(key, main, sub)
        self._bury(key, main, sub)

    def _bury(self, key: bytes, main: int, sub: int) -> None:
        """What a deletion leaves behind beside the index."""
        keyvalue = encode_tombstone(key)
        self.backend.put_row(tombstone_key(main, sub), keyvalue)
        if self.feed.wanted:
            self.feed.add(Event(main, sub, key, keyvalue, True))
        lease = self._lease_of(key)
        if lease:
            self.leases.detach(lease, key)

    def end(self) -> None:
        """Close the step at hand: if it changed something, there is a new revision."""
        if self.changes:
            self.revision += 1
            self.changes = 0

    # -- Starting

    def restore(self) -> None:
        """Forget everything; rebuild index, revisions and the leases' keys from the backend."""
        self.index = KeyIndex()
        self.compact_revision = self.finished_compaction = NEVER_COMPACTED
        self.changes = 0
        scheduled = self.backend.get(META, SCHEDULED_COMPACTION)
        finished = self.backend.get(META, FINISHED_COMPACTION)
        if finished is not None:
            self.finished_compaction = parse_row_key(finished)[0]
        if scheduled is not None:
            self.compact_revision = parse_row_key(scheduled)[0]
        self.compact_revision = max(self.compact_revision, self.finished_compaction)
        start = b""
        newest = FIRST_REVISION
        leased: dict[bytes, int] = {}
        while rows := self.backend.scan(KEY, start, None, RESTORE_ROWS):
            self.index.restore(_parse_rows(rows, leased))
            newest = parse_row_key(rows[-1][0])[0]
            start = rows[-1][0] + b"\0"
        self.index.restored()
        # A compacted store may hold no row as new as its revision.
        self.revision = max(newest, self.compact_revision, FIRST_REVISION)
        if self.feed.wanted:
            self.feed.skip_to(self.revision)
        for key, lease in leased.items():
            if self.leases.exists(lease):
                self.leases.attach(lease, key)


def _parse_rows(
    rows: list[tuple[bytes, bytes]], leased: dict[bytes, int]
) -> Iterable[tuple[bytes, int, int, int, int]]:
    """Rows as the index takes them; notes in `leased` which key hangs on which lease last."""
    parse = mvccpb.KeyValue.FromString
    for row, keyvalue in rows:
        main, _, sub = parse_row_key(row)
        parsed = parse(keyvalue)
        key = parsed.key
        if is_tombstone(row):
            leased.pop(key, None)
            yield key, main, sub, 0, 0
            continue
        lease = parsed.lease
        if lease:
            leased[key] = lease
        elif leased:
            leased.pop(key, None)
        yield key, main, sub, parsed.create_revision, parsed.version
