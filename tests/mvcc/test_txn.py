"""Which of several faults a transaction is refused for: that is etcd's order too."""

from __future__ import annotations

import pytest

from tests.mvcc.test_store import new_store
from wire.errors import Compacted, EtcdError, FutureRevision, KeyNotFound, LeaseNotFound
from wire.pb import etcdserverpb

UNKNOWN_LEASE = 99
PutRequest, RangeRequest = etcdserverpb.PutRequest, etcdserverpb.RangeRequest


def refusal(*requests: PutRequest | RangeRequest, nested_at: int = -1) -> type[EtcdError]:
    """What a transaction of these requests is refused for; one of them in a nested one."""
    store = new_store()
    for _ in range(3):
        store.apply_put(PutRequest(key=b"a", value=b"1"))
    store.apply_compaction(etcdserverpb.CompactionRequest(revision=3))
    txn = etcdserverpb.TxnRequest()
    for at, request in enumerate(requests):
        operation = txn.success.add()
        if at == nested_at:
            operation = operation.request_txn.success.add()
        if isinstance(request, PutRequest):
            operation.request_put.CopyFrom(request)
        else:
            operation.request_range.CopyFrom(request)
    with pytest.raises(EtcdError) as found:
        store.apply_txn(txn)
    return type(found.value)


OLD_RANGE = RangeRequest(key=b"a", revision=2)
FUTURE_RANGE = RangeRequest(key=b"a", revision=9)
LEASED = PutRequest(key=b"b", lease=UNKNOWN_LEASE)
KEPT_AND_LEASED = PutRequest(key=b"c", ignore_value=True, lease=UNKNOWN_LEASE)


@pytest.mark.parametrize("nested_at", [-1, 0, 1])
def test_puts_are_looked_at_before_ranges_wherever_they_are(nested_at: int):
    assert refusal(OLD_RANGE, LEASED, nested_at=nested_at) is LeaseNotFound
    assert refusal(LEASED, OLD_RANGE, nested_at=nested_at) is LeaseNotFound


def test_a_missing_key_comes_before_a_missing_lease():
    assert refusal(KEPT_AND_LEASED) is KeyNotFound


def test_of_several_puts_or_ranges_the_first_counts():
    assert refusal(LEASED, KEPT_AND_LEASED) is LeaseNotFound
    assert refusal(KEPT_AND_LEASED, LEASED) is KeyNotFound
    assert refusal(OLD_RANGE, FUTURE_RANGE) is Compacted
    assert refusal(FUTURE_RANGE, OLD_RANGE) is FutureRevision


@pytest.mark.parametrize("end", [b"a", b"\x01"])
def test_a_comparison_of_an_empty_range_sees_nothing_even_if_its_start_is_alive(end: bytes):
    store = new_store()
    store.apply_put(PutRequest(key=b"b", value=b"1"))
    Compare = etcdserverpb.Compare
    for target in (Compare.VERSION, Compare.CREATE, Compare.MOD, Compare.LEASE):
        for result, holds in ((Compare.EQUAL, True), (Compare.GREATER, False)):
            compare = Compare(key=b"b", range_end=end, target=target, result=result)
            _, body = store.apply_txn(etcdserverpb.TxnRequest(compare=[compare]))
            assert etcdserverpb.TxnResponse.FromString(body).succeeded is holds
    compare = Compare(key=b"b", range_end=end, target=Compare.VALUE, result=Compare.NOT_EQUAL)
    _, body = store.apply_txn(etcdserverpb.TxnRequest(compare=[compare]))
    assert not etcdserverpb.TxnResponse.FromString(body).succeeded
