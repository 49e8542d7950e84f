"""Transactions: compare, choose, check, and only then do.

All comparisons, those of nested transactions too, are made on the state before the outer one;
they fix which branches are taken.  Then the taken path is checked, and what can be refused is
refused.  What is left cannot fail, so it is done in one step.
Source: etcd server/etcdserver/txn/txn.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.mvcc.ranges import bounds
from wire.errors import Compacted, FutureRevision, KeyNotFound, LeaseNotFound
from wire.pb import etcdserverpb, mvccpb
from wire.varint import encode

if TYPE_CHECKING:
    from actors.mvcc.store import Answer, Store

_Compare = etcdserverpb.Compare
_ABSENT = mvccpb.KeyValue()


@dataclass(slots=True)
class Path:
    """The branch that a transaction takes, and those that the ones nested in it take."""

    succeeded: bool
    operations: Sequence[etcdserverpb.RequestOp]
    nested: list[Path] = field(default_factory=list)  # in the order of the operations

    def all_operations(self) -> Iterator[etcdserverpb.RequestOp]:
        """Those of the path that are no transactions themselves, in order."""
        nested = iter(self.nested)
        for operation in self.operations:
            if operation.HasField("request_txn"):
                yield from next(nested).all_operations()
            else:
                yield operation


def run_txn(store: Store, request: etcdserverpb.TxnRequest) -> Answer:
    """Also for read-only transactions, which nobody proposes: they change nothing here.

    Raises:
        Compacted, FutureRevision, KeyNotFound, LeaseNotFound: nothing was changed.
    """
    path = choose(store, request)
    check_path(store, path)
    body = _execute(store, path)
    store.end()
    return store.revision, body


def choose(store: Store, request: etcdserverpb.TxnRequest) -> Path:
    succeeded = all(_holds(store, compare) for compare in request.compare)
    operations = request.success if succeeded else request.failure
    nested = [
        choose(store, operation.request_txn)
        for operation in operations
        if operation.HasField("request_txn")
    ]
    return Path(succeeded, operations, nested)


def check_path(store: Store, path: Path) -> None:
    """What can be refused: first of all puts, then of all ranges, in etcd's order."""
    for operation in path.all_operations():
        if operation.HasField("request_put"):
            _check_put(store, operation.request_put)
    for operation in path.all_operations():
        if operation.HasField("request_range"):
            _check_range(store, operation.request_range)


def _check_put(store: Store, put: etcdserverpb.PutRequest) -> None:
    if (put.ignore_value or put.ignore_lease) and store.current_row(put.key) is None:
        raise KeyNotFound
    if put.lease and not store.leases.exists(put.lease):
        raise LeaseNotFound


def _check_range(store: Store, request: etcdserverpb.RangeRequest) -> None:
    if request.revision > store.revision:
        raise FutureRevision
    if request.revision and request.revision < store.compact_revision:
        raise Compacted


def _holds(store: Store, compare: _Compare) -> bool:
    """Whether a comparison holds for every key that it names."""
    if not compare.range_end:
        row = store.current_row(compare.key)
        if row is not None:
            return _compare(compare, mvccpb.KeyValue.FromString(row))
    else:
        keys = list(store.index.keys(*bounds(compare.key, compare.range_end)))
        if keys:
            rows = filter(None, map(store.current_row, keys))
            return all(_compare(compare, mvccpb.KeyValue.FromString(row)) for row in rows)
    # An absent key has no value at all, not an empty one; its numbers count as 0.
    return compare.target != _Compare.VALUE and _compare(compare, _ABSENT)


def _compare(compare: _Compare, kv: mvccpb.KeyValue) -> bool:
    """An enum value nobody knows compares as equal, or as true: etcd's rule."""
    stored: bytes | int
    given: bytes | int
    if compare.target == _Compare.VALUE:
        stored, given = kv.value, compare.value
    elif compare.target == _Compare.CREATE:
        stored, given = kv.create_revision, compare.create_revision
    elif compare.target == _Compare.MOD:
        stored, given = kv.mod_revision, compare.mod_revision
    elif compare.target == _Compare.VERSION:
        stored, given = kv.version, compare.version
    elif compare.target == _Compare.LEASE:
        stored, given = kv.lease, compare.lease
    else:
        stored = given = 0
    if compare.result == _Compare.EQUAL:
        return stored == given
    if compare.result == _Compare.NOT_EQUAL:
        return stored != given
    if compare.result == _Compare.GREATER:
        return stored > given  # type: ignore[operator]  # both bytes or both int
    if compare.result == _Compare.LESS:
        return stored < given  # type: ignore[operator]
    return True


def _execute(store: Store, path: Path) -> bytes:
    """Do the operations and return a TxnResponse without its header."""
    nested = iter(path.nested)
    body = b"\x10\x01" if path.succeeded else b""
    responses = []
    for operation in path.operations:
        match operation.WhichOneof("request"):
            case "request_range":
                response = b"\x0a" + _with_header(store, _range(store, operation.request_range))
            case "request_put":
                put = store.put_with_previous(operation.request_put)
                response = b"\x12" + _with_header(store, put)
            case "request_delete_range":
                deleted = store.delete_range(operation.request_delete_range)
                response = b"\x1a" + _with_header(store, deleted)
            case _:
                inner = b"\x0a\x00" + _execute(store, next(nested))  # its header is empty
                response = b"\x22" + encode(len(inner)) + inner
        responses.append(b"\x1a" + encode(len(response)) + response)
    return body + b"".join(responses)


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
