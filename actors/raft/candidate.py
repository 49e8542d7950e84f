"""The candidate, and the pre-candidate that first asks whether it would win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.raft.errors import NoLeader, TransferRefused
from actors.raft.quorum import Vote
from actors.raft.types import (
    TRANSFER,
    AnyConfChange,
    Message,
    MessageType,
    NodeID,
    Role,
)

if TYPE_CHECKING:
    from actors.raft.raft import Raft

_OF_LEADER = (MessageType.APPEND, MessageType.HEARTBEAT, MessageType.SNAPSHOT)


class Candidate:
    """Source: Raft thesis §3.4, §9.6; etcd-io/raft raft.go (campaign, stepCandidate).

    A pre-candidate asks in the name of the next term and changes neither term nor vote; only when
    a quorum would grant it does the real election begin.
    """

    def __init__(self, raft: Raft, now: float, role: Role) -> None:
        self.role = role
        self._raft = raft
        self._votes: dict[NodeID, bool] = {}
        self._again_at = now + raft.random_timeout()

    # Time

    @property
    def deadline(self) -> float:
        return self._again_at if self._raft.may_campaign else math.inf

    def wake(self, now: float) -> None:
        """No one won: start over, after a time that is drawn anew."""
        self._raft.campaign(now)

    def in_lease(self, now: float) -> bool:
        return False

    # Asking

    def ask_for_votes(self, now: float, *, transfer: bool = False) -> None:
        raft = self._raft
        pre = self.role is Role.PRE_CANDIDATE
        kind = MessageType.PRE_VOTE if pre else MessageType.VOTE
        term = raft.term + 1 if pre else raft.term
        put = raft.send if pre else raft.hold  # a pre-vote promises nothing
        configuration, commit = raft.configuration, raft.log.settled
        for voter in sorted(configuration.voters | configuration.outgoing):
            if voter == raft.id:
                continue
            put(
                Message(
                    kind,
                    voter,
                    term=term,
                    index=raft.log.last_index,
                    log_term=raft.log.last_term,
                    commit=commit,
                    hint=raft.log.term(commit) or 0,
                    context=TRANSFER if transfer else 0,
                )
            )
        if pre:
            self._count(raft.id, True, now)
        else:
            # Our own vote counts when it is on disk, like any other.
            raft.hold(Message(MessageType.VOTE_REPLY, raft.id, term=term))

    def _count(self, voter: NodeID, granted: bool, now: float) -> None:
        raft = self._raft
        self._votes.setdefault(voter, granted)
        match raft.configuration.vote_result(self._votes):
            case Vote.WON if self.role is Role.PRE_CANDIDATE:
                raft.become_candidate(now)
            case Vote.WON:
                raft.become_leader(now)
            case Vote.LOST:
                raft.become_follower(raft.term, raft.leader, now)

    # Requests: there is no leader to take them

    def propose(self, datas: Sequence[bytes]) -> int:
        raise NoLeader(f"an election is under way in term {self._raft.term}")

    def propose_conf_change(self, change: AnyConfChange) -> int:
        raise NoLeader(f"an election is under way in term {self._raft.term}")

    def read_index(self, token: int) -> None:
        raise NoLeader(f"an election is under way in term {self._raft.term}")

    def transfer_leadership(self, to: NodeID, now: float) -> None:
        raise TransferRefused("an election is under way")

    def configuration_changed(self, now: float) -> None:
        """Votes are counted by the configuration there is when they come."""

    # Messages

    def step(self, message: Message, now: float) -> None:
        """A message of this term, or of none; or a grant for the next."""
        mine = (
            MessageType.PRE_VOTE_REPLY
            if self.role is Role.PRE_CANDIDATE
            else MessageType.VOTE_REPLY
        )
        if message.type in _OF_LEADER:
            # Someone else has won this term.
            self._raft.become_follower(message.term, message.sender, now)
            self._raft.step(message, now)
        elif message.type is mine:
            self._count(message.sender, not message.reject, now)
