"""The store against a model that keeps every revision whole, and rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.backend.backend import Backend
from actors.backend.engine import MemoryEngine
from actors.mvcc.compaction import Compaction, is_due
from actors.mvcc.hash import KVHash
from actors.mvcc.revision import row_key
from actors.mvcc.store import Store
from tests.mvcc.model import KV, Model
from wire.errors import Compacted, EtcdError, FutureRevision, KeyNotFound, LeaseNotFound
from wire.pb import etcdserverpb, mvccpb

KEYS = st.sampled_from([b"a", b"ab", b"b", b"c", b"c\xff", b"d"])
ENDS = st.sampled_from([b"", b"\0", b"b", b"c", b"c\xff\0", b"a"])
VALUES = st.sampled_from([b"", b"1", b"22", b"x" * 200])


class FakeLeases:
    def __init__(self, *known: int) -> None:
        self.known = set(known)
        self.by_key: dict[bytes, int] = {}

    def lease_of(self, key: bytes) -> int:
        return self.by_key.get(key, 0)

    def exists(self, lease_id: int) -> bool:
        return lease_id in self.known

    def attach(self, lease_id: int, key: bytes) -> None:
        self.by_key[key] = lease_id

    def detach(self, lease_id: int, key: bytes) -> None:
        assert self.by_key.pop(key) == lease_id


def new_store() -> Store:
    return Store(Backend(MemoryEngine()), FakeLeases(7, 8))


def commit(store: Store) -> None:
    engine = store.backend.engine
    engine.begin()
    layer = store.backend.take()
    if layer is not None:
        for bucket, changes in layer.buckets.items():
            engine.write(bucket, changes.items())
        engine.commit()
        store.backend.committed()


def reopened(store: Store) -> Store:
    commit(store)
    again = Store(Backend(store.backend.engine), FakeLeases(*store.leases.known))
    again.restore()
    return again


def put(store: Store, key: bytes, value: bytes = b"v", **fields: object):
    return store.apply_put(etcdserverpb.PutRequest(key=key, value=value, **fields))


def get(store: Store, key: bytes, end: bytes = b"", **fields: object):
    request = etcdserverpb.RangeRequest(key=key, range_end=end, **fields)
    cursor = store.cursor(request)
    while cursor.step(2):  # small steps: what a step leaves for the next one must hold
        pass
    return etcdserverpb.RangeResponse.FromString(cursor.body)


def delete(store: Store, key: bytes, end: bytes = b"", **fields: object):
    request = etcdserverpb.DeleteRangeRequest(key=key, range_end=end, **fields)
    return etcdserverpb.DeleteRangeResponse.FromString(store.apply_delete_range(request)[1])


def compact(store: Store, revision: int) -> None:
    store.apply_compaction(etcdserverpb.CompactionRequest(revision=revision))


def clean(store: Store, keys: int = 1000) -> None:
    while is_due(store):
        run = Compaction(store)
        while run.step(keys):
            pass


def as_kv(kv: mvccpb.KeyValue) -> KV:
    return KV(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


class StoreAgreesWithModel(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.store = new_store()
        self.model = Model()

    @rule(key=KEYS, value=VALUES, lease=st.sampled_from([0, 0, 7, 8, 9]))
    def put(self, key: bytes, value: bytes, lease: int) -> None:
        if lease == 9:
            with pytest.raises(LeaseNotFound):
                put(self.store, key, value, lease=9)
            return
        previous = self.model.now.get(key)
        revision, body = put(self.store, key, value, lease=lease, prev_kv=True)
        self.model.write([(key, value, lease)])
        assert revision == self.model.revision
        response = etcdserverpb.PutResponse.FromString(body)
        assert (as_kv(response.prev_kv) if response.HasField("prev_kv") else None) == previous

    @rule(key=KEYS, value=VALUES)
    def put_keeping_the_lease(self, key: bytes, value: bytes) -> None:
        old = self.model.now.get(key)
        if old is None:
            with pytest.raises(KeyNotFound):
                put(self.store, key, value, ignore_lease=True)
            return
        put(self.store, key, value, ignore_lease=True)
        self.model.write([(key, value, old.lease)])

    @rule(key=KEYS, end=ENDS)
    def delete(self, key: bytes, end: bytes) -> None:
        gone = self.model.within(key, end)
        response = delete(self.store, key, end, prev_kv=True)
        self.model.write([(kv.key, None, 0) for kv in gone])
        assert response.deleted == len(gone)
        assert [as_kv(kv) for kv in response.prev_kvs] == gone

    @rule(
        keys=st.lists(KEYS, unique=True, min_size=1, max_size=3),
        value=VALUES,
        gone=st.booleans(),
        read=ENDS,
    )
    def transact(self, keys: list[bytes], value: bytes, gone: bool, read: bytes) -> None:
        request = etcdserverpb.TxnRequest()
        for key in keys:
            request.success.add().request_put.MergeFrom(
                etcdserverpb.PutRequest(key=key, value=value)
            )
        request.success.add().request_range.MergeFrom(
            etcdserverpb.RangeRequest(key=b"a", range_end=read)
        )
        if gone:
            request.success.add().request_delete_range.key = b"zz"
        revision, body = self.store.apply_txn(request)
        self.model.write([(key, value, 0) for key in keys])
        assert revision == self.model.revision
        answer = etcdserverpb.TxnResponse.FromString(body)
        assert answer.succeeded
        seen = answer.responses[len(keys)].response_range
        assert [as_kv(kv) for kv in seen.kvs] == self.model.within(b"a", read)
        assert {op.response_put.header.revision for op in answer.responses[: len(keys)]} == {
            self.model.revision
        }

    @rule(key=KEYS, end=ENDS, back=st.integers(0, 6), limit=st.integers(-1, 3))
    def read(self, key: bytes, end: bytes, back: int, limit: int) -> None:
        revision = self.model.revision - back
        if revision < 1:
            return
        if revision < self.model.compacted:
            with pytest.raises(Compacted):
                get(self.store, key, end, revision=revision)
            return
        expected = self.model.within(key, end, revision)
        response = get(self.store, key, end, revision=revision, limit=limit)
        cut = expected if limit <= 0 else expected[:limit]
        assert [as_kv(kv) for kv in response.kvs] == cut
        assert response.count == len(expected)
        assert response.more == (len(cut) < len(expected))
        counted = get(self.store, key, end, revision=revision, count_only=True)
        assert (counted.count, list(counted.kvs), counted.more) == (len(expected), [], False)

    @rule()
    def read_the_future(self) -> None:
        with pytest.raises(FutureRevision):
            get(self.store, b"a", revision=self.model.revision + 1)

    @rule(back=st.integers(0, 5), keys=st.integers(1, 3), finish=st.booleans())
    def compact(self, back: int, keys: int, finish: bool) -> None:
        revision = self.model.revision - back
        if revision <= self.model.compacted:
            with pytest.raises(Compacted):
                compact(self.store, revision)
            return
        compact(self.store, revision)
        self.model.compacted = revision
        if finish:
            clean(self.store, keys)
        else:
            Compaction(self.store).step(keys)

    @rule(behind=st.integers(0, 8), limit=st.integers(1, 5))
    def read_events(self, behind: int, limit: int) -> None:
        first = max(self.model.revision - behind, self.model.compacted + 1, 2)
        got = self.store.events(first, self.model.revision, limit)
        expected = [event for event in self.model.events if event[0] >= first]
        assert [(e.main, e.key) for e in got] == [(m, k) for m, k, _ in expected][: len(got)]
        assert got or not expected
        if len(got) < len(expected):
            assert expected[len(got)][0] != got[-1].main, "a revision was cut in two"

    @rule()
    def hash_is_the_same_after_a_restart(self) -> None:
        clean(self.store)
        assert hash_of(reopened(self.store)) == hash_of(self.store)

    @rule()
    def restart(self) -> None:
        self.store = reopened(self.store)

    @rule()
    def commit(self) -> None:
        commit(self.store)

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def the_present_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        assert self.store.revision == self.model.revision
        response = get(self.store, b"\0", b"\0")
        assert [as_kv(kv) for kv in response.kvs] == self.model.within(b"\0", b"\0")
        assert self.store.leases.by_key == {
            kv.key: kv.lease for kv in self.model.now.values() if kv.lease
        }
        for key in (b"a", b"c\xff"):
            single = etcdserverpb.RangeResponse.FromString(self.store.read_key(key))
            assert [as_kv(kv) for kv in single.kvs] == self.model.within(key, b"")


StoreAgreesWithModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
TestStore = StoreAgreesWithModel.TestCase


def hash_of(store: Store, revision: int = 0) -> int:
    run = KVHash(store, revision)
    while run.step(3):
        pass
    return run.value


def test_the_hash_is_etcds():
    """The vectors were read from etcd 3.4.23."""
    store = new_store()
    assert hash_of(store) == 1084519789
    put(store, b"foo", b"bar")
    assert hash_of(store) == 3305255506
    put(store, b"foo", b"bar2")
    request = etcdserverpb.TxnRequest()
    for key, value in ((b"a", b"1"), (b"b", b"2")):
        request.success.add().request_put.MergeFrom(etcdserverpb.PutRequest(key=key, value=value))
    request.success.add().request_delete_range.key = b"foo"
    store.apply_txn(request)
    assert hash_of(store) == 3735950036
    compact(store, 3)
    clean(store)
    assert hash_of(store) == 3444236414
    compact(store, 4)
    clean(store)
    assert hash_of(store) == 3947480343
    put(store, b"z", b"z")
    assert hash_of(store) == 3929785429


def test_hashing_refuses_what_cannot_be_read():
    store = new_store()
    put(store, b"a")
    put(store, b"a")
    compact(store, 3)
    with pytest.raises(Compacted):
        KVHash(store, 2)
    with pytest.raises(FutureRevision):
        KVHash(store, 4)


def replaced(store: Store, *, compacted: int = 0) -> None:
    """As a leader's snapshot does: another member's rows, ten more of them, in the same store."""
    newer = new_store()
    for number in range(20):
        put(newer, b"k%d" % (number % 10), b"new" if number > 9 else b"old")
    if compacted:
        compact(newer, compacted)
        clean(newer)
    store.backend = newer.backend
    store.restore()


def test_a_cursor_reads_on_in_a_store_that_was_replaced_if_it_can():
    store = new_store()
    for number in range(10):
        put(store, b"k%d" % number, b"old")
    everything = etcdserverpb.RangeRequest(key=b"k", range_end=b"l")
    cursor, late = store.cursor(everything), store.cursor(everything)
    assert cursor.step(4)
    replaced(store)
    while cursor.step(4):
        pass
    response = etcdserverpb.RangeResponse.FromString(cursor.body)
    assert [kv.value for kv in response.kvs] == [b"old"] * 10
    assert late.step(4)
    replaced(store, compacted=15)
    with pytest.raises(Compacted):
        late.step(4)


def test_a_hash_begins_again_in_a_store_that_was_replaced():
    store = new_store()
    for number in range(10):
        put(store, b"k%d" % number, b"old")
    run, late = KVHash(store), KVHash(store)
    assert run.step(3)
    replaced(store, compacted=11)
    while run.step(3):
        pass
    assert (run.value, run.compact_revision) == (hash_of(store, 11), 11)
    assert late.step(3)
    replaced(store, compacted=15)
    with pytest.raises(Compacted):
        late.step(3)


def test_a_cursor_reads_its_revision_whatever_happens_between_its_steps():
    store = new_store()
    for number in range(10):
        put(store, b"k%d" % number, b"old")
    cursor = store.cursor(etcdserverpb.RangeRequest(key=b"k", range_end=b"l"))
    assert cursor.step(4)
    for number in range(10):
        put(store, b"k%d" % number, b"new")
    delete(store, b"k8")
    put(store, b"k55", b"newer")
    while cursor.step(4):
        pass
    response = etcdserverpb.RangeResponse.FromString(cursor.body)
    assert [kv.key for kv in response.kvs] == [b"k%d" % number for number in range(10)]
    assert {kv.value for kv in response.kvs} == {b"old"}
    assert response.count == 10


SORTS = etcdserverpb.RangeRequest


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sort_order": SORTS.DESCEND}, b"dcba"),
        ({"sort_target": SORTS.MOD, "sort_order": SORTS.ASCEND}, b"acdb"),
        ({"sort_target": SORTS.MOD}, b"acdb"),
        ({"sort_target": SORTS.VERSION, "sort_order": SORTS.DESCEND}, b"bacd"),
        ({"sort_target": SORTS.VALUE, "sort_order": SORTS.ASCEND}, b"bdca"),
        ({"sort_target": SORTS.CREATE, "sort_order": SORTS.DESCEND, "limit": 2}, b"dc"),
        # Without an order the limit comes first, and only what is left is sorted.
        ({"sort_target": SORTS.VALUE, "limit": 2}, b"bc"),
        ({"min_mod_revision": 4}, b"bcd"),
        ({"max_mod_revision": 4, "limit": 1}, b"a"),
        ({"min_create_revision": 3, "max_create_revision": 4}, b"bc"),
        ({"max_create_revision": -1}, b""),
    ],
)
def test_sorting_and_filters(fields: dict[str, int], expected: bytes):
    store = new_store()
    for key, value in ((b"a", b"9"), (b"b", b"2"), (b"c", b"3"), (b"d", b"1")):
        put(store, key, value)
    put(store, b"b", b"0")
    response = get(store, b"a", b"z", **fields)
    assert b"".join(kv.key for kv in response.kvs) == expected
    assert response.count == 4


def test_keys_only_sorts_by_the_value_it_leaves_out():
    store = new_store()
    put(store, b"a", b"2", lease=7)
    put(store, b"b", b"1")
    response = get(store, b"a", b"z", sort_target=SORTS.VALUE, keys_only=True)
    assert [(kv.key, kv.value, kv.lease) for kv in response.kvs] == [(b"b", b"", 0), (b"a", b"", 7)]


def compare(target: str, result: str = "EQUAL", key: bytes = b"a", **fields: object):
    return etcdserverpb.Compare(
        target=etcdserverpb.Compare.CompareTarget.Value(target),
        result=etcdserverpb.Compare.CompareResult.Value(result),
        key=key,
        **fields,
    )


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        (compare("VALUE", value=b"1"), True),
        (compare("VALUE", "GREATER", value=b"0"), True),
        (compare("VALUE", "LESS", value=b"1"), False),
        (compare("VERSION", version=2), True),
        (compare("CREATE", create_revision=2), True),
        (compare("MOD", "NOT_EQUAL", mod_revision=3), False),
        (compare("LEASE", lease=7), True),
        (compare("VERSION", key=b"no"), True),
        (compare("VALUE", key=b"no"), False),
        (compare("VALUE", "NOT_EQUAL", key=b"no", value=b"x"), False),
        (compare("LEASE", "LESS", key=b"no", lease=1), True),
        (compare("MOD", "GREATER", range_end=b"c", mod_revision=2), True),
        (compare("LEASE", range_end=b"c", lease=7), False),
        (compare("VALUE", "NOT_EQUAL", key=b"x", range_end=b"z", value=b"q"), False),
        (compare("CREATE", key=b"x", range_end=b"z", create_revision=0), True),
        (compare("MOD", "EQUAL", version=3), False),  # the wrong member of the union reads as 0
        (etcdserverpb.Compare(key=b"a", target=etcdserverpb.Compare.MOD, result=9), True),
    ],
)
def test_comparisons(comparison: etcdserverpb.Compare, holds: bool):
    store = new_store()
    put(store, b"a", b"0")
    put(store, b"a", b"1", lease=7)
    put(store, b"b", b"2")
    _, body = store.apply_txn(etcdserverpb.TxnRequest(compare=[comparison]))
    assert etcdserverpb.TxnResponse.FromString(body).succeeded is holds
    assert store.revision == 4


def test_nested_comparisons_see_the_state_before_the_transaction():
    store = new_store()
    request = etcdserverpb.TxnRequest()
    request.success.add().request_put.MergeFrom(etcdserverpb.PutRequest(key=b"a", value=b"1"))
    inner = request.success.add().request_txn
    inner.compare.append(compare("VERSION", version=1))
    inner.success.add().request_put.MergeFrom(etcdserverpb.PutRequest(key=b"yes"))
    inner.failure.add().request_put.MergeFrom(etcdserverpb.PutRequest(key=b"no"))
    _, body = store.apply_txn(request)
    assert not etcdserverpb.TxnResponse.FromString(body).responses[1].response_txn.succeeded
    assert get(store, b"no").count == 1


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (etcdserverpb.RequestOp(request_range=SORTS(key=b"a", revision=3)), FutureRevision),
        (etcdserverpb.RequestOp(request_range=SORTS(key=b"a", revision=-1)), Compacted),
        (
            etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"b", lease=99)),
            LeaseNotFound,
        ),
        (
            etcdserverpb.RequestOp(
                request_put=etcdserverpb.PutRequest(key=b"b", ignore_value=True)
            ),
            KeyNotFound,
        ),
    ],
)
def test_a_refused_transaction_changes_nothing(
    operation: etcdserverpb.RequestOp, error: type[EtcdError]
):
    store = new_store()
    put(store, b"a")
    compact(store, 1)
    request = etcdserverpb.TxnRequest()
    request.success.add().request_put.key = b"first"
    request.success.add().request_txn.success.append(operation)
    with pytest.raises(error):
        store.apply_txn(request)
    assert store.revision == 2
    assert get(store, b"first").count == 0
    other = etcdserverpb.TxnRequest()
    other.success.add().request_put.key = b"first"
    other.failure.append(operation)
    store.apply_txn(other)  # the branch not taken is not looked at


def test_a_transaction_reads_what_it_wrote_and_the_past_when_asked():
    store = new_store()
    put(store, b"a", b"old")
    request = etcdserverpb.TxnRequest()
    request.success.add().request_range.key = b"a"
    request.success.add().request_put.MergeFrom(etcdserverpb.PutRequest(key=b"a", value=b"new"))
    request.success.add().request_range.key = b"a"
    request.success.add().request_range.MergeFrom(SORTS(key=b"a", revision=2))
    request.success.add().request_delete_range.key = b"nothing"
    revision, body = store.apply_txn(request)
    answer = etcdserverpb.TxnResponse.FromString(body).responses
    assert [answer[at].response_range.kvs[0].value for at in (0, 2, 3)] == [b"old", b"new", b"old"]
    assert answer[0].response_range.header.revision == 2
    assert answer[2].response_range.header.revision == 3
    assert answer[4].response_delete_range.header.revision == 3
    assert revision == 3


def test_a_compaction_survives_a_crash_half_way():
    store = new_store()
    for value in range(5):
        for key in (b"a", b"b", b"c"):
            put(store, key, b"%d" % value)
    delete(store, b"c")
    put(store, b"a", b"last")
    compact(store, store.revision)
    Compaction(store).step(1)
    again = reopened(store)
    assert is_due(again)
    assert again.compact_revision == store.revision
    clean(again)
    rows = again.backend.scan("key")
    assert [mvccpb.KeyValue.FromString(row).key for _, row in rows] == [b"b", b"a"]
    assert again.revision == store.revision


def test_a_deletion_at_the_compacted_revision_can_still_be_watched():
    store = new_store()
    put(store, b"a")
    delete(store, b"a")
    compact(store, 3)
    clean(store)
    assert [(e.main, e.key, e.dead) for e in store.events(3, 3, 10)] == [(3, b"a", True)]
    put(store, b"b")
    compact(store, 4)
    clean(store)
    assert [key for key, _ in store.backend.scan("key")] == [row_key(4, 0)]


def test_an_expired_lease_deletes_its_keys_in_order_and_at_one_revision():
    store = new_store()
    for key in (b"z", b"a", b"m"):
        put(store, key, lease=7)
    store.delete_keys([b"z", b"a", b"m", b"never"])
    events = store.events(5, 5, 10)
    assert [(e.main, e.sub, e.key, e.dead) for e in events] == [
        (5, 0, b"a", True),
        (5, 1, b"m", True),
        (5, 2, b"z", True),
    ]
    assert store.leases.by_key == {}
    store.delete_keys([])
    assert store.revision == 5
