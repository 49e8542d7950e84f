"""Proposals that wait for a leader."""

from __future__ import annotations

from actors.raft.parking import MOST, SECONDS, Parking


def test_what_waits_is_taken_in_order_and_once():
    parking: Parking[str] = Parking()
    assert all(parking.add(name, now=1.0) for name in "abc")
    assert parking.take(2.0) == ["a", "b", "c"]
    assert parking.take(2.0) == []


def test_what_nobody_waits_for_any_more_is_left_out():
    parking: Parking[str] = Parking()
    parking.add("old", now=0.0)
    parking.add("new", now=1.0)
    assert parking.take(SECONDS) == ["new"]


def test_no_more_wait_than_there_is_room_for():
    parking: Parking[int] = Parking()
    assert all(parking.add(number, now=0.0) for number in range(MOST))
    assert not parking.add(MOST, now=0.0)
    assert parking.take(0.0) == list(range(MOST))


def test_a_lost_leader_is_found_again_when_it_speaks_or_another_leads():
    parking: Parking[str] = Parking()
    parking.lost = 3
    assert not parking.heard(2)
    parking.led_by(3)
    assert parking.lost == 3
    assert parking.heard(3)
    assert not parking.heard(3)
    parking.lost = 3
    parking.led_by(2)
    assert not parking.lost
