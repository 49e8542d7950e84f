"""Reading: from a RangeRequest to the bytes of a RangeResponse, never parsing what is stored.

A stored row is a KeyValue message, and a response is such messages behind a tag, so a range is
a search and a join.  Only sorting, filters and `keys_only` look inside.
Source: etcd server/etcdserver/txn/range.go.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from actors.mvcc.checks import has_filters, is_key_order
from actors.mvcc.index import KeyIndex
from actors.mvcc.revision import row_key
from wire.errors import Compacted, FutureRevision
from wire.invariant import invariant
from wire.pb import etcdserverpb, mvccpb
from wire.varint import encode

SLICE_KEYS = 1000  # read between two turns of the event loop: 1.5 to 4 ms
NO_LIMIT = 1 << 62

_Range = etcdserverpb.RangeRequest


class Rows(Protocol):
    """Where stored rows are read."""

    def row(self, revision: bytes) -> bytes | None: ...


class Source(Protocol):
    """The store, as far as reading goes."""

    @property
    def index(self) -> KeyIndex: ...

    @property
    def backend(self) -> Rows: ...

    @property
    def revision(self) -> int: ...

    @property
    def compact_revision(self) -> int: ...


def bounds(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """[start, stop) of a request; no stop: to the end of the key space."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == b"\0" else range_end


class RangeCursor:
    """One range, read a slice at a time at a fixed revision.

    Call `step` until it returns False; then `body` is the response without its header.  The
    store may change between steps, but must not remove rows that `revision` can see.  If another
    one takes its place, a snapshot from the leader, that has those rows too, unless it was
    compacted further.
    """

    def __init__(self, request: _Range, store: Source) -> None:
        """Raises Compacted or FutureRevision: the revision asked for cannot be read."""
        self._store = store
        self._index = index = store.index
        self._row = store.backend.row
        self.current = current = store.revision  # what the response's header says
        self.revision = request.revision if request.revision > 0 else current
        if self.revision > current:
            raise FutureRevision
        if self.revision < store.compact_revision:
            raise Compacted
        self._single = request.key if not request.range_end else None
        self._start, self._stop = bounds(request.key, request.range_end)
        self._count_only = request.count_only
        self._answer = _Answer(request)
        # What is counted at once need not be looked at to the end.
        self._counted = self.revision == current and self._single is None
        self._count = index.count(self._start, self._stop) if self._counted else 0
        self.body = b""

    @property
    def size(self) -> int:
        """Keys it will look at, or more; says beforehand whether one step is enough."""
        if self._single is not None:
            return 1
        if self._counted:
            return 0 if self._count_only else min(self._count, self._answer.room)
        return self._index.count(self._start, self._stop)

    def step(self, keys: int = SLICE_KEYS) -> bool:
        """Look at the next `keys` keys; False when the response is complete.

        Raises:
            Compacted: the store was replaced by one that cannot tell any more.
        """
        if self._store.index is not self._index and self.revision < self._store.compact_revision:
            raise Compacted
        if self._single is not None:
            return self._look_up(self._single)
        if self._counted and (self._count_only or not self._count):
            return self._finish()
        elif self._index.last <= self.revision:
            looked_at = list(islice(self._index.keys(self._start, self._stop), keys))
            places = self._present(looked_at)
        else:
            looked_at = self._index.all_keys(self._start, self._stop, keys)
            places = self._past(looked_at)
        if not self._counted:
            self._count += len(places)
        if not self._count_only:
            self._answer.add(self._read(places[: self._answer.room]))
        enough = self._counted and not self._answer.room
        if enough or len(looked_at) < keys:
            return self._finish()
        self._start = looked_at[-1] + b"\0"
        return True

    def _look_up(self, key: bytes) -> bool:
        place = self._index.at(key, self.revision)
        if place is not None:
            self._count = 1
            if not self._count_only:
                self._answer.add(self._read([place[:2]]))
        return self._finish()

    def take(self) -> bytes:
        """What was read since this was last asked, as a RangeResponse of its own (rows only).

        For answers in pieces; only where rows are sent in the order they are read.
        """
        return self._answer.take()

    def _present(self, keys: list[bytes]) -> list[tuple[int, int]]:
        get = self._index.get
        return [record[:2] for key in keys if (record := get(key)) is not None]

    def _past(self, keys: list[bytes]) -> list[tuple[int, int]]:
        at, revision = self._index.at, self.revision
        return [place[:2] for key in keys if (place := at(key, revision)) is not None]

    def _read(self, places: list[tuple[int, int]]) -> list[bytes]:
        row = self._row
        kvs = [kv for main, sub in places if (kv := row(row_key(main, sub))) is not None]
        invariant(len(kvs) == len(places), "a revision of the index has no row", places=places)
        return kvs

    def _finish(self) -> bool:
        count = self._count
        self.body = self._answer.finish(0 if self._count_only else count)
        if count:
            self.body += b"\x20" + encode(count)
        return False


class _Answer:
    """The rows of a response, gathered, encoded as they come, ordered at the end."""

    def __init__(self, request: _Range) -> None:
        self._limit = request.limit if request.limit > 0 else NO_LIMIT
        self._keys_only = request.keys_only
        self._filter = _filter_of(request) if has_filters(request) else None
        self._descending = request.sort_order == _Range.DESCEND
        sorts = self._descending or request.sort_target != _Range.KEY
        self._sort_key = _SORT_KEYS[request.sort_target] if sorts else None
        if self._sort_key is None:
            self._most = self._limit
        elif self._filter is None and is_key_order(request):
            # Sorting without an order: etcd takes one row more than asked for, to know whether
            # there are more, then sorts, then cuts.
            self._most = self._limit + 1
        else:
            self._most = NO_LIMIT
        self._matched = 0  # rows that passed the filter
        self._pieces: list[bytes] = []  # encoded rows: each alone when sorted, else many
        self._order: list[Any] = []  # what each of them is sorted by

    @property
    def room(self) -> int:
        """How many more rows are of use."""
        return NO_LIMIT if self._filter is not None else self._most - self._matched

    def add(self, kvs: list[bytes]) -> None:
        """The next rows, in key order, `room` at most."""
        if self._filter is not None:
            kvs = list(filter(self._filter, kvs))
        room = max(0, self._most - self._matched)
        self._matched += len(kvs)
        kvs = kvs[:room]
        if self._sort_key is not None:
            self._order += [self._sort_key(_parse(kv)) for kv in kvs]
        if self._keys_only:
            kvs = list(map(_without_value, kvs))
        if self._sort_key is not None:
            self._pieces += [b"\x12%b%b" % (encode(len(kv)), kv) for kv in kvs]
        else:
            self._pieces.append(b"".join([b"\x12%b%b" % (encode(len(kv)), kv) for kv in kvs]))

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def finish(self, count: int) -> bytes:
        """The rest of the response up to its count; `count` rows were there before filters."""
        pieces = self._pieces
        if self._sort_key is not None:
            order = list(range(len(pieces)))
            # Stable both ways: equal values stay in key order, also when descending.
            order.sort(key=self._order.__getitem__, reverse=self._descending)
            pieces = [pieces[at] for at in order[: self._limit]]
        matched = count if self._filter is None else self._matched
        return b"".join([*pieces, b"\x18\x01" if matched > self._limit else b""])


_parse = mvccpb.KeyValue.FromString

_SORT_KEYS: dict[int, Callable[[mvccpb.KeyValue], Any]] = {
    _Range.KEY: lambda kv: kv.key,
    _Range.VERSION: lambda kv: kv.version,
    _Range.CREATE: lambda kv: kv.create_revision,
    _Range.MOD: lambda kv: kv.mod_revision,
    _Range.VALUE: lambda kv: kv.value,
}


def _filter_of(request: _Range) -> Callable[[bytes], bool]:
    most = 1 << 63
    mods = range(request.min_mod_revision, (request.max_mod_revision or most) + 1)
    creates = range(request.min_create_revision, (request.max_create_revision or most) + 1)

    def passes(kv: bytes) -> bool:
        parsed = _parse(kv)
        return parsed.mod_revision in mods and parsed.create_revision in creates

    return passes


def _without_value(kv: bytes) -> bytes:
    parsed = _parse(kv)
    parsed.ClearField("value")
    return parsed.SerializeToString()
