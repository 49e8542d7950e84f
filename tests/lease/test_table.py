"""The lease table: who exists, what hangs on it, and what is stored."""

from __future__ import annotations

import random

import pytest

from actors.lease.table import MAX_TTL, NO_LEASE, LeaseChanges, LeaseTable, min_ttl, row_key
from wire.errors import LeaseExists, LeaseNotFound, LeaseTTLTooLarge
from wire.pb import leasepb


class Rows:
    """A sink that keeps its rows."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def put(self, bucket: str, key: bytes, value: bytes) -> None:
        assert bucket == "lease"
        self.rows[key] = value

    def delete(self, bucket: str, key: bytes) -> None:
        assert bucket == "lease"
        del self.rows[key]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def table(rows: Rows) -> LeaseTable:
    return LeaseTable(rows, min_ttl=2)


def test_a_grant_answers_with_the_ttl_it_gave(table):
    assert table.grant(7, 10) == 10
    assert table.exists(7)
    assert table.ttl_of(7) == 10


@pytest.mark.parametrize("asked", [1, 0, -5, -(1 << 63)])
def test_a_ttl_below_the_minimum_is_raised_to_it(table, asked):
    assert table.grant(7, asked) == 2


def test_the_longest_ttl_is_granted_and_one_second_more_is_not(table):
    assert table.grant(1, MAX_TTL) == MAX_TTL
    with pytest.raises(LeaseTTLTooLarge):
        table.grant(2, MAX_TTL + 1)
    assert not table.exists(2)


def test_an_id_is_granted_once(table):
    table.grant(7, 10)
    with pytest.raises(LeaseExists):
        table.grant(7, 20)
    assert table.ttl_of(7) == 10


def test_a_ttl_too_large_is_named_before_an_id_in_use(table):
    table.grant(7, 10)
    with pytest.raises(LeaseTTLTooLarge):
        table.grant(7, MAX_TTL + 1)


def test_id_zero_is_no_lease(table):
    with pytest.raises(LeaseNotFound):
        table.grant(0, 10)
    assert not table.exists(0)


@pytest.mark.parametrize("lease_id", [-1, -(1 << 63), (1 << 63) - 1])
def test_any_other_int64_is_a_legal_id(table, rows, lease_id):
    table.grant(lease_id, 10)
    assert list(rows.rows) == [(lease_id & (1 << 64) - 1).to_bytes(8, "big")]
    assert table.revoke(lease_id) == []
    assert rows.rows == {}


def test_a_grant_is_stored_as_etcd_stores_it(table, rows):
    table.grant(7, 10)
    assert leasepb.Lease.FromString(rows.rows[row_key(7)]) == leasepb.Lease(ID=7, TTL=10)


def test_a_key_hangs_on_one_lease_at_most(table):
    table.grant(1, 10)
    table.grant(2, 10)
    table.attach(1, b"k")
    table.attach(2, b"k")
    assert table.lease_of(b"k") == 2
    assert table.keys_of(1) == []
    assert table.keys_of(2) == [b"k"]


def test_attaching_twice_is_attaching_once(table):
    table.grant(1, 10)
    table.attach(1, b"k")
    table.attach(1, b"k")
    table.detach(1, b"k")
    assert table.lease_of(b"k") == NO_LEASE
    assert table.revoke(1) == []


def test_attaching_to_no_such_lease_changes_nothing(table):
    table.grant(1, 10)
    table.attach(1, b"k")
    with pytest.raises(LeaseNotFound):
        table.attach(9, b"k")
    assert table.lease_of(b"k") == 1


def test_detaching_from_a_lease_it_does_not_hang_on_leaves_a_key_where_it_is(table):
    table.grant(1, 10)
    table.grant(2, 10)
    table.attach(1, b"k")
    table.detach(2, b"k")
    table.detach(9, b"k")
    table.detach(NO_LEASE, b"other")
    assert table.lease_of(b"k") == 1


def test_a_revoke_names_the_keys_in_order_and_detaches_them(table, rows):
    table.grant(1, 10)
    for key in (b"z", b"a", b"m"):
        table.attach(1, key)
    assert table.revoke(1) == [b"a", b"m", b"z"]
    assert table.lease_of(b"a") == NO_LEASE
    assert rows.rows == {}
    with pytest.raises(LeaseNotFound):
        table.revoke(1)


def test_readers_of_an_unknown_lease_are_told_so(table):
    for read in (table.ttl_of, table.keys_of, table.revoke):
        with pytest.raises(LeaseNotFound):
            read(5)


def test_a_checkpoint_is_stored_and_survives_a_restart(table, rows):
    table.grant(7, 100)
    table.checkpoint(7, 40)
    again = LeaseTable(rows, min_ttl=2)
    again.restore(rows.rows.values())
    assert list(again.leases()) == [(7, 100, 40)]


def test_a_checkpoint_is_not_stored_when_they_are_not_persisted(rows):
    table = LeaseTable(rows, min_ttl=2, persist_checkpoints=False)
    table.grant(7, 100)
    table.checkpoint(7, 40)
    assert list(table.leases()) == [(7, 100, 40)]
    assert leasepb.Lease.FromString(rows.rows[row_key(7)]).RemainingTTL == 0


def test_a_checkpoint_of_a_revoked_lease_is_passed_over(table, rows):
    table.checkpoint(7, 40)
    assert rows.rows == {}
    assert not table.take_changes()


def test_a_restored_table_has_its_leases_and_no_attachments(table, rows):
    table.grant(3, 10)
    table.grant(-4, 20)
    table.attach(3, b"k")
    table.restore(list(rows.rows.values()))
    assert sorted(table.leases()) == [(-4, 20, 0), (3, 10, 0)]
    assert table.lease_of(b"k") == NO_LEASE
    assert not table.take_changes()
    assert len(table) == 2


def test_a_restored_ttl_is_raised_to_a_minimum_that_grew(rows):
    LeaseTable(rows, min_ttl=2).grant(3, 2)
    table = LeaseTable(rows, min_ttl=8)
    table.restore(rows.rows.values())
    assert table.ttl_of(3) == 8


def test_changes_are_told_once(table):
    table.grant(1, 10)
    table.checkpoint(1, 5)
    changes = table.take_changes()
    assert changes == LeaseChanges(granted={1: 10}, checkpointed={1: 5})
    assert not table.take_changes()


def test_a_lease_revoked_and_granted_again_is_told_as_both(table):
    table.grant(1, 10)
    table.take_changes()
    table.revoke(1)
    table.grant(1, 20)
    assert table.take_changes() == LeaseChanges(revoked={1}, granted={1: 20})


def test_merged_changes_say_what_the_parts_said():
    """Random histories: telling the parts one by one or merged leaves the same leases."""

    def tell(leases: dict[int, tuple[int, int]], changes: LeaseChanges) -> None:
        for lease_id in changes.revoked:
            leases.pop(lease_id, None)
        for lease_id, ttl in changes.granted.items():
            leases[lease_id] = (ttl, 0)
        for lease_id, remaining in changes.checkpointed.items():
            leases[lease_id] = (leases[lease_id][0], remaining)

    rng = random.Random(1)
    for _ in range(300):
        table = LeaseTable(Rows(), min_ttl=1)
        one_by_one: dict[int, tuple[int, int]] = {}
        merged = LeaseChanges()
        for _ in range(rng.randrange(1, 6)):
            for _ in range(rng.randrange(6)):
                lease_id = rng.randrange(1, 4)
                if not table.exists(lease_id):
                    table.grant(lease_id, rng.randrange(5, 50))
                elif rng.random() < 0.5:
                    table.revoke(lease_id)
                else:
                    table.checkpoint(lease_id, rng.randrange(1, 5))
            changes = table.take_changes()
            tell(one_by_one, changes)
            merged = changes.after(merged)
        at_once: dict[int, tuple[int, int]] = {}
        tell(at_once, merged)
        truth = {i: (ttl, remaining) for i, ttl, remaining in table.leases()}
        assert one_by_one == truth
        assert at_once == truth


@pytest.mark.parametrize(
    ("election_ticks", "heartbeat_ms", "seconds"),
    [(10, 100, 2), (5, 100, 1), (20, 100, 3), (10, 10, 1), (11, 100, 2), (500, 100, 75)],
)
def test_the_minimum_ttl_is_one_and_a_half_elections(election_ticks, heartbeat_ms, seconds):
    assert min_ttl(election_ticks, heartbeat_ms) == seconds


def test_grants_and_revocations_are_counted_and_ttls_by_powers_of_two(table):
    for lease_id, ttl in enumerate((2, 3, 4, 5, 1 << 23, (1 << 23) + 1, MAX_TTL), start=1):
        table.grant(lease_id, ttl)
    table.revoke(1)
    assert (table.granted_total, table.revoked_total) == (7, 1)
    assert table.ttl_total == 2 + 3 + 4 + 5 + (1 << 24) + 1 + MAX_TTL
    counts = {bucket: count for bucket, count in enumerate(table.ttl_counts) if count}
    assert counts == {1: 1, 2: 2, 3: 1, 23: 1, 24: 2}
