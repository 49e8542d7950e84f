"""Replication: what each follower has, and what it is sent.

One leadership's.  Nothing is sent when something changes; `send_appends`, at the next Ready, sends
every follower what it lacks by then, so that many requests travel as one message.
Source: Raft thesis §3.5, §10.2.1; etcd-io/raft raft.go (maybeSendAppend, stepLeader).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.raft.progress import Inflights, Progress, ProgressState
from actors.raft.ready import PeerStatus
from actors.raft.types import (
    Entry,
    Message,
    MessageType,
    NodeID,
    Snapshot,
    SnapshotMetadata,
)

if TYPE_CHECKING:
    from actors.raft.raft import Raft


class Replication:
    """Invariant: there is a progress for exactly the members of the configuration, us included."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self._progress: dict[NodeID, Progress] = {}
        self.peers: list[tuple[NodeID, Progress]] = []  # the others, by id
        self.follow_configuration(active=False)

    def follow_configuration(self, *, active: bool) -> None:
        """Have a progress for each member.  New ones are probed from the end of the log."""
        raft, config = self._raft, self._raft.config
        before, self._progress = self._progress, {}
        for member in raft.configuration.members:
            self._progress[member] = before.get(member) or Progress(
                # The entry of this term is news to everyone: the first guess ends before it.
                max(raft.log.last_index, 1),
                Inflights(config.max_inflight_messages, config.max_inflight_bytes),
                recent_active=active,
            )
        self.peers = [item for item in self._progress.items() if item[0] != raft.id]
        own = self._progress.get(raft.id)
        if own is not None:
            own.recent_active = True
            own.become_replicate()
        self.persisted()

    def __getitem__(self, node: NodeID) -> Progress:
        return self._progress[node]

    def get(self, node: NodeID) -> Progress | None:
        return self._progress.get(node)

    # What is known

    def persisted(self) -> None:
        """Our own log on disk counts like a follower's; thesis §10.2.1."""
        own = self._progress.get(self._raft.id)
        if own is not None:
            own.match = self._raft.log.stable

    def agreed_index(self) -> int:
        """The highest index that a quorum has on disk."""
        reached = {node: progress.match for node, progress in self._progress.items()}
        return self._raft.configuration.agreed_index(reached)

    def known_commit(self) -> int:
        """The highest index that a quorum, not counting us, knows to be committed."""
        knows = {peer: progress.commit for peer, progress in self.peers}
        return self._raft.configuration.agreed_index(knows)

    def take_active(self) -> dict[NodeID, bool]:
        """Who was heard since the last time this was asked, for `Configuration.vote_result`."""
        active = {node: True for node, progress in self._progress.items() if progress.recent_active}
        for _, progress in self.peers:
            progress.recent_active = False
        return active

    def most_advanced_voter(self) -> NodeID:
        """The peer to lead after us."""
        is_voter = self._raft.configuration.is_voter
        return max((progress.match, peer) for peer, progress in self.peers if is_voter(peer))[1]

    # Sending

    def send_appends(self) -> None:
        """Send every follower what it lacks, as far as its window goes."""
        last_index, commit = self._raft.log.last_index, self._raft.log.settled
        for peer, progress in self.peers:
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

    def send_heartbeats(self, context: int) -> None:
        """`context` is the newest round of reads, or 0."""
        raft = self._raft
        for peer, progress in self.peers:
            raft.send(
                Message(
                    MessageType.HEARTBEAT,
                    peer,
                    term=raft.term,
                    # No more than is known to be there: what else it has may be another's.
                    commit=min(progress.match, raft.log.settled),
                    context=context,
                )
            )

    # Answers

    def rejected(self, progress: Progress, message: Message) -> None:
        hint = message.hint
        if message.log_term:
            # Nothing of a later term than its entry at the hint can match; thesis §3.5, end.
            hint, _ = self._raft.log.last_at_most(hint, message.log_term)
        progress.rejected(message.index, hint)

    def acknowledged(self, progress: Progress, index: int) -> bool:
        """Everything through `index` is on that follower's disk; whether that is news."""
        log = self._raft.log
        if index > log.last_index:
            return False  # no follower of ours can have that
        news = progress.acknowledged(index)
        if progress.state is ProgressState.PROBE and index == progress.match:
            progress.become_replicate()
        elif progress.state is ProgressState.SNAPSHOT and progress.match >= log.offset:
            # However it got that far, the log can take it from here.
            progress.become_replicate()
        return news

    def heartbeat_answered(self, progress: Progress) -> None:
        progress.paused = False
        if progress.match < self._raft.log.last_index:
            # If all that was sent has been lost, nothing else would show it.
            progress.wants_append = True

    def unreachable(self, peer: NodeID) -> None:
        progress = self._progress.get(peer)
        if progress is not None and progress.state is ProgressState.REPLICATE:
            progress.become_probe(paused=True)  # until it answers a heartbeat

    def snapshot_done(self, peer: NodeID, *, arrived: bool) -> None:
        progress = self._progress.get(peer)
        if progress is None or progress.state is not ProgressState.SNAPSHOT:
            return
        if not arrived:
            progress.pending_snapshot = 0
        # What arrived is not installed yet, what failed will not work better at once.
        progress.become_probe(paused=True)

    def status(self) -> dict[NodeID, PeerStatus]:
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
