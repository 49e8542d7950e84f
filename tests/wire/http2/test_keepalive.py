"""Whose pings are too many, and when the server asks."""

from __future__ import annotations

import pytest

from wire.http2.budget import Budget
from wire.http2.frames import Code, ConnectionFault
from wire.http2.keepalive import KeepAlive, Pings

POLICY = KeepAlive(interval=100, timeout=20, min_time=5, without_stream=7200, strikes=2)


def test_two_strikes_are_forgiven() -> None:
    pings = Pings(POLICY, now=0)
    for now in (0, 1, 2):
        pings.judge(1, now, has_streams=True)

    with pytest.raises(ConnectionFault) as caught:
        pings.judge(1, 3, has_streams=True)
    assert caught.value.code is Code.ENHANCE_YOUR_CALM
    assert caught.value.why == "too_many_pings"


def test_pings_of_one_chunk_count_each() -> None:
    with pytest.raises(ConnectionFault):
        Pings(POLICY, now=0).judge(4, 0, has_streams=True)


def test_what_is_sent_forgives_what_was_before() -> None:
    pings = Pings(POLICY, now=0)
    for now in range(100):
        pings.judge(1, now, has_streams=True)
        pings.judge(1, now, has_streams=True)
        pings.sent()


def test_without_streams_pings_must_be_rare() -> None:
    pings = Pings(POLICY, now=0)
    for n in range(3):
        pings.judge(1, n * 100, has_streams=False)

    with pytest.raises(ConnectionFault):
        pings.judge(1, 400, has_streams=False)


def test_a_silent_peer_is_asked_once_and_is_dead_when_it_does_not_answer() -> None:
    pings = Pings(POLICY, now=0)

    assert not pings.should_ask(99)
    assert pings.should_ask(100)
    assert not pings.should_ask(105)
    assert not pings.is_dead(119)
    assert pings.is_dead(120)


def test_whatever_is_heard_is_an_answer() -> None:
    pings = Pings(POLICY, now=0)
    assert pings.should_ask(100)
    pings.heard(110)

    assert not pings.is_dead(1000)
    assert not pings.should_ask(209)
    assert pings.should_ask(210)


def test_an_interval_of_nothing_asks_never() -> None:
    assert not Pings(KeepAlive(interval=0), now=0).should_ask(1e9)


def test_a_budget_is_earned_back_up_to_its_whole() -> None:
    budget = Budget(10, "things")
    for _ in range(10):
        budget.spend()
    budget.earn(3)
    budget.earn_share(0.1)  # one, and one more
    for _ in range(5):
        budget.spend()
    with pytest.raises(ConnectionFault, match="too many things"):
        budget.spend()
    budget.earn(1000)
    for _ in range(10):
        budget.spend()
    with pytest.raises(ConnectionFault):
        budget.spend()
