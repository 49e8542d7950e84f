"""Rounds that prove a leader leads."""

from __future__ import annotations

import pytest

from actors.raft.configuration import Configuration
from actors.raft.errors import TooManyReads
from actors.raft.read_rounds import ReadRounds
from actors.raft.types import ConfState

THREE = Configuration.of(ConfState((1, 2, 3)))


def rounds(limit: int = 10) -> ReadRounds:
    return ReadRounds(1, limit)


def test_a_round_is_confirmed_by_a_quorum_that_returns_its_number():
    reads = rounds()
    reads.add(1, 100)
    reads.add(2, 200)
    reads.open(7)
    assert reads.context == 1
    assert reads.confirmed(THREE) == []
    reads.returned(3, 1)
    assert reads.confirmed(THREE) == [((1, 100), 7), ((2, 200), 7)]
    assert reads.confirmed(THREE) == []
    assert reads.context == 0, "no round is open: heartbeats need not carry one"


def test_a_read_that_comes_while_a_round_is_under_way_waits_for_the_next():
    reads = rounds()
    reads.add(1, 100)
    reads.open(7)
    reads.add(1, 101)
    reads.returned(2, 1)
    assert [read.token for read, _ in reads.confirmed(THREE)] == [100]
    assert reads.gathering
    reads.open(8)
    reads.returned(2, 1)
    assert reads.confirmed(THREE) == []
    reads.returned(2, 2)
    assert reads.confirmed(THREE) == [((1, 101), 8)]


def test_a_later_round_confirms_those_before_it():
    reads = rounds()
    for token in (1, 2, 3):
        reads.add(1, token)
        reads.open(token)
    reads.returned(3, 3)
    assert [(read.token, index) for read, index in reads.confirmed(THREE)] == [
        (1, 1),
        (2, 2),
        (3, 3),
    ]


@pytest.mark.parametrize("number", [0, 2, 1 << 60])
def test_numbers_that_were_never_sent_prove_nothing(number: int):
    reads = rounds()
    reads.add(1, 100)
    reads.open(7)
    reads.returned(2, number)
    assert reads.confirmed(THREE) == []


def test_learners_and_strangers_do_not_count():
    reads = rounds()
    reads.add(1, 100)
    reads.open(7)
    reads.returned(9, 1)
    assert reads.confirmed(Configuration.of(ConfState((1, 2, 3), (9,)))) == []


def test_a_joint_configuration_needs_both_halves():
    joint = Configuration.of(ConfState((4, 5), (), (1, 2, 3)))
    reads = rounds()
    reads.add(1, 100)
    reads.open(7)
    reads.returned(2, 1)
    assert reads.confirmed(joint) == []
    reads.returned(4, 1)
    reads.returned(5, 1)
    assert len(reads.confirmed(joint)) == 1


def test_who_is_alone_proves_it_at_once():
    reads = rounds()
    reads.add(1, 100)
    reads.open(7)
    assert len(reads.confirmed(Configuration.of(ConfState((1,))))) == 1


def test_the_reads_that_wait_are_limited():
    reads = rounds(limit=2)
    reads.add(1, 1)
    reads.open(5)
    reads.add(1, 2)
    with pytest.raises(TooManyReads):
        reads.add(1, 3)
    reads.returned(2, 1)
    reads.confirmed(THREE)
    reads.add(1, 3)
