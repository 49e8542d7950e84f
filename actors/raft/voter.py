"""How a member votes: whom it ignores, whom it grants, and what it says along with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.raft.follower import Follower
from actors.raft.types import NO_NODE, TRANSFER, Message, MessageType

if TYPE_CHECKING:
    from actors.raft.raft import Raft

ELECTION = frozenset(
    {
        MessageType.VOTE,
        MessageType.VOTE_REPLY,
        MessageType.PRE_VOTE,
        MessageType.PRE_VOTE_REPLY,
    }
)
QUESTIONS = {
    MessageType.VOTE: MessageType.VOTE_REPLY,
    MessageType.PRE_VOTE: MessageType.PRE_VOTE_REPLY,
}


class Voter:
    """Source: Raft thesis §3.4, §3.6.1, §4.2.3, §9.6; etcd-io/raft raft.go (Step)."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft

    def ignores(self, message: Message, now: float) -> bool:
        """Whether `message` asks for a later term while a leader is heard.

        Who hears a leader helps no one to depose it, nor does it let its term be raised: so a
        removed or cut-off member disturbs nobody (§4.2.3).  The leader itself may wish it (§3.10).
        """
        return (
            message.type in QUESTIONS
            and message.context != TRANSFER
            and self._raft.config.check_quorum
            and self._raft.hears_leader(now)
        )

    def judge(self, message: Message, now: float) -> None:
        """Grant or refuse a vote, or say what we would do.

        Learners vote too: whoever asks may know of a promotion that we have not applied yet.
        """
        raft = self._raft
        free = raft.vote == NO_NODE and raft.leader == NO_NODE
        ahead = message.type is MessageType.PRE_VOTE and message.term > raft.term
        may_vote = free or ahead or raft.vote == message.sender
        granted = may_vote and raft.log.is_up_to_date(message.index, message.log_term)
        if granted and message.type is MessageType.VOTE:
            raft.vote = message.sender
            if isinstance(raft.role_state, Follower):
                raft.role_state.postpone_election(now)
        self.answer(message, granted=granted)

    def answer(self, message: Message, *, granted: bool) -> None:
        raft = self._raft
        commit = raft.log.settled
        reply = Message(
            QUESTIONS[message.type],
            message.sender,
            # A grant bears the term it was asked for: a pre-candidate's lies ahead of ours.
            term=message.term if granted else raft.term,
            reject=not granted,
            commit=commit,
            hint=raft.log.term(commit) or 0,
        )
        if message.type is MessageType.PRE_VOTE:
            raft.send(reply)  # it promises nothing
        else:
            raft.hold(reply)

    def learn_commit(self, message: Message) -> None:
        """Take over a commit index that came with a vote; what is committed is so in any term.

        A member may have been removed by a change that a candidate has and does not know to be
        committed: then the candidate asks for a vote it does not need, of one that cannot lead
        and whose log may be longer.  This tells it.  (As in TiKV's raft-rs, maybe_commit_by_vote.)
        """
        log, commit = self._raft.log, message.commit
        if commit > log.committed and log.term(commit) == message.hint:
            log.commit_to(commit)
