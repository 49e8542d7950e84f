"""Which changes of the membership may be asked for, before anything is proposed.

An applied change is judged by the members alone, alike everywhere (`Membership.refusal_of`).
Here the member that is asked judges first, also by whom it is connected to: with
`--strict-reconfig-check` nothing is begun that the voters that run could not finish.
Connections count when they are older than HEALTH_INTERVAL; a member counts as connected to itself.
Source: etcd server/etcdserver/server.go (mayAddMember, mayRemoveMember, isLearnerReady),
api/membership/cluster.go (IsReadyTo…), api/v3rpc/member.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from actors.cluster.ids import member_id
from actors.cluster.member import Member
from actors.cluster.membership import Membership
from actors.cluster.urls import BadURL, check_urls
from actors.raft.types import ConfChange, ConfChangeType
from wire.errors import (
    InvalidMemberURLs,
    LearnerNotReady,
    MemberNotFound,
    NotEnoughStartedMembers,
    UnhealthyCluster,
)

HEALTH_INTERVAL = 5.0  # seconds; etcd's
READY_SHARE = 0.9  # of the leader's log, for a learner to become a voter; etcd's


# -- What is proposed


def new_member(peer_urls: Iterable[str], *, is_learner: bool, unix_seconds: int) -> Member:
    """A member to be added now; its id says when.

    Raises:
        InvalidMemberURLs: there is none, or one is no URL of a member.
    """
    try:
        urls = check_urls(peer_urls)
    except BadURL as error:
        raise InvalidMemberURLs() from error
    return Member(member_id(urls, "", unix_seconds), urls, is_learner)


def addition(member: Member) -> ConfChange:
    kind = ConfChangeType.ADD_LEARNER if member.is_learner else ConfChangeType.ADD_NODE
    return ConfChange(kind, member.id, member.to_json())


def removal(member_id: int) -> ConfChange:
    return ConfChange(ConfChangeType.REMOVE_NODE, member_id)


def update(member_id: int, peer_urls: Iterable[str]) -> ConfChange:
    """Other peer URLs; taken as they come, as etcd does."""
    context = Member(member_id, tuple(peer_urls)).to_json()
    return ConfChange(ConfChangeType.UPDATE_NODE, member_id, context)


def promotion(member_id: int) -> ConfChange:
    context = Member(member_id).to_json(is_promote=True)
    return ConfChange(ConfChangeType.ADD_NODE, member_id, context)


# -- What is judged before, under --strict-reconfig-check


def check_add(membership: Membership, member: Member, connected: Collection[int]) -> None:
    """May `member` be added by one that is connected to these members?

    Raises:
        NotEnoughStartedMembers: too few voters have started for the larger quorum.
        UnhealthyCluster: too few of them are connected.
    """
    voters = membership.voters
    started = sum(voter.is_started for voter in voters)
    # From one to two is always allowed, or a cluster that was restored could never grow.
    alone = len(voters) == 1
    if (
        not member.is_learner
        and not (alone and started == 1)
        and started < _quorum(len(voters) + 1)
    ):
        raise NotEnoughStartedMembers()
    if not alone and _connected(voters, connected) < _quorum(len(voters) + 1):
        raise UnhealthyCluster()


def check_remove(
    membership: Membership, member_id: int, connected: Collection[int], *, is_down: bool
) -> None:
    """May the member be removed?  `is_down`: it is not reached at all, not even just now.

    Raises:
        NotEnoughStartedMembers: the voters that remain have no quorum of started ones.
        UnhealthyCluster: the voters that remain connected would be no quorum.
    """
    known = membership.members.get(member_id)
    if known is not None and known.is_learner:
        return
    voters = membership.voters
    remaining = [voter for voter in voters if voter.id != member_id]
    if sum(voter.is_started for voter in remaining) < _quorum(len(remaining)):
        raise NotEnoughStartedMembers()
    if is_down:
        return  # it is no part of the quorum that works
    if _connected(voters, connected) - 1 < 1 + (len(voters) - 1) // 2:
        raise UnhealthyCluster()


def check_promote(membership: Membership) -> None:
    """Would the voters that have started be a quorum with the learner among them?

    Raises:
        NotEnoughStartedMembers: no.
    """
    voters = membership.voters
    started = 1 + sum(voter.is_started for voter in voters)
    if started < _quorum(len(voters) + 1):
        raise NotEnoughStartedMembers()


def check_in_sync(learner_match: int | None, leader_match: int) -> None:
    """Has the learner enough of the leader's log?  Judged by the leader, strict or not.

    Raises:
        MemberNotFound: the leader knows nobody by that id (`learner_match` is None).
        LearnerNotReady: not yet.
    """
    if learner_match is None:
        raise MemberNotFound()
    if learner_match < leader_match * READY_SHARE:
        raise LearnerNotReady()


def _quorum(count: int) -> int:
    return count // 2 + 1


def _connected(voters: Iterable[Member], connected: Collection[int]) -> int:
    return sum(voter.id in connected for voter in voters)
