"""Reading: from a RangeRequest to the bytes of a RangeResponse, never parsing what is stored.

A stored row is a KeyValue message, and a response is such messages behind a tag, so a range is
a search and a join.  Only sorting, filters and `keys_only` look inside.
Source: etcd server/etcdserver/txn/range.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from actors.mvcc.checks import has_filters, is_key_order
from actors.mvcc.index import KeyIndex
from actors.mvcc.revision import row_key
from wire.errors import Compacted, FutureRevision
from wire.invariant import invariant
from wire.pb import etcdserverpb, mvccpb
from wire.varint import encode

SLICE_KEYS = 1000  # read between two turns of the event loop: about 2 ms

_Range = etcdserverpb.RangeRequest


class Rows(Protocol):
    """Where stored rows are read."""

    def row(self, revision: bytes) -> bytes | None: ...


def bounds(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """[start, stop) of a request; no stop: to the end of the key space."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == b"\0" else range_end


def encode_range(kvs: list[bytes], more: bool, count: int) -> bytes:
    """A RangeResponse without its header."""
    body = b"".join([b"\x12%b%b" % (encode(len(kv)), kv) for kv in kvs])
    if more:
        body += b"\x18\x01"
    return body + b"\x20" + encode(count) if count else body


class RangeCursor:
    """One range, read a slice at a time at a fixed revision.

    Call `step` until it returns False; then `body` is the response without its header.  The
    store may change between steps, but must not remove rows that `revision` can see.
    """

    def __init__(
        self, request: _Range, index: KeyIndex, rows: Rows, current: int, compacted: int
    ) -> None:
        """`current` and `compacted` are the store's revisions now.

        Raises:
            Compacted, FutureRevision: the revision asked for cannot be read.
        """
        self.current = current  # what the response's header says
        self.revision = request.revision if request.revision > 0 else current
        if self.revision > current:
            raise FutureRevision
        if self.revision < compacted:
            raise Compacted
        self._request = request
        self._index = index
        self._rows = rows
        self._start, self._stop = bounds(request.key, request.range_end)
        self._kvs: list[bytes] = []
        self._wanted = _wanted(request)
        self._count = 0
        self._taken = 0  # rows handed out by `take`
        self._counted = self.revision == current
        if self._counted:
            self._count = index.count(self._start, self._stop)
        self.body = b""

    @property
    def size(self) -> int:
        """Keys it will look at, or more; says beforehand whether one step is enough."""
        if self._counted:
            return 0 if self._request.count_only else min(self._count, self._wanted)
        return self._index.count(self._start, self._stop)

    def step(self, keys: int = SLICE_KEYS) -> bool:
        """Look at the next `keys` keys; False when the response is complete."""
        if self._counted and (self._request.count_only or not self._count):
            return self._finish()
        if self._counted:
            keys = min(keys, self._wanted - len(self._kvs))
        looked_at = self._index.all_keys(self._start, self._stop, keys)
        for key in looked_at:
            place = self._index.at(key, self.revision)
            if place is None:
                continue
            if not self._counted:
                self._count += 1
            if len(self._kvs) < self._wanted and not self._request.count_only:
                self._kvs.append(self._row(place[0], place[1]))
        enough = self._counted and len(self._kvs) >= self._wanted
        if enough or len(looked_at) < keys:
            return self._finish()
        self._start = looked_at[-1] + b"\0"
        return True

    def take(self) -> bytes:
        """What was read since this was last asked, as a RangeResponse of its own (rows only).

        For answers in pieces; only where rows are sent in the order they are read.
        """
        kvs, _ = shape(self._kvs, self._request, 0)
        self._taken += len(kvs)
        self._wanted -= len(kvs)
        self._kvs = []
        return encode_range(kvs, more=False, count=0)

    def _row(self, main: int, sub: int) -> bytes:
        row = self._rows.row(row_key(main, sub))
        invariant(row is not None, "a revision of the index has no row", main=main, sub=sub)
        assert row is not None
        return row

    def _finish(self) -> bool:
        limit = self._request.limit
        kvs, more = shape(self._kvs, self._request, limit - self._taken if limit > 0 else 0)
        if self._taken and self._taken >= limit > 0:  # only the row that says there is more
            kvs, more = [], bool(self._kvs)
        self.body = encode_range(kvs, more, self._count)
        self._kvs = []
        return False


def _wanted(request: _Range) -> int:
    """How many rows must be read to answer."""
    if request.limit <= 0 or not is_key_order(request) or has_filters(request):
        return 1 << 62
    return request.limit + 1  # one more says whether there is more


def shape(kvs: list[bytes], request: _Range, limit: int) -> tuple[list[bytes], bool]:
    """Filter, sort, cut to `limit` (0: not at all) and strip what was read; whether it was cut."""
    if has_filters(request):
        kvs = _filter(kvs, request)
    if request.sort_order != _Range.NONE or request.sort_target != _Range.KEY:
        kvs = _sort(kvs, request)
    more = 0 < limit < len(kvs)
    if more:
        kvs = kvs[:limit]
    if request.keys_only:
        kvs = [_without_value(kv) for kv in kvs]
    return kvs, more


def _filter(kvs: list[bytes], request: _Range) -> list[bytes]:
    most = 1 << 63
    mods = range(request.min_mod_revision, (request.max_mod_revision or most) + 1)
    creates = range(request.min_create_revision, (request.max_create_revision or most) + 1)
    kept = []
    for kv in kvs:
        parsed = mvccpb.KeyValue.FromString(kv)
        if parsed.mod_revision in mods and parsed.create_revision in creates:
            kept.append(kv)
    return kept


_SORT_KEYS: dict[int, Callable[[mvccpb.KeyValue], object]] = {
    _Range.KEY: lambda kv: kv.key,
    _Range.VERSION: lambda kv: kv.version,
    _Range.CREATE: lambda kv: kv.create_revision,
    _Range.MOD: lambda kv: kv.mod_revision,
    _Range.VALUE: lambda kv: kv.value,
}


def _sort(kvs: list[bytes], request: _Range) -> list[bytes]:
    """Stable both ways: equal values stay in key order, also when descending."""
    sort_key = _SORT_KEYS[request.sort_target]
    descending = request.sort_order == _Range.DESCEND
    parsed: Iterator[object] = (sort_key(mvccpb.KeyValue.FromString(kv)) for kv in kvs)
    pairs = list(zip(parsed, kvs, strict=True))
    pairs.sort(key=lambda pair: pair[0], reverse=descending)  # type: ignore[arg-type,return-value]
    return [kv for _, kv in pairs]


def _without_value(kv: bytes) -> bytes:
    parsed = mvccpb.KeyValue.FromString(kv)
    parsed.ClearField("value")
    return parsed.SerializeToString()
