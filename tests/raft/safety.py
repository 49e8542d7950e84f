"""The properties raft promises, asserted after every step of every member.

Source: Raft thesis figure 3.2 (election safety, leader append-only, log matching, leader
completeness, state machine safety), §3.8 (what must be durable), §6.4 (linearizable reads).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.raft.ready import Ready
from actors.raft.types import Entry, Message, MessageType, NodeID, Role

if TYPE_CHECKING:
    from tests.raft.cluster import Member


class Safety:
    """What has been seen so far, of all members and all their lives."""

    def __init__(self) -> None:
        self.leaders: dict[int, NodeID] = {}  # by term
        self.entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> it, before
        self.committed: dict[int, int] = {}  # index -> term
        self.last_committed = 0
        self.applied: dict[int, Entry] = {}
        self.digests: dict[int, int] = {}
        self._leading: dict[NodeID, tuple[int, int, int]] = {}  # term, last index, last term
        self._hard_states: dict[NodeID, tuple[int, int]] = {}  # term, commit
        self._members: dict[NodeID, Member] = {}

    def forget(self, node: NodeID) -> None:
        """`node` crashed: what it knew and had not written may be gone."""
        self._leading.pop(node, None)
        self._hard_states.pop(node, None)

    def check(self, member: Member, now: float) -> None:
        """After any step of `member`."""
        raft = member.raft
        self._members[member.id] = member
        log = raft.log
        term, commit = self._hard_states.get(member.id, (0, 0))
        assert raft.term >= term, f"{member.id}: the term fell"
        assert log.committed >= commit, f"{member.id}: the commit index fell"
        self._hard_states[member.id] = raft.term, log.committed
        assert log.offset <= log.committed <= log.last_index
        assert log.applying <= min(log.settled, log.stable) <= log.last_index
        if log.committed > commit:
            self._check_commit(member, commit)
        if raft.role is Role.LEADER:
            self._check_leader(member)
        else:
            self._leading.pop(member.id, None)

    def _check_leader(self, member: Member) -> None:
        raft, log = member.raft, member.raft.log
        known = self.leaders.setdefault(raft.term, member.id)
        assert known == member.id, f"election safety: {known} and {member.id} lead {raft.term}"
        if member.id in self._leading:
            term, index, last_term = self._leading[member.id]
            if term == raft.term and index >= log.offset:
                assert log.term(index) == last_term, f"leader append-only: {member.id} at {index}"
        else:
            self._check_complete(member)
        self._leading[member.id] = raft.term, log.last_index, log.last_term

    def _check_complete(self, member: Member) -> None:
        """A new leader has everything that earlier terms committed."""
        log = member.raft.log
        for index, term in self.committed.items():
            if index >= log.offset and term < member.raft.term:
                assert log.term(index) == term, f"leader completeness: {member.id} lacks {index}"

    def _check_commit(self, member: Member, before: int) -> None:
        """What is committed is so for ever; a leader's commit is on a quorum of disks."""
        log = member.raft.log
        for index in range(max(before + 1, log.offset), log.committed + 1):
            term = log.term(index)
            assert term is not None
            known = self.committed.setdefault(index, term)
            assert known == term, f"{member.id} commits term {term} at {index}, was {known}"
        self.last_committed = max(self.last_committed, log.committed)
        index, raft = log.committed, member.raft
        # (Of an earlier term it may have learnt, with a vote, what another has committed.)
        if raft.role is Role.LEADER and index > log.offset and log.term(index) == raft.term:
            on_disk = {
                m.id: index
                for m in self._members.values()
                if m.disk.start.index > index or m.disk.term(index) == log.term(index)
            }
            assert raft.configuration.agreed_index(on_disk) >= index, (
                f"{member.id} commits {index}, which is on {sorted(on_disk)} only"
            )

    def check_ready(self, member: Member, ready: Ready) -> None:
        """Log matching: one entry for a (term, index), with one history."""
        log = member.raft.log
        for entry in ready.write.entries if ready.write else ():
            before = log.term(entry.index - 1)
            assert before is not None
            known = self.entries.setdefault((entry.index, entry.term), (entry, before))
            assert known == (entry, before), f"log matching: {known} and {entry} after {before}"

    def check_sent(self, member: Member, message: Message) -> None:
        """What is said about the log, and every vote, is on disk."""
        disk, raft = member.disk, member.raft
        if message.sender != member.id or message.term != raft.term or message.reject:
            return
        if message.type in (MessageType.VOTE, MessageType.VOTE_REPLY):
            vote = member.id if message.type is MessageType.VOTE else message.to
            assert disk.hard_state[:2] == (message.term, vote), f"{member.id}: vote not on disk"
        if message.type is MessageType.VOTE and raft.role is Role.CANDIDATE:
            # (Who follows someone by now takes no grants, so there it does not matter.)
            assert disk.last_index >= message.index, f"{member.id}: campaigns without its log"
        if message.type is MessageType.APPEND_REPLY:
            assert disk.last_index >= message.index, f"{member.id}: {message.index} not on disk"
            assert disk.hard_state.term >= message.term or not message.index

    def check_applied(self, member: Member, entry: Entry) -> None:
        """State machine safety: the same entry at an index everywhere, in order."""
        known = self.applied.setdefault(entry.index, entry)
        assert known == entry, f"{member.id} applies {entry}, another {known}"
        assert self.committed.get(entry.index) == entry.term, f"{entry} was never committed"
        self.check_machine(member)

    def check_machine(self, member: Member) -> None:
        machine = member.machine
        known = self.digests.setdefault(machine.applied, machine.digest)
        assert known == machine.digest, f"{member.id} differs at {machine.applied}"

    def check_read(self, member: Member, index: int, floor: int) -> None:
        """A read sees everything committed before it was asked."""
        assert index >= floor, f"{member.id} reads at {index} what began after {floor}"
        assert index <= self.last_committed
