"""Transactions: compare, choose, check, and only then do.

All comparisons, those of nested transactions too, are made on the state before the outer one;
they fix which branches are taken.  Then the taken path is checked, and what can be refused is
refused.  What is left cannot fail, so it is done in one step.
Source: etcd server/etcdserver/txn/txn.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.mvcc.ranges import bounds
from wire.errors import Compacted, FutureRevision, KeyNotFound, LeaseNotFound
from wire.pb import etcdserverpb, mvccpb
from wire.varint import encode

if TYPE_CHECKING:
    from actors.mvcc.store import Answer, Store

_Compare = etcdserverpb.Compare


class Path(NamedTuple):
    """The branch that a transaction takes, and those that the ones nested in it take."""

    succeeded: bool
    steps: list[Step]

    def requests(self, kind: str) -> Iterator[Any]:
        """Those of a kind, nested ones in their place."""
        for each, request, nested in self.steps:
            if each == kind:
                yield request
            elif nested is not None:
                yield from nested.requests(kind)


Step = tuple[str | None, Any, Path | None]
"""An operation: its kind (the field's name), its request, and the path of a transaction."""


def run_txn(store: Store, request: etcdserverpb.TxnRequest) -> Answer:
    """Also for read-only transactions, which nobody proposes: they change nothing here.

    Raises:
        Compacted, FutureRevision, KeyNotFound, LeaseNotFound: nothing was changed.
    """
    path = choose(store, request)
    check_path(store, path)
    body = _execute(store, path)
    if len(path.steps) > 1:
        store.counts.transactions += 1
    store.end()
    return store.revision, body


def choose(store: Store, request: etcdserverpb.TxnRequest) -> Path:
    succeeded = all(_holds(store, compare) for compare in request.compare)
    steps: list[Step] = []
    for operation in request.success if succeeded else request.failure:
        kind = operation.WhichOneof("request")
        inner = getattr(operation, kind) if kind is not None else None
        nested = choose(store, operation.request_txn) if kind == "request_txn" else None
        steps.append((kind, inner, nested))
    return Path(succeeded, steps)


def check_path(store: Store, path: Path) -> None:
    """What can be refused: first of all puts, then of all ranges, in etcd's order."""
    for put in path.requests("request_put"):
        if (put.ignore_value or put.ignore_lease) and not store.is_alive(put.key):
            raise KeyNotFound
        if put.lease and not store.leases.exists(put.lease):
            raise LeaseNotFound
    for request in path.requests("request_range"):
        if request.revision > store.revision:
            raise FutureRevision
        if request.revision and request.revision < store.compact_revision:
            raise Compacted


def _holds(store: Store, compare: _Compare) -> bool:
    """Whether a comparison holds for every key that it names."""
    target = compare.target
    given = _given(compare, target)
    result = compare.result
    keys = [compare.key]
    if compare.range_end:
        keys = list(store.index.keys(*bounds(compare.key, compare.range_end)))
        if not keys:  # as one absent key; its start may be alive, if its end comes before that
            return _compares(_absent(target), result, given)
    return all(_compares(_stored(store, key, target), result, given) for key in keys)


def _absent(target: int) -> int | None:
    """What a key has that is absent: no value at all, not an empty one, and zeros."""
    return None if target == _Compare.VALUE else 0


def _stored(store: Store, key: bytes, target: int) -> bytes | int | None:
    record = store.index.get(key)
    if record is None or not record[3]:
        return _absent(target)
    if target == _Compare.MOD:
        return record[0]
    if target == _Compare.CREATE:
        return record[2]
    if target == _Compare.VERSION:
        return record[3]
    row = store.current_row(key)
    assert row is not None
    kv = mvccpb.KeyValue.FromString(row)
    if target == _Compare.VALUE:
        return kv.value
    return kv.lease if target == _Compare.LEASE else 0


def _given(compare: _Compare, target: int) -> bytes | int:
    if target == _Compare.MOD:
        return compare.mod_revision
    if target == _Compare.CREATE:
        return compare.create_revision
    if target == _Compare.VERSION:
        return compare.version
    if target == _Compare.VALUE:
        return compare.value
    return compare.lease if target == _Compare.LEASE else 0


def _compares(stored: Any, result: int, given: Any) -> bool:
    """A target nobody knows compares as equal, a result nobody knows as true: etcd's rule."""
    if stored is None:
        return False
    if result == _Compare.EQUAL:
        return bool(stored == given)
    if result == _Compare.NOT_EQUAL:
        return bool(stored != given)
    if result == _Compare.GREATER:
        return bool(stored > given)
    if result == _Compare.LESS:
        return bool(stored < given)
    return True


def _execute(store: Store, path: Path) -> bytes:
    """Do the operations and return a TxnResponse without its header."""
    pieces = [b"\x10\x01"] if path.succeeded else []
    for kind, request, nested in path.steps:
        if kind == "request_put":
            store.counts.puts += 1
            response = b"\x12" + _with_header(store, store.put_with_previous(request))
        elif kind == "request_range":
            store.counts.ranges += 1
            response = b"\x0a" + _with_header(store, _range(store, request))
        elif kind == "request_delete_range":
            store.counts.deletes += 1
            response = b"\x1a" + _with_header(store, store.delete_range(request))
        elif nested is None:
            response = b""  # no operation at all; refused before it is proposed
        else:
            inner = b"\x0a\x00" + _execute(store, nested)  # its header is empty
            response = b"\x22" + encode(len(inner)) + inner
        pieces += b"\x1a", encode(len(response)), response
    return b"".join(pieces)


def _range(store: Store, request: etcdserverpb.RangeRequest) -> bytes:
    """A range inside a transaction sees what came before it in the same one."""
    before = store.revision
    if store.changes:
        store.revision += 1
    try:
        cursor = store.cursor(request)
        while cursor.step():
            pass
        return cursor.body
    finally:
        store.revision = before


def _with_header(store: Store, body: bytes) -> bytes:
    """A response of an operation: its header holds the revision and nothing else."""
    header = b"\x18" + encode(store.revision + bool(store.changes))
    response = b"\x0a" + encode(len(header)) + header + body
    return encode(len(response)) + response
