"""What a majority, or each of two majorities, agrees on.

A joint configuration (thesis §4.3) decides nothing unless both of its halves do, so every
question is asked of one set of voters at a time and the answers are combined.
Source: Raft thesis §3.6, §4.3; etcd-io/raft quorum/{majority,joint}.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import Enum

from actors.raft.types import NodeID

EVERYTHING = (1 << 64) - 1  # an empty half agrees to whatever the other half does


class Vote(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def agreed_index(voters: Set[NodeID], reached: Mapping[NodeID, int]) -> int:
    """The highest index that a majority has reached; who is not in `reached` is at 0."""
    if not voters:
        return EVERYTHING
    indexes = sorted([reached.get(voter, 0) for voter in voters])
    # n - (n // 2 + 1) voters may be behind the answer: they are the ones sorted before it.
    return indexes[(len(indexes) - 1) // 2]


def vote_result(voters: Set[NodeID], votes: Mapping[NodeID, bool]) -> Vote:
    """WON with a majority of grants, LOST when one is out of reach, else PENDING."""
    if not voters:
        return Vote.WON
    quorum = len(voters) // 2 + 1
    cast = [votes[voter] for voter in voters if voter in votes]
    granted = sum(cast)
    if granted >= quorum:
        return Vote.WON
    return Vote.LOST if len(voters) - (len(cast) - granted) < quorum else Vote.PENDING


def both(one: Vote, other: Vote) -> Vote:
    """The vote of a joint configuration: lost by either half, won by both."""
    if Vote.LOST in (one, other):
        return Vote.LOST
    return Vote.WON if one is other is Vote.WON else Vote.PENDING
