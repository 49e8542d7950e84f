"""The leader: one leadership, with all that only a leader may do.

It lives from the election to the step down, and what it knows dies with it.  Requests only change
its state; `flush`, called by `ready()`, then has `replication` send each follower what it lacks,
so that many requests between two Readys travel as one message.
Source: Raft thesis §3.5, §3.6, §3.10, §6.2, §6.4; etcd-io/raft raft.go (stepLeader).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.raft.errors import (
    ConfChangeRefused,
    ProposalDropped,
    RaftRefusal,
    TooManyUncommitted,
)
from actors.raft.progress import Progress
from actors.raft.quorum import Vote
from actors.raft.read_rounds import ReadRounds
from actors.raft.replication import Replication
from actors.raft.types import (
    NO_NODE,
    AnyConfChange,
    ConfChangeMalformed,
    ConfChangeV2,
    Entry,
    EntryType,
    Message,
    MessageType,
    NodeID,
    Role,
    conf_change_of,
)

if TYPE_CHECKING:
    from actors.raft.raft import Raft


class Leader:
    """Invariant: `_pending_conf_index` is at or past every change of configuration in the log that
    is not applied here.
    """

    role = Role.LEADER

    def __init__(self, raft: Raft, now: float) -> None:
        self._raft = raft
        self._reads = ReadRounds(raft.id, raft.config.max_waiting_reads)
        self.transferring_to = NO_NODE
        self._transfer_until = math.inf
        self._heartbeat_at = now + raft.config.heartbeat_interval
        self._check_quorum_at = now + raft.config.election_timeout
        self._excused = False
        self._departing = False  # a change in the log takes our vote
        self._departed_at = 0  # it is applied; others must know of a commit index this high
        # What earlier terms left behind is committed only by an entry of this term (thesis
        # §3.6.2), so there is one at once; reads need it too (§6.4).
        raft.log.append_data(raft.term, [b""])
        # Changes of configuration wait until that entry is applied, and with it every change that
        # came before us: thesis §4.1 and its correction of 2015.
        self._pending_conf_index = raft.log.last_index
        self.replication = Replication(raft)

    # Time

    @property
    def deadline(self) -> float:
        if not self.replication.peers:
            return math.inf
        return min(self._heartbeat_at, self._check_quorum_at, self._transfer_until)

    def wake(self, now: float) -> None:
        config = self._raft.config
        if now >= self._transfer_until:
            self._end_transfer()  # it did not come about: lead on
        if now >= self._check_quorum_at:
            self._check_quorum(now)
            if self._raft.role is not Role.LEADER:
                return
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + config.heartbeat_interval
            self.replication.send_heartbeats(self._reads.context)

    def _check_quorum(self, now: float) -> None:
        """Step down if no quorum was heard for an election timeout; thesis §6.2."""
        raft, config = self._raft, self._raft.config
        if now - self._check_quorum_at > config.heartbeat_interval and not self._excused:
            # This process stood still: first look at what the others have sent meanwhile.
            self._excused = True
            self._check_quorum_at = now + config.heartbeat_interval
            return
        self._excused = False
        self._check_quorum_at = now + config.election_timeout
        heard = raft.configuration.vote_result(self.replication.take_active())
        if config.check_quorum and heard is not Vote.WON and not self._departed_at:
            raft.become_follower(raft.term, NO_NODE, now)

    def in_lease(self, now: float) -> bool:
        return True  # `_check_quorum` ends it when it no longer holds

    # Requests

    def propose(self, datas: Sequence[bytes]) -> int:
        self._check_takes_proposals()
        log = self._raft.log
        uncommitted = log.size_bytes(log.committed, log.last_index)
        if uncommitted > 0:  # else any size is taken, or a large one never could be
            limit = self._raft.config.max_uncommitted_bytes
            if uncommitted + sum(map(len, datas)) > limit:
                raise TooManyUncommitted(f"{uncommitted} of {limit} bytes are uncommitted")
        first = log.last_index + 1
        log.append_data(self._raft.term, datas)
        return first

    def propose_conf_change(self, change: AnyConfChange) -> int:
        self._check_takes_proposals()
        if self._pending_conf_index > self._raft.log.applied:
            raise ConfChangeRefused("an earlier change may not be applied yet")
        self._raft.configuration.after(change)
        return self._append_conf_change(change)

    def _append_conf_change(self, change: AnyConfChange) -> int:
        raft = self._raft
        index = raft.log.last_index + 1
        raft.log.extend([Entry(change.entry_type, raft.term, index, change.marshal())])
        self._pending_conf_index = index
        self._departing = not raft.configuration.after(change).is_voter(raft.id)
        return index

    def _check_takes_proposals(self) -> None:
        if self._departing:
            raise ProposalDropped("the leader is about to lose its vote")
        if self.transferring_to != NO_NODE:
            raise ProposalDropped(f"the leadership is passing to {self.transferring_to:x}")

    def read_index(self, token: int) -> None:
        self._reads.add(self._raft.id, token)

    def transfer_leadership(self, to: NodeID, now: float) -> None:
        """Thesis §3.10: stop taking proposals, bring `to` up to date, tell it to campaign."""
        if to in (self._raft.id, self.transferring_to):
            return
        self.transferring_to = to
        self._transfer_until = now + self._raft.config.election_timeout
        self.replication[to].wants_append = True
        self._tell_transferee()

    def _tell_transferee(self) -> None:
        raft, to = self._raft, self.transferring_to
        if self.replication[to].match == raft.log.last_index:
            raft.send(Message(MessageType.TIMEOUT_NOW, to, term=raft.term))

    def _end_transfer(self) -> None:
        self.transferring_to, self._transfer_until = NO_NODE, math.inf

    # What the driver did

    def persisted(self) -> None:
        self.replication.persisted()
        self._maybe_commit()

    def applied(self) -> None:
        """Leave a joint configuration as soon as it is in use here."""
        raft = self._raft
        if raft.configuration.auto_leave and raft.log.applied >= self._pending_conf_index:
            self._append_conf_change(ConfChangeV2())

    def configuration_changed(self, now: float) -> None:
        raft = self._raft
        self.replication.follow_configuration(active=True)
        self._departing = not raft.configuration.is_voter(raft.id)
        self._departed_at = raft.log.committed if self._departing else 0
        self._maybe_commit()  # a smaller quorum may have reached more
        if self.transferring_to and not raft.configuration.is_voter(self.transferring_to):
            self._end_transfer()

    def _maybe_depart(self, now: float) -> None:
        """Step down when those who stay know that we are no voter any more; thesis §4.2.2.

        Not before: who still counts on our vote might never be elected without it.  For the same
        reason nothing is appended after the change that removes us: our log must not be ahead of
        those we would have to vote for, should we crash before they know.
        """
        raft = self._raft
        if not self._departed_at or self.replication.known_commit() < self._departed_at:
            return
        heir = self.replication.most_advanced_voter()
        raft.send(Message(MessageType.TIMEOUT_NOW, heir, term=raft.term))
        raft.become_follower(raft.term, NO_NODE, now)

    # Sending

    def flush(self) -> None:
        """Send every follower what it lacks and may be sent, and open a round of reads."""
        if self._reads.gathering and self._has_committed_in_term():
            self._reads.open(self._raft.log.committed)
            self.replication.send_heartbeats(self._reads.context)
            self._answer_reads()
        self.replication.send_appends()

    # Messages

    def step(self, message: Message, now: float) -> None:
        """A message of this term, or of none."""
        progress = self.replication.get(message.sender)
        match message.type:
            case MessageType.PROPOSE:
                self._take_forwarded(message.entries)
            case _ if progress is None:
                return  # of no one we know
            case MessageType.APPEND_REPLY:
                self._hear(progress, message)
                if message.reject:
                    self.replication.rejected(progress, message)
                elif self.replication.acknowledged(progress, message.index):
                    self._advance(message.sender)
                self._maybe_depart(now)
            case MessageType.HEARTBEAT_REPLY:
                self._hear(progress, message)
                self._heartbeat_answered(progress, message)
                self._maybe_depart(now)
            case MessageType.READ_INDEX:
                try:
                    self._reads.add(message.sender, message.context)
                except RaftRefusal:
                    return  # it will ask again
            case MessageType.TRANSFER_LEADER:
                if self._raft.configuration.is_voter(message.context):
                    self.transfer_leadership(message.context, now)

    def _hear(self, progress: Progress, message: Message) -> None:
        progress.recent_active = True
        progress.commit = max(progress.commit, message.commit)

    def _take_forwarded(self, entries: Sequence[Entry]) -> None:
        """Proposals of a follower, each of one kind; if they cannot be taken they are lost."""
        try:
            if entries and all(entry.type == EntryType.NORMAL for entry in entries):
                self.propose([entry.data for entry in entries])
                return
            for entry in entries:
                self.propose_conf_change(conf_change_of(entry))
        except (RaftRefusal, ConfChangeMalformed):
            return

    def _advance(self, peer: NodeID) -> None:
        self._maybe_commit()
        if peer == self.transferring_to:
            self._tell_transferee()

    def _heartbeat_answered(self, progress: Progress, message: Message) -> None:
        self.replication.heartbeat_answered(progress)
        if message.context:
            self._reads.returned(message.sender, message.context)
            self._answer_reads()

    # Committing

    def _maybe_commit(self) -> None:
        """Only entries of our own term are committed by counting; thesis §3.6.2, figure 3.7."""
        raft = self._raft
        index = self.replication.agreed_index()
        if index > raft.log.committed and raft.log.term(index) == raft.term:
            raft.log.commit_to(index)

    def _has_committed_in_term(self) -> bool:
        return self._raft.log.term(self._raft.log.committed) == self._raft.term

    def _answer_reads(self) -> None:
        raft = self._raft
        for (asker, token), index in self._reads.confirmed(raft.configuration):
            if asker == raft.id:
                raft.answer_read(token, index)
            else:
                raft.send(
                    Message(
                        MessageType.READ_INDEX_REPLY,
                        asker,
                        term=raft.term,
                        index=index,
                        context=token,
                    )
                )
