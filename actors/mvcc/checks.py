"""What a KV request must satisfy before it is worth proposing.

The order of the checks is etcd's: of several faults a client is told the first.
Source: etcd server/etcdserver/api/v3rpc/key.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.errors import (
    DuplicateKey,
    InvalidSortOption,
    KeyNotFound,
    KeyNotProvided,
    LeaseProvided,
    RangeStreamFiltered,
    RangeStreamSorted,
    TooManyOperations,
    ValueProvided,
)
from wire.pb import etcdserverpb

DEFAULT_MAX_TXN_OPS = 128
_ORDERS, _TARGETS = range(3), range(5)  # of the enums SortOrder and SortTarget


def check_range(request: etcdserverpb.RangeRequest) -> None:
    if not request.key:
        raise KeyNotProvided
    if request.sort_order not in _ORDERS or request.sort_target not in _TARGETS:
        raise InvalidSortOption


def check_range_stream(request: etcdserverpb.RangeRequest) -> None:
    check_range(request)
    if not is_key_order(request):
        raise RangeStreamSorted
    if has_filters(request):
        raise RangeStreamFiltered


def check_put(request: etcdserverpb.PutRequest) -> None:
    if not request.key:
        raise KeyNotProvided
    if request.ignore_value and request.value:
        raise ValueProvided
    if request.ignore_lease and request.lease:
        raise LeaseProvided


def check_delete_range(request: etcdserverpb.DeleteRangeRequest) -> None:
    if not request.key:
        raise KeyNotProvided


def check_txn(request: etcdserverpb.TxnRequest, max_ops: int = DEFAULT_MAX_TXN_OPS) -> None:
    """Everything that can be said of a transaction without the store."""
    _check_operations(request, max_ops)
    _check_overlaps(request.success)
    _check_overlaps(request.failure)


def _check_operations(request: etcdserverpb.TxnRequest, max_ops: int) -> None:
    size = max(len(request.compare), len(request.success), len(request.failure))
    if size > max_ops:
        raise TooManyOperations
    if not all(compare.key for compare in request.compare):
        raise KeyNotProvided
    for branch in (request.success, request.failure):
        for operation in branch:
            _check_operation(operation, max_ops - size)


def _check_operation(operation: etcdserverpb.RequestOp, max_ops: int) -> None:
    match operation.WhichOneof("request"):
        case "request_range":
            check_range(operation.request_range)
        case "request_put":
            check_put(operation.request_put)
        case "request_delete_range":
            check_delete_range(operation.request_delete_range)
        case "request_txn":
            _check_operations(operation.request_txn, max_ops)
        case _:
            raise KeyNotFound  # etcd's word for an operation that is none


_Interval = tuple[bytes, bytes | None]  # [start, stop); no stop: to the end


def _check_overlaps(
    operations: Sequence[etcdserverpb.RequestOp],
) -> tuple[set[bytes], list[_Interval]]:
    """Refuse two puts to one key, and a put to a key that a delete covers.

    The branches of a nested transaction exclude each other and may share keys.  Returns the
    puts and deletes of `operations` with everything nested in them.
    """
    deletes = [
        _interval(operation.request_delete_range)
        for operation in operations
        if operation.HasField("request_delete_range")
    ]
    puts: set[bytes] = set()
    for operation in operations:
        if not operation.HasField("request_txn"):
            continue
        puts_then, deletes_then = _check_overlaps(operation.request_txn.success)
        puts_else, deletes_else = _check_overlaps(operation.request_txn.failure)
        _refuse(puts_then, puts, deletes)
        _refuse(puts_else, puts, deletes)
        puts |= puts_then | puts_else
        deletes += deletes_then + deletes_else
    for operation in operations:
        if operation.HasField("request_put"):
            key = operation.request_put.key
            _refuse({key}, puts, deletes)
            puts.add(key)
    return puts, deletes


def _interval(request: etcdserverpb.DeleteRangeRequest) -> _Interval:
    if not request.range_end:
        return request.key, request.key + b"\0"
    # A NUL end, which deletes to the end of the key space, counts as empty here: so it is in
    # etcd, whose interval tree takes it for the key NUL.
    return request.key, request.range_end


def _refuse(keys: set[bytes], puts: set[bytes], deletes: list[_Interval]) -> None:
    if not keys.isdisjoint(puts):
        raise DuplicateKey
    for start, stop in deletes:
        if any(start <= key and (stop is None or key < stop) for key in keys):
            raise DuplicateKey


def is_key_order(request: etcdserverpb.RangeRequest) -> bool:
    """Whether the order asked for is the one rows come in, as far as limits are concerned.

    Without an order, sorting by another target happens after the limit: etcd's rule.
    """
    return request.sort_order == etcdserverpb.RangeRequest.NONE or (
        request.sort_target == etcdserverpb.RangeRequest.KEY
        and request.sort_order == etcdserverpb.RangeRequest.ASCEND
    )


def has_filters(request: etcdserverpb.RangeRequest) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def is_read_only(request: etcdserverpb.TxnRequest) -> bool:
    """Only ranges in both branches; a nested transaction counts as a write."""
    return all(
        operation.HasField("request_range")
        for branch in (request.success, request.failure)
        for operation in branch
    )


def is_serializable(request: etcdserverpb.TxnRequest) -> bool:
    """Of a read-only transaction: every range in both branches is serializable."""
    return all(
        operation.request_range.serializable
        for branch in (request.success, request.failure)
        for operation in branch
    )
