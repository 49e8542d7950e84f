"""The follower: takes entries from a leader, and notices when there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.raft.errors import NoLeader, TransferRefused
from actors.raft.types import (
    NO_NODE,
    AnyConfChange,
    Entry,
    EntryType,
    Message,
    MessageType,
    NodeID,
    Role,
)

if TYPE_CHECKING:
    from actors.raft.raft import Raft


class Follower:
    """Source: Raft thesis §3.4, §3.5; etcd-io/raft raft.go (stepFollower, tickElection)."""

    role = Role.FOLLOWER

    def __init__(self, raft: Raft, now: float) -> None:
        self._raft = raft
        self._since = now
        self._heard = now  # of the leader; meaningful only while one is known
        self._timeout = raft.random_timeout()
        self._election_at = now + self._timeout
        self._excused = False
        self._told_to_campaign = False

    # Time

    @property
    def deadline(self) -> float:
        if not self._raft.may_campaign:
            return math.inf
        if self._told_to_campaign or self._raft.configuration.is_alone(self._raft.id):
            return self._since  # there is no one to wait for
        return self._election_at

    def wake(self, now: float) -> None:
        if self._told_to_campaign:
            self._raft.campaign_for_transfer(now)
            return
        late = now - self.deadline
        grace = self._raft.config.heartbeat_interval
        alone = self._raft.configuration.is_alone(self._raft.id)
        if late > grace and not self._excused and not alone:
            # This process stood still, so the silence says nothing about the leader: first
            # look at what it has sent meanwhile.
            self._excused = True
            self._election_at = now + grace
            return
        self._raft.campaign(now)

    def hasten(self, at: float) -> None:
        self._election_at = min(self._election_at, at)

    def postpone_election(self, now: float) -> None:
        self._election_at = now + self._timeout
        self._excused = False

    def in_lease(self, now: float) -> bool:
        """Whether a leader was heard within the shortest election timeout; thesis §4.2.3."""
        election_timeout = self._raft.config.election_timeout
        return self._raft.leader != NO_NODE and now - self._heard < election_timeout

    # Requests

    def propose(self, datas: Sequence[bytes]) -> int:
        entries = [Entry(EntryType.NORMAL, 0, 0, data) for data in datas]
        self._raft.forward(Message(MessageType.PROPOSE, NO_NODE, entries=entries))
        return 0

    def propose_conf_change(self, change: AnyConfChange) -> int:
        entries = [Entry(change.entry_type, 0, 0, change.marshal())]
        self._raft.forward(Message(MessageType.PROPOSE, NO_NODE, entries=entries))
        return 0

    def read_index(self, token: int) -> None:
        self._raft.forward(Message(MessageType.READ_INDEX, NO_NODE, context=token))

    def transfer_leadership(self, to: NodeID, now: float) -> None:
        try:
            self._raft.forward(Message(MessageType.TRANSFER_LEADER, NO_NODE, context=to))
        except NoLeader as error:
            raise TransferRefused(str(error)) from error

    def configuration_changed(self, now: float) -> None:
        """Nothing to do: `deadline` asks the configuration."""

    # Messages

    def step(self, message: Message, now: float) -> None:
        """A message of this term, or of none."""
        match message.type:
            case MessageType.APPEND:
                self._hear(message.sender, now)
                self._append(message)
            case MessageType.HEARTBEAT:
                self._hear(message.sender, now)
                self._heartbeat(message)
            case MessageType.SNAPSHOT:
                self._hear(message.sender, now)
                self._restore(message)
            case MessageType.TIMEOUT_NOW:
                # Thesis §3.10.  If a change of configuration is still being applied, right after.
                self._told_to_campaign = True
                if self.deadline <= now:
                    self.wake(now)
            case MessageType.READ_INDEX_REPLY:
                self._raft.answer_read(message.context, message.index)
            case MessageType.PROPOSE | MessageType.READ_INDEX | MessageType.TRANSFER_LEADER:
                self._pass_on(message)

    def _hear(self, leader: NodeID, now: float) -> None:
        self._raft.leader = leader
        self._heard = now
        self._told_to_campaign = False  # too late: the leader leads on
        self.postpone_election(now)

    def _append(self, message: Message) -> None:
        raft, log = self._raft, self._raft.log
        reply = Message(MessageType.APPEND_REPLY, message.sender, term=raft.term)
        if message.index < log.committed:
            reply.index = log.committed  # what is committed agrees with every leader
        elif log.merge(message.index, message.log_term, message.entries):
            reply.index = message.index + len(message.entries)
            log.commit_to(min(message.commit, reply.index))
        else:
            reply.index = message.index
            reply.reject = True
            reply.hint, reply.log_term = log.last_at_most(
                min(message.index, log.last_index), message.log_term
            )
        reply.commit = log.committed
        raft.hold(reply)

    def _heartbeat(self, message: Message) -> None:
        # The leader names no more than it knows to be here: see `Leader`.
        self._raft.log.commit_to(message.commit)
        self._raft.send(
            Message(
                MessageType.HEARTBEAT_REPLY,
                message.sender,
                term=self._raft.term,
                commit=self._raft.log.settled,
                context=message.context,
            )
        )

    def _restore(self, message: Message) -> None:
        raft = self._raft
        if message.snapshot is None:
            return
        taken = raft.restore_snapshot(message.snapshot)
        index = raft.log.last_index if taken else raft.log.committed
        raft.hold(Message(MessageType.APPEND_REPLY, message.sender, term=raft.term, index=index))

    def _pass_on(self, message: Message) -> None:
        """The sender thinks we lead; whom we follow may, unless that is the sender."""
        raft = self._raft
        if raft.leader not in (NO_NODE, message.sender):
            raft.send(
                Message(
                    message.type,
                    raft.leader,
                    sender=message.sender,
                    entries=message.entries,
                    context=message.context,
                )
            )
