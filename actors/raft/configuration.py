"""Who is a member, and the legal steps from one configuration to the next.

A configuration changes when its entry is *applied*, not when it is appended (as in etcd, unlike
thesis §4.1).  That is safe because only one change at a time is in the log unapplied: the next is
appended by a leader that has applied the one before, so two members that may be elected are never
more than one step apart, and one step keeps quorums overlapping: either one voter more or less
(§4.1), or through a joint configuration in which both majorities decide (§4.3).
Source: etcd-io/raft confchange/confchange.go; Raft thesis ch. 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from actors.raft.errors import ConfChangeRefused
from actors.raft.quorum import Vote, agreed_index, both, vote_result
from actors.raft.types import (
    NO_NODE,
    AnyConfChange,
    ConfChangeSingle,
    ConfChangeType,
    ConfState,
    NodeID,
)

NOBODY: frozenset[NodeID] = frozenset()


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members, as raft uses them.

    Invariant: learners are no voters; `learners_next` are voters of the outgoing half only; the
    last two fields are empty unless the configuration is joint.
    """

    voters: frozenset[NodeID] = NOBODY
    learners: frozenset[NodeID] = NOBODY
    outgoing: frozenset[NodeID] = NOBODY  # voters of the old half of a joint configuration
    learners_next: frozenset[NodeID] = NOBODY  # learners once the old half is gone
    auto_leave: bool = False

    @classmethod
    def of(cls, state: ConfState) -> Configuration:
        return cls(
            frozenset(state.voters),
            frozenset(state.learners),
            frozenset(state.voters_outgoing),
            frozenset(state.learners_next),
            state.auto_leave,
        )

    def conf_state(self) -> ConfState:
        return ConfState(
            tuple(sorted(self.voters)),
            tuple(sorted(self.learners)),
            tuple(sorted(self.outgoing)),
            tuple(sorted(self.learners_next)),
            self.auto_leave,
        )

    @property
    def joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def members(self) -> list[NodeID]:
        """Everyone entries are sent to, ascending."""
        return sorted(self.voters | self.outgoing | self.learners)

    def is_voter(self, node: NodeID) -> bool:
        return node in self.voters or node in self.outgoing

    def is_alone(self, node: NodeID) -> bool:
        """Whether `node` needs no one else to decide."""
        return self.voters == {node} and not self.outgoing

    def agreed_index(self, reached: Mapping[NodeID, int]) -> int:
        """The highest index that a quorum has reached."""
        return min(agreed_index(self.voters, reached), agreed_index(self.outgoing, reached))

    def vote_result(self, votes: Mapping[NodeID, bool]) -> Vote:
        return both(vote_result(self.voters, votes), vote_result(self.outgoing, votes))

    def after(self, change: AnyConfChange) -> Configuration:
        """The configuration once `change` is applied.

        Raises:
            ConfChangeRefused: not a legal step from here.
        """
        change = change.as_v2()
        if change.leaves_joint:
            return self._left_joint()
        if self.joint:
            raise ConfChangeRefused("the configuration is joint: it must be left first")
        if not change.enters_joint:
            return self._with(change.changes)  # one change: at most one voter
        if not self.voters:
            raise ConfChangeRefused("a configuration without voters cannot become joint")
        joint = replace(self, outgoing=self.voters)._with(change.changes)
        return replace(joint, auto_leave=change.auto_leave)

    def _left_joint(self) -> Configuration:
        if not self.joint:
            raise ConfChangeRefused("the configuration is not joint: there is nothing to leave")
        return Configuration(self.voters, self.learners | self.learners_next)

    def _with(self, changes: Iterable[ConfChangeSingle]) -> Configuration:
        voters, learners = set(self.voters), set(self.learners)
        learners_next = set(self.learners_next)
        for kind, node in changes:
            if node == NO_NODE or kind is ConfChangeType.UPDATE_NODE:
                continue
            for where in (voters, learners, learners_next):
                where.discard(node)
            if kind is ConfChangeType.ADD_NODE:
                voters.add(node)
            elif kind is ConfChangeType.ADD_LEARNER:
                # Who still votes in the outgoing half becomes a learner when that half is gone.
                (learners_next if node in self.outgoing else learners).add(node)
        if not voters:
            raise ConfChangeRefused("no voter would be left")
        return replace(
            self,
            voters=frozenset(voters),
            learners=frozenset(learners),
            learners_next=frozenset(learners_next),
        )
