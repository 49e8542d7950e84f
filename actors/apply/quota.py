"""What a request would cost in backend bytes, as etcd estimates it.

Source: etcd server/storage/quota.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from wire.pb import etcdserverpb

LEASE_BYTES = 64  # what one lease row takes
KEY_BYTES = 256  # what one key takes beside its key and value
DEFAULT_BYTES = 2 * 1024**3
SUGGESTED_MAX_BYTES = 8 * 1024**3  # more is allowed, with a warning


def cost_of_put(request: etcdserverpb.PutRequest) -> int:
    return KEY_BYTES + len(request.key) + len(request.value)


def cost_of_txn(request: etcdserverpb.TxnRequest) -> int:
    """The dearer of the two branches; 0 when neither holds a put."""
    return max(_cost_of_ops(request.success), _cost_of_ops(request.failure))


def _cost_of_ops(operations: Iterable[etcdserverpb.RequestOp]) -> int:
    cost = 0
    for operation in operations:
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            cost += cost_of_put(operation.request_put)
        elif kind == "request_txn":
            cost += cost_of_txn(operation.request_txn)
    return cost
