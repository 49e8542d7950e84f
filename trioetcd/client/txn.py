"""Transactions that read like their meaning.

    done = await client.txn(
        when=[key("a").is_absent, key("b").value == "1"],
        then=[put("a", "2")],
        otherwise=[get("a")],
    )

Source: etcd api/etcdserverpb/rpc.proto (Compare, RequestOp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trioetcd.client.values import Data, KeyValue, Listing, key_value, prefix_range, to_bytes
from wire.pb import etcdserverpb

Operation: TypeAlias = etcdserverpb.RequestOp
Condition: TypeAlias = etcdserverpb.Compare
_Compare = etcdserverpb.Compare


@dataclass(frozen=True, slots=True)
class Put:
    """The answer to a put."""

    revision: int
    previous: KeyValue | None  # only if it was asked for


@dataclass(frozen=True, slots=True)
class Deleted:
    """The answer to a delete."""

    count: int
    revision: int
    previous: tuple[KeyValue, ...]  # only if they were asked for


@dataclass(frozen=True, slots=True)
class Txn:
    """What a transaction did: the answers of the branch taken, in its order."""

    succeeded: bool
    revision: int
    results: tuple[Put | Deleted | Listing | Txn, ...]


class Subject:
    """What of a key is compared.  Comparing makes a condition; the server decides it."""

    def __init__(self, key: bytes, range_end: bytes, target: str, field: str) -> None:
        self._key = key
        self._range_end = range_end
        self._target = target
        self._field = field

    def _condition(self, result: str, operand: int | Data) -> Condition:
        condition = _Compare(
            key=self._key,
            range_end=self._range_end,
            target=_Compare.CompareTarget.Value(self._target),
            result=_Compare.CompareResult.Value(result),
        )
        setattr(condition, self._field, operand if isinstance(operand, int) else to_bytes(operand))
        return condition

    def __eq__(self, operand: int | Data) -> Condition:  # type: ignore[override]
        return self._condition("EQUAL", operand)

    def __ne__(self, operand: int | Data) -> Condition:  # type: ignore[override]
        return self._condition("NOT_EQUAL", operand)

    def __lt__(self, operand: int | Data) -> Condition:
        return self._condition("LESS", operand)

    def __gt__(self, operand: int | Data) -> Condition:
        return self._condition("GREATER", operand)

    __hash__ = None  # type: ignore[assignment]


class Key:
    """A key, or all keys of a range, to set conditions on."""

    def __init__(self, key: bytes, range_end: bytes = b"") -> None:
        self.value = Subject(key, range_end, "VALUE", "value")
        self.version = Subject(key, range_end, "VERSION", "version")
        self.create_revision = Subject(key, range_end, "CREATE", "create_revision")
        self.mod_revision = Subject(key, range_end, "MOD", "mod_revision")
        self.lease_id = Subject(key, range_end, "LEASE", "lease")

    @property
    def is_absent(self) -> Condition:
        return self.create_revision == 0

    @property
    def exists(self) -> Condition:
        return self.create_revision != 0


def key(name: Data) -> Key:
    """For conditions on one key."""
    return Key(to_bytes(name))


def keys(prefix: Data) -> Key:
    """For conditions that all keys with a prefix must fulfil."""
    return Key(*prefix_range(prefix))


def put(name: Data, value: Data, *, lease_id: int = 0, previous: bool = False) -> Operation:
    request = etcdserverpb.PutRequest(
        key=to_bytes(name), value=to_bytes(value), lease=lease_id, prev_kv=previous
    )
    return Operation(request_put=request)


def get(name: Data) -> Operation:
    return Operation(request_range=etcdserverpb.RangeRequest(key=to_bytes(name)))


def get_prefix(prefix: Data) -> Operation:
    start, end = prefix_range(prefix)
    return Operation(request_range=etcdserverpb.RangeRequest(key=start, range_end=end))


def delete(name: Data, *, previous: bool = False) -> Operation:
    request = etcdserverpb.DeleteRangeRequest(key=to_bytes(name), prev_kv=previous)
    return Operation(request_delete_range=request)


def delete_prefix(prefix: Data, *, previous: bool = False) -> Operation:
    start, end = prefix_range(prefix)
    request = etcdserverpb.DeleteRangeRequest(key=start, range_end=end, prev_kv=previous)
    return Operation(request_delete_range=request)


def txn(
    when: Sequence[Condition] = (),
    then: Sequence[Operation] = (),
    otherwise: Sequence[Operation] = (),
) -> Operation:
    """A transaction inside another."""
    return Operation(request_txn=request_of(when, then, otherwise))


def request_of(
    when: Sequence[Condition], then: Sequence[Operation], otherwise: Sequence[Operation]
) -> etcdserverpb.TxnRequest:
    return etcdserverpb.TxnRequest(compare=when, success=then, failure=otherwise)


# -- Answers


def put_of(answer: etcdserverpb.PutResponse) -> Put:
    previous = key_value(answer.prev_kv) if answer.HasField("prev_kv") else None
    return Put(answer.header.revision, previous)


def deleted_of(answer: etcdserverpb.DeleteRangeResponse) -> Deleted:
    previous = tuple(map(key_value, answer.prev_kvs))
    return Deleted(answer.deleted, answer.header.revision, previous)


def listing_of(answer: etcdserverpb.RangeResponse) -> Listing:
    items = tuple(map(key_value, answer.kvs))
    return Listing(items, answer.count, answer.more, answer.header.revision)


def txn_of(answer: etcdserverpb.TxnResponse) -> Txn:
    results = tuple(map(_result, answer.responses))
    return Txn(answer.succeeded, answer.header.revision, results)


def _result(answer: etcdserverpb.ResponseOp) -> Put | Deleted | Listing | Txn:
    match answer.WhichOneof("response"):
        case "response_put":
            return put_of(answer.response_put)
        case "response_delete_range":
            return deleted_of(answer.response_delete_range)
        case "response_txn":
            return txn_of(answer.response_txn)
        case _:
            return listing_of(answer.response_range)
