"""The leader: one leadership, with all that only a leader may do.

It lives from the election to the step down, and what it knows dies with it.  Requests only change
its state; `flush`, called by `ready()`, then sends each follower what it lacks, so that many
requests between two Readys travel as one message.
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
from actors.raft.progress import Inflights, Progress, ProgressState
from actors.raft.quorum import Vote
from actors.raft.read_rounds import ReadRounds
from actors.raft.ready import PeerStatus
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
    Snapshot,
    SnapshotMetadata,
    conf_change_of,
)

if TYPE_CHECKING:
    from actors.raft.raft import Raft


class Leader:
    """Invariant: `_progress` has exactly the members of the configuration, ourselves included."""

    role = Role.LEADER

    def __init__(self, raft: Raft, now: float) -> None:
        self._raft = raft
        self._progress: dict[NodeID, Progress] = {}
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
        self._follow_configuration(active=False)

    def _follow_configuration(self, *, active: bool) -> None:
        """Have a progress for each member.  New ones are probed from the end of the log."""
        raft, config = self._raft, self._raft.config
        before = self._progress
        self._progress = {}
        for member in raft.configuration.members:
            self._progress[member] = before.get(member) or Progress(
                # The entry of this term is news to everyone: the first guess ends before it.
                max(raft.log.last_index, 1),
                Inflights(config.max_inflight_messages, config.max_inflight_bytes),
                recent_active=active,
            )
        self._peers = [item for item in self._progress.items() if item[0] != raft.id]
        own = self._progress.get(raft.id)
        if own is not None:
            own.recent_active = True
            own.match = raft.log.stable
            own.become_replicate()

    # Time

    @property
    def deadline(self) -> float:
        if not self._peers:
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
            self._send_heartbeats()

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
        if not config.check_quorum or self._departed_at:
            return
        active = {node: True for node, progress in self._progress.items() if progress.recent_active}
        if raft.configuration.vote_result(active) is not Vote.WON:
            raft.become_follower(raft.term, NO_NODE, now)
        for _, progress in self._peers:
            progress.recent_active = False

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
        self._progress[to].wants_append = True
        self._tell_transferee()

    def _tell_transferee(self) -> None:
        raft, to = self._raft, self.transferring_to
        if self._progress[to].match == raft.log.last_index:
            raft.send(Message(MessageType.TIMEOUT_NOW, to, term=raft.term))

    def _end_transfer(self) -> None:
        self.transferring_to, self._transfer_until = NO_NODE, math.inf

    def report_unreachable(self, peer: NodeID) -> None:
        progress = self._progress.get(peer)
        if progress is not None and progress.state is ProgressState.REPLICATE:
            progress.become_probe(paused=True)  # until it answers a heartbeat

    def report_snapshot(self, peer: NodeID, *, arrived: bool) -> None:
        progress = self._progress.get(peer)
        if progress is None or progress.state is not ProgressState.SNAPSHOT:
            return
        if not arrived:
            progress.pending_snapshot = 0
        # What arrived is not installed yet, what failed will not work better at once.
        progress.become_probe(paused=True)

    # What the driver did

    def persisted(self) -> None:
        """Our own log on disk counts like a follower's; thesis §10.2.1."""
        own = self._progress.get(self._raft.id)
        if own is not None:
            own.match = self._raft.log.stable
            self._maybe_commit()

    def applied(self) -> None:
        """Leave a joint configuration as soon as it is in use here."""
        raft = self._raft
        if raft.configuration.auto_leave and raft.log.applied >= self._pending_conf_index:
            self._append_conf_change(ConfChangeV2())

    def configuration_changed(self, now: float) -> None:
        raft = self._raft
        self._follow_configuration(active=True)
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
        knows = {peer: progress.commit for peer, progress in self._peers}
        if not self._departed_at or raft.configuration.agreed_index(knows) < self._departed_at:
            return
        voters = [(p.match, peer) for peer, p in self._peers if raft.configuration.is_voter(peer)]
        raft.send(Message(MessageType.TIMEOUT_NOW, max(voters)[1], term=raft.term))
        raft.become_follower(raft.term, NO_NODE, now)

    # Sending

    def flush(self) -> None:
        """Send every follower what it lacks and may be sent, and open a round of reads."""
        if self._reads.gathering and self._has_committed_in_term():
            self._reads.open(self._raft.log.committed)
            self._send_heartbeats()
            self._answer_reads()
        last_index, commit = self._raft.log.last_index, self._raft.log.settled
        for peer, progress in self._peers:
            while progress.may_send and progress.lacks(last_index, commit):
                if not self._send_append(peer, progress):
                    break

    def _send_append(self, peer: NodeID, progress: Progress) -> bool:
        """Send one message of what it lacks; False if it may have no more for now."""
        raft, log, config = self._raft, self._raft.log, self._raft.config
        before, commit = progress.next - 1, log.settled
        log_term = log.term(before)
        if log_term is None:
            self._send_snapshot(peer, progress)
            return False
        entries: list[Entry] = []
        size_bytes = 0
        if progress.inflights.full:
            # Of a full window only the commit index is told, or that something may be lost.
            if not (progress.wants_append or progress.sent_commit < min(commit, before)):
                return False
        elif progress.next <= log.last_index:
            limits = config.max_message_bytes, config.max_message_entries
            entries = log.slice(progress.next, log.last_index, *limits)
            size_bytes = log.size_bytes(before, before + len(entries))
        raft.send(
            Message(
                MessageType.APPEND,
                peer,
                term=raft.term,
                index=before,
                log_term=log_term,
                commit=commit,
                entries=entries,
            )
        )
        progress.sent(len(entries), size_bytes, commit)
        return True

    def _send_snapshot(self, peer: NodeID, progress: Progress) -> None:
        """Ask the driver for a snapshot: of this index, or a later one."""
        raft = self._raft
        if not progress.recent_active:
            return  # it would be made for no one
        applied = raft.log.applied
        metadata = SnapshotMetadata(
            applied, raft.log.term(applied) or 0, raft.configuration.conf_state()
        )
        progress.become_snapshot(applied)
        raft.send(Message(MessageType.SNAPSHOT, peer, term=raft.term, snapshot=Snapshot(metadata)))

    def _send_heartbeats(self) -> None:
        raft = self._raft
        for peer, progress in self._peers:
            raft.send(
                Message(
                    MessageType.HEARTBEAT,
                    peer,
                    term=raft.term,
                    # No more than is known to be there: what else it has may be another's.
                    commit=min(progress.match, raft.log.settled),
                    context=self._reads.context,
                )
            )

    # Messages

    def step(self, message: Message, now: float) -> None:
        """A message of this term, or of none."""
        progress = self._progress.get(message.sender)
        match message.type:
            case MessageType.PROPOSE:
                self._take_forwarded(message.entries)
            case _ if progress is None:
                return  # of no one we know
            case MessageType.APPEND_REPLY:
                self._hear(progress, message)
                if message.reject:
                    self._step_back(progress, message)
                else:
                    self._advance(message.sender, progress, message.index)
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

    def _step_back(self, progress: Progress, message: Message) -> None:
        hint = message.hint
        if message.log_term:
            # Nothing of a later term than its entry at the hint can match; thesis §3.5, end.
            hint, _ = self._raft.log.last_at_most(hint, message.log_term)
        progress.rejected(message.index, hint)

    def _advance(self, peer: NodeID, progress: Progress, index: int) -> None:
        log = self._raft.log
        if index > log.last_index:
            return  # no follower of ours can have that
        news = progress.acknowledged(index)
        if progress.state is ProgressState.PROBE and index == progress.match:
            progress.become_replicate()
        elif progress.state is ProgressState.SNAPSHOT and progress.match >= log.offset:
            # However it got that far, the log can take it from here.
            progress.become_replicate()
        if news:
            self._maybe_commit()
            if peer == self.transferring_to:
                self._tell_transferee()

    def _heartbeat_answered(self, progress: Progress, message: Message) -> None:
        progress.paused = False
        if progress.match < self._raft.log.last_index:
            # If all that was sent has been lost, nothing else would show it.
            progress.wants_append = True
        if message.context:
            self._reads.returned(message.sender, message.context)
            self._answer_reads()

    # Committing

    def _maybe_commit(self) -> None:
        """Only entries of our own term are committed by counting; thesis §3.6.2, figure 3.7."""
        raft = self._raft
        reached = {node: progress.match for node, progress in self._progress.items()}
        index = raft.configuration.agreed_index(reached)
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

    def peer_status(self) -> dict[NodeID, PeerStatus]:
        learners = self._raft.configuration.learners
        return {
            node: PeerStatus(
                match=progress.match,
                next=max(progress.next, progress.match + 1),
                state=progress.state,
                active=progress.recent_active,
                paused=not progress.may_send or progress.inflights.full,
                learner=node in learners,
                inflight_messages=len(progress.inflights),
                inflight_bytes=progress.inflights.size_bytes,
            )
            for node, progress in self._progress.items()
        }
