"""Majorities, against their definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.raft.quorum import EVERYTHING, Vote, agreed_index, both, vote_result

VOTERS = st.frozensets(st.integers(1, 9), min_size=1, max_size=7)
REACHED = st.dictionaries(st.integers(1, 9), st.integers(0, 20))
VOTES = st.dictionaries(st.integers(1, 9), st.booleans())


@given(VOTERS, REACHED)
def test_the_agreed_index_is_the_highest_that_a_majority_has_reached(
    voters: frozenset[int], reached: dict[int, int]
):
    def majority_at(index: int) -> bool:
        return 2 * sum(reached.get(voter, 0) >= index for voter in voters) > len(voters)

    assert agreed_index(voters, reached) == max(i for i in range(21) if majority_at(i))


@given(VOTERS, VOTES)
def test_a_vote_is_won_or_lost_when_the_outstanding_cannot_change_it(
    voters: frozenset[int], votes: dict[int, bool]
):
    cast = [votes[voter] for voter in voters if voter in votes]
    at_best = sum(cast) + len(voters) - len(cast)
    result = vote_result(voters, votes)
    assert (result is Vote.WON) == (2 * sum(cast) > len(voters))
    assert (result is Vote.LOST) == (2 * at_best <= len(voters))


def test_an_empty_half_agrees_to_everything():
    assert agreed_index(frozenset(), {}) == EVERYTHING
    assert vote_result(frozenset(), {}) is Vote.WON


def test_a_joint_vote_is_lost_by_either_half_and_won_by_both():
    table = {
        (Vote.WON, Vote.WON): Vote.WON,
        (Vote.WON, Vote.PENDING): Vote.PENDING,
        (Vote.PENDING, Vote.PENDING): Vote.PENDING,
        (Vote.WON, Vote.LOST): Vote.LOST,
        (Vote.PENDING, Vote.LOST): Vote.LOST,
        (Vote.LOST, Vote.LOST): Vote.LOST,
    }
    for (one, other), result in table.items():
        assert both(one, other) is both(other, one) is result
