"""What may be asked of a cluster, judged by who has started and who is connected."""

from __future__ import annotations

import pytest

from actors.backend.backend import Backend
from actors.backend.engine import MemoryEngine
from actors.cluster.ids import member_id
from actors.cluster.member import Member
from actors.cluster.membership import Membership
from actors.cluster.requests import (
    addition,
    check_add,
    check_in_sync,
    check_promote,
    check_remove,
    new_member,
    promotion,
    removal,
    update,
)
from actors.raft.types import ConfChange, ConfChangeType
from wire.errors import (
    EtcdError,
    InvalidMemberURLs,
    LearnerNotReady,
    MemberNotFound,
    NotEnoughStartedMembers,
    UnhealthyCluster,
)


def cluster(voters: int, started: int, learners: int = 0) -> Membership:
    """Voters 1, 2, …, the first ones started; learners 101, 102, …"""
    membership = Membership(Backend(MemoryEngine()), 1, max_learners=9)
    ids = [*range(1, voters + 1), *range(101, 101 + learners)]
    for index, member in enumerate(ids, 1):
        added = Member(member, (f"http://m:{member}",), is_learner=member > 100)
        membership.apply_change(addition(added), index)
    for member in range(1, started + 1):
        membership.update_attributes(member, f"m{member}", [])
    return membership


def check(refusal: type[EtcdError] | None, function, *args, **kwargs) -> None:
    if refusal is None:
        function(*args, **kwargs)
    else:
        with pytest.raises(refusal):
            function(*args, **kwargs)


VOTER, LEARNER = Member(50, ("http://new:1",)), Member(50, ("http://new:1",), is_learner=True)


@pytest.mark.parametrize(
    ("voters", "started", "connected", "member", "refusal"),
    [
        (1, 1, 1, VOTER, None),  # from one to two, always
        (1, 0, 1, VOTER, NotEnoughStartedMembers),
        (2, 1, 2, VOTER, NotEnoughStartedMembers),  # one of two has not come up yet
        (2, 2, 2, VOTER, None),
        (3, 3, 3, VOTER, None),
        (3, 3, 2, VOTER, UnhealthyCluster),  # of four, three must work
        (3, 2, 3, VOTER, NotEnoughStartedMembers),
        (4, 3, 3, VOTER, None),
        (1, 1, 1, LEARNER, None),
        (3, 1, 3, LEARNER, None),  # a learner is in no quorum
        (3, 3, 2, LEARNER, UnhealthyCluster),
    ],
)
def test_adding(
    voters: int, started: int, connected: int, member: Member, refusal: type[EtcdError] | None
):
    check(refusal, check_add, cluster(voters, started), member, range(1, connected + 1))


@pytest.mark.parametrize(
    ("voters", "started", "connected", "removed", "is_down", "refusal"),
    [
        (3, 3, 3, 3, False, None),
        (3, 3, 2, 3, False, UnhealthyCluster),  # would leave one connected of two
        (3, 3, 2, 3, True, None),  # the one that is down is the one that goes
        (3, 1, 3, 3, True, NotEnoughStartedMembers),
        (3, 2, 2, 2, True, NotEnoughStartedMembers),
        (1, 1, 1, 1, False, NotEnoughStartedMembers),  # the last one stays
        (2, 2, 2, 2, False, None),
        (2, 2, 1, 2, False, UnhealthyCluster),
        (2, 1, 1, 2, True, None),
        (5, 5, 4, 5, False, None),
    ],
)
def test_removing(
    voters: int,
    started: int,
    connected: int,
    removed: int,
    is_down: bool,
    refusal: type[EtcdError] | None,
):
    members = range(1, connected + 1)
    check(refusal, check_remove, cluster(voters, started), removed, members, is_down=is_down)


def test_a_learner_may_always_be_removed():
    check_remove(cluster(1, 1, learners=1), 101, [], is_down=True)


@pytest.mark.parametrize(
    ("voters", "started", "refusal"),
    [(1, 1, None), (2, 1, None), (3, 1, NotEnoughStartedMembers), (3, 2, None)],
)
def test_promoting(voters: int, started: int, refusal: type[EtcdError] | None):
    check(refusal, check_promote, cluster(voters, started, learners=1))


def test_a_learner_must_have_nine_tenths_of_the_log():
    check_in_sync(90, 100)
    with pytest.raises(LearnerNotReady):
        check_in_sync(89, 100)
    with pytest.raises(MemberNotFound):
        check_in_sync(None, 100)


def test_a_new_members_id_says_when_it_was_added():
    member = new_member(["http://b:1", "http://a:1"], is_learner=True, unix_seconds=1_700_000_000)
    assert member.id == member_id(["http://a:1", "http://b:1"], "", 1_700_000_000)
    assert member.peer_urls == ("http://a:1", "http://b:1")
    assert member.is_learner
    assert not member.is_started


@pytest.mark.parametrize("urls", [[], ["a:1"], ["http://a"]])
def test_a_new_member_must_be_reachable(urls: list[str]):
    with pytest.raises(InvalidMemberURLs):
        new_member(urls, is_learner=False, unix_seconds=0)


def test_changes_carry_what_etcds_carry():
    member = Member(7, ("http://a:1",))
    assert addition(member) == ConfChange(
        ConfChangeType.ADD_NODE, 7, b'{"id":7,"peerURLs":["http://a:1"]}'
    )
    assert addition(Member(7, ("http://a:1",), is_learner=True)) == ConfChange(
        ConfChangeType.ADD_LEARNER, 7, b'{"id":7,"peerURLs":["http://a:1"],"isLearner":true}'
    )
    assert promotion(7) == ConfChange(
        ConfChangeType.ADD_NODE, 7, b'{"id":7,"peerURLs":null,"isPromote":true}'
    )
    assert update(7, ["http://b:1"]) == ConfChange(
        ConfChangeType.UPDATE_NODE, 7, b'{"id":7,"peerURLs":["http://b:1"]}'
    )
    assert removal(7) == ConfChange(ConfChangeType.REMOVE_NODE, 7)
