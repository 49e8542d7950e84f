"""Ids given out by members."""

from __future__ import annotations

from actors.lease.ids import IDs


def test_an_id_is_laid_out_as_etcds():
    ids = IDs(0x8211F1D0F64F3269, unix_ms=0x0123456789AB)
    assert ids.next() == 0x3269_23456789AB_01
    assert ids.next() == 0x3269_23456789AB_02


def test_the_counter_runs_on_into_the_time():
    ids = IDs(1, unix_ms=5)
    last = [ids.next() for _ in range(256)][-1]
    assert last == 1 << 48 | 6 << 8


def test_lease_ids_are_positive():
    ids = IDs(0xFFFF, unix_ms=5)
    assert ids.next() >> 63
    assert 0 < ids.next_lease() < 1 << 63


def test_no_id_is_zero():
    ids = IDs(0x10000, unix_ms=(1 << 40) - 1)
    assert 0 not in [ids.next() for _ in range(600)]


def test_members_and_starts_do_not_share_ids():
    given = [
        IDs(member_id, unix_ms).next() for member_id in range(1, 20) for unix_ms in range(1, 20)
    ]
    assert len(set(given)) == len(given)
