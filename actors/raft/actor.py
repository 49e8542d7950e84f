"""Raft's driver: takes in what happened, asks the core, and hands out what it wants done.

Inbox     1024 calls (proposals, reads, transfers); 4096 packets (messages of other members,
          dropped beyond: raft expects that); notices (what is persisted, what is applied).
Waits on  nobody: writes, entries and messages are handed out, and what became of them is heard.
Restarts  no: what the core knows and what was promised to others cannot be rebuilt from outside.

A role is a coroutine.  `follow` waits under a cancel scope whose deadline every heartbeat
pushes back: the scope running out *is* the election timeout.  `lead` opens a nursery that holds
everything only a leader may do, so stepping down is one cancellation and nothing of a leadership
outlives it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from actors.apply.operation import request_id
from actors.apply.stages import Stages
from actors.kernel import Call, Inbox, Notice, Reply
from actors.mvcc.actor import Changes, Results
from actors.mvcc.appended import Span
from actors.mvcc.forwarded import Forwarded
from actors.raft.errors import ConfChangeRefused, NoLeader, RaftRefusal, TransferRefused
from actors.raft.parking import Parking
from actors.raft.raft import Raft
from actors.raft.ready import Ready, Write
from actors.raft.spans import Spans
from actors.raft.status import RaftStatus
from actors.raft.types import ConfChange, Entry, Message, NodeID, Role, Snapshot
from wire.errors import (
    BadLeaderTransferee,
    EtcdError,
    LeaderChanged,
    NotLeader,
    TooManyRequests,
    UnhealthyCluster,
)
from wire.errors import NoLeader as NoLeaderKnown

INBOX_CALLS = 1024
INBOX_PACKETS = 4096
HASTE = 0.3  # of the random part of an election timeout, when the leader's connection broke

Duty = Callable[[int], Awaitable[None]]
"""Something only a leader does, for as long as it leads; gets the term."""


# Messages


@dataclass(frozen=True, slots=True)
class Propose(Call[Results]):
    """Entries to append together; the answer is their results, once applied here."""

    entries: Sequence[bytes]
    stages: Stages | None = None  # to be stamped on the way


@dataclass(frozen=True, slots=True)
class ProposeConfChange(Call[Results]):
    change: ConfChange  # with an id, by which it is found again if another member leads


@dataclass(frozen=True, slots=True)
class ReadIndex(Call[int]):
    """The answer is a log index: what is applied up to there includes all that was
    acknowledged, on any member, before the question."""


@dataclass(frozen=True, slots=True)
class Transfer(Call[None]):
    """Answered once another member leads, or refused."""

    to: NodeID


@dataclass(frozen=True, slots=True)
class LeaderKnown(Call[NodeID]):
    """Answered once this member knows who leads."""


@dataclass(frozen=True, slots=True)
class Persisted(Notice):
    receipt: int

    def merge(self, older: Persisted) -> Persisted:
        return self  # receipts grow, and one answers for all before it


@dataclass(frozen=True, slots=True)
class AppliedTo(Notice):
    """Everything through `index` is in the state machine; `changes` took effect on the way."""

    index: int
    changes: Changes = ()

    def merge(self, older: AppliedTo) -> AppliedTo:
        return AppliedTo(self.index, older.changes + self.changes)


@dataclass(frozen=True, slots=True)
class CompactTo(Notice):
    """Nobody here needs entries through `index` any more."""

    index: int


@dataclass(frozen=True, slots=True)
class Unreachable(Notice):
    """Messages to these members were lost."""

    peers: frozenset[NodeID]

    def merge(self, older: Unreachable) -> Unreachable:
        return Unreachable(self.peers | older.peers)


@dataclass(frozen=True, slots=True)
class SnapshotSent(Notice):
    """How the sending of snapshots has ended: who was to get one, and whether it arrived."""

    outcomes: tuple[tuple[NodeID, bool], ...]

    def merge(self, older: SnapshotSent) -> SnapshotSent:
        return SnapshotSent(older.outcomes + self.outcomes)


@dataclass(frozen=True, slots=True)
class Hasten(Notice):
    """Do not wait a whole election timeout for a leader that is probably not there."""

    within: float


# What the driver hands things to


class Log(Protocol):
    @property
    def latest(self) -> tuple[float, float]:
        """When the latest write that was made at once was begun, and durable; Trio time."""
        ...

    def write(self, write: Write) -> bool:
        """True if it is durable already; else `RaftActor.persisted` will be called."""
        ...


class StateMachine(Protocol):
    def committed(self, entries: list[Entry], spans: list[Span]) -> None: ...

    def forwarded(self, group: Forwarded) -> None: ...

    def install(self, snapshot: Snapshot) -> None: ...


class Peers(Protocol):
    def send(self, messages: list[Message]) -> None: ...


class RaftActor:
    """The handle."""

    def __init__(self, node_id: NodeID) -> None:
        self.inbox = Inbox("raft", calls=INBOX_CALLS, packets=INBOX_PACKETS)
        self.status = RaftStatus(node_id)

    async def propose(
        self,
        entries: Sequence[bytes],
        reply: Reply[Results] | None = None,
        stages: Stages | None = None,
    ) -> Reply[Results]:
        """Append entries to the log; waits for room only.

        The reply is an answer with one result an entry, or a refusal of them all.
        """
        call = Propose(entries, stages)
        if reply is not None:
            object.__setattr__(call, "reply", reply)
        await self.inbox.send(call)
        return call.reply

    async def propose_conf_change(self, change: ConfChange) -> Results:
        return await self.inbox.call(ProposeConfChange(change))

    async def read_index(self) -> int:
        """Raises LeaderChanged or NoLeader."""
        return await self.inbox.call(ReadIndex())

    async def leader_known(self) -> NodeID:
        """Until this member knows who leads."""
        return await self.inbox.call(LeaderKnown())

    async def transfer_leadership(self, to: NodeID) -> None:
        await self.inbox.call(Transfer(to))

    def step(self, message: Message) -> bool:
        """A message of another member; False if it was dropped."""
        return self.inbox.post(message)

    def persisted(self, receipt: int) -> None:
        self.inbox.notify(Persisted(receipt))

    def applied(self, index: int, changes: Changes = ()) -> None:
        """Said after every batch; worth waking up for only if something depends on it."""
        urgent = bool(changes) or self.status.awaits_applied or not self.status.reads_open
        self.inbox.notify(AppliedTo(index, changes), wake=urgent)

    def compact(self, index: int) -> None:
        self.inbox.notify(CompactTo(index))

    def unreachable(self, peer: NodeID) -> None:
        self.inbox.notify(Unreachable(frozenset((peer,))))

    def snapshot_sent(self, peer: NodeID, *, arrived: bool) -> None:
        """Without it, nothing more goes to a member that was to get a snapshot."""
        self.inbox.notify(SnapshotSent(((peer, arrived),)))

    def hasten_election(self, within: float) -> None:
        """`within` in seconds; for a member that starts while others wait for it."""
        self.inbox.notify(Hasten(within))


async def run_raft(
    raft: RaftActor,
    core: Raft,
    log: Log,
    machine: StateMachine,
    peers: Peers,
    duties: Sequence[Duty] = (),
    *,
    task_status: trio.TaskStatus[RaftActor] = trio.TASK_STATUS_IGNORED,
) -> None:
    desk = _Desk(raft.inbox, core, raft.status, log, machine, peers)
    with raft.inbox:
        task_status.started(raft)
        desk.begin()
        while True:
            if core.role is Role.LEADER:
                await lead(desk, duties)
            else:
                await follow(desk)


# Roles


async def follow(desk: _Desk) -> None:
    """Until this member leads.  What every heartbeat pushes back is `core.deadline`."""
    while desk.core.role is not Role.LEADER:
        await turns(desk, lambda core: core.role is not Role.LEADER)


async def lead(desk: _Desk, duties: Sequence[Duty]) -> None:
    """Until this member leads no more, or in another term: then all duties are cancelled."""
    core = desk.core
    term = core.term
    async with trio.open_nursery() as leadership:
        for duty in duties:
            leadership.start_soon(duty, term)
        while core.role is Role.LEADER and core.term == term:
            await turns(desk, lambda core: core.role is Role.LEADER and core.term == term)
        leadership.cancel_scope.cancel()


async def turns(desk: _Desk, goes_on: Callable[[Raft], bool]) -> None:
    """Turn by turn while the role goes on, until a deadline passes, which is one more turn.

    One scope for many turns: its deadline is pushed back, it is not made anew.
    """
    core, inbox = desk.core, desk.inbox
    with trio.CancelScope(deadline=core.deadline) as waiting:
        while goes_on(core):
            await inbox.wait()
            desk.turn()
            if core.deadline != waiting.deadline:
                waiting.deadline = core.deadline
    if waiting.cancelled_caught:
        desk.turn()


# Steps


class _Desk:
    """The driver's state: who waits for what."""

    def __init__(
        self,
        inbox: Inbox,
        core: Raft,
        status: RaftStatus,
        log: Log,
        machine: StateMachine,
        peers: Peers,
    ) -> None:
        self.inbox = inbox
        self.core = core
        self._status = status
        self._log = log
        self._machine = machine
        self._peers = peers
        self._lateness = core.config.heartbeat_interval
        self._spans: Spans[Span] = Spans()
        self._reads: dict[int, list[Reply[int]]] = {}
        self._transfers: list[Transfer] = []
        self._leaderless: list[LeaderKnown] = []
        self._snapshots: deque[Write] = deque()  # of leaders, on their way to the disk
        self._parking: Parking[Propose] = Parking()

    def begin(self) -> None:
        """A member that is its own majority need not wait for anyone."""
        now = trio.current_time()
        self._campaign_if_alone(now)
        self._hand_out(now)

    def _campaign_if_alone(self, now: float) -> None:
        core = self.core
        if core.configuration.voters == {core.id} and not core.leader:
            core.campaign(now)

    def turn(self) -> None:
        """One step: everything that waits, then the time, then whatever follows from them."""
        now = trio.current_time()
        if now > self.core.deadline + self._lateness and self.core.role is Role.LEADER:
            self._status.late_heartbeats += 1
        messages = self.inbox.drain()
        if messages:
            self._take(messages, now)
        self.core.wake(now)
        self._hand_out(now)

    def _take(self, messages: list[object], now: float) -> None:
        core = self.core
        readers: list[Reply[int]] = []
        for message in messages:
            match message:
                case Propose():
                    self._propose(message, now)
                case Persisted(receipt=receipt):
                    core.persisted(receipt, now)
                    self._spans.written(core.log.stable, now)
                    self._install_persisted(receipt)
                case AppliedTo(index=index, changes=changes):
                    for at, change in changes:
                        core.apply_conf_change(change, at, now)
                    core.applied(index)
                    if changes:
                        self._judge_reads()
                        self._campaign_if_alone(now)
                case Message():
                    core.step(message, now)
                    if self._parking.heard(message.sender):
                        self._propose_parked(now)
                case ReadIndex(reply=reply):
                    readers.append(reply)
                case ProposeConfChange():
                    self._propose_conf_change(message, now)
                case Transfer():
                    self._transfer(message, now)
                case LeaderKnown(reply=reply):
                    if core.leader:
                        reply.answer(core.leader)
                    else:
                        self._leaderless.append(message)
                case CompactTo(index=index):
                    core.compact(index)
                case Unreachable(peers=lost):
                    for peer in lost:
                        core.report_unreachable(peer)
                    if core.leader in lost:
                        self._parking.lost = core.leader
                        self._expect_election(now)
                case SnapshotSent(outcomes=outcomes):
                    for peer, arrived in outcomes:
                        core.report_snapshot(peer, arrived=arrived)
                case Hasten(within=within):
                    core.hasten_election(now, within)
        if readers:
            self._read(readers, now)

    def _expect_election(self, now: float) -> None:
        """The leader's connection broke: most likely it is gone.

        Others will not hear of an election before they have missed it for an election timeout
        themselves, but the rest of the wait, which keeps candidates apart, may be shorter.
        """
        shortest = self.core.config.election_timeout
        spread = self.core.random_timeout() - shortest
        self.core.hasten_election(now, shortest + HASTE * spread)

    def _propose(self, message: Propose, now: float) -> None:
        entries, reply = message.entries, message.reply
        if self._parking.lost:
            self._park(message, now)
            return
        try:
            first = self.core.propose(entries, now)
        except NoLeader:
            self._park(message, now)
            return
        except RaftRefusal as refusal:
            self._status.proposals_failed += len(entries)
            reply.refuse(_refusal(refusal))
            return
        if first:
            span = Span(first, len(entries), self.core.term, reply, message.stages)
            self._spans.append(span, now)
        else:
            ids = [request_id(data) for data in entries]
            self._machine.forwarded(Forwarded(ids, self.core.term, reply))

    def _park(self, message: Propose, now: float) -> None:
        if not self._parking.add(message, now):
            message.reply.refuse(NoLeaderKnown())

    def _propose_parked(self, now: float) -> None:
        for message in self._parking.take(now):
            self._propose(message, now)

    def _propose_conf_change(self, message: ProposeConfChange, now: float) -> None:
        try:
            index = self.core.propose_conf_change(message.change, now)
        except RaftRefusal as refusal:
            message.reply.refuse(_refusal(refusal))
            return
        if index:
            self._spans.append(Span(index, 1, self.core.term, message.reply), now)
        else:
            self._machine.forwarded(Forwarded([message.change.id], self.core.term, message.reply))

    def _read(self, readers: list[Reply[int]], now: float) -> None:
        """All who ask now share one round."""
        try:
            token = self.core.read_index(now)
        except RaftRefusal as refusal:
            for reply in readers:
                reply.refuse(_refusal(refusal))
        else:
            self._reads[token] = readers

    def _transfer(self, message: Transfer, now: float) -> None:
        if message.to == self.core.leader:
            message.reply.answer(None)
        elif self.core.role is not Role.LEADER:
            message.reply.refuse(NotLeader())
        else:
            try:
                self.core.transfer_leadership(message.to, now)
            except TransferRefused:
                message.reply.refuse(BadLeaderTransferee())
            else:
                self._transfers.append(message)

    # -- What the core asks for

    def _hand_out(self, now: float) -> None:
        while (ready := self.core.ready()) is not None:
            if ready.soft is not None:
                self._publish_role(ready)
                if ready.soft.leader and not self._parking.lost:
                    self._propose_parked(now)
            if ready.messages:  # first: others work while the log is written
                self._peers.send(ready.messages)
            is_durable = ready.write is not None and self._write(ready.write, now)
            if is_durable and self._spans.has_unwritten:
                now = self._log.latest[1]
                self._spans.written(self.core.log.stable, now)
            if ready.committed:
                spans = self._spans.committed(ready.committed[-1].index, now)
                self._machine.committed(ready.committed, spans)
            for token, index in ready.read_states:
                for reply in self._reads.pop(token, ()):
                    reply.answer(index)
            if ready.soft is None and not is_durable:
                break  # nothing that was just done makes for more
        status, log = self._status, self.core.log
        status.commit_index = log.committed
        status.applied_index = log.applied
        status.awaits_applied = log.applying < min(log.committed, log.stable)
        if not status.reads_open and status.role is Role.LEADER:
            self._judge_reads()

    def _write(self, write: Write, now: float) -> bool:
        """Hand a write to the log; True if it is durable already."""
        if write.snapshot is not None:
            self._snapshots.append(write)
        is_durable = self._log.write(write) and write.receipt is not None
        if self._spans.has_unproposed:
            self._spans.proposed(self._log.latest[0] if is_durable else trio.current_time())
        if not is_durable or write.receipt is None:
            return False
        self.core.persisted(write.receipt, now)
        return True

    def _install_persisted(self, receipt: int) -> None:
        """The state follows the log: a crash in between is made good at the next start."""
        while self._snapshots and (self._snapshots[0].receipt or 0) <= receipt:
            snapshot = self._snapshots.popleft().snapshot
            assert snapshot is not None
            self._spans.give_up()
            self._machine.install(snapshot)

    def _publish_role(self, ready: Ready) -> None:
        soft, status = ready.soft, self._status
        assert soft is not None
        if soft.leader != status.leader and soft.leader:
            status.leader_changes += 1
        status.term, status.leader, status.role = soft
        self._parking.led_by(soft.leader)
        self._spans.forget_stages()
        self._judge_reads()
        waiting, self._reads = self._reads, {}
        for replies in waiting.values():
            for reply in replies:
                reply.refuse(LeaderChanged())
        if soft.leader:
            for asking in self._leaderless:
                asking.reply.answer(soft.leader)
            self._leaderless.clear()
        if soft.leader and soft.leader != self.core.id:
            for transfer in self._transfers:
                transfer.reply.answer(None)
            self._transfers.clear()

    def _judge_reads(self) -> None:
        """A leader that is the only voter, and has committed in its term, knows the present:
        nobody can have acknowledged what it has not applied."""
        core = self.core
        self._status.reads_open = (
            core.role is Role.LEADER
            and core.configuration.voters == {core.id}
            and not core.configuration.outgoing
            and core.log.term(core.log.applied) == core.term
        )


def _refusal(refusal: RaftRefusal) -> EtcdError:
    """The client's word for why raft does not take something on."""
    if isinstance(refusal, NoLeader):
        return NoLeaderKnown()
    if isinstance(refusal, ConfChangeRefused):
        return UnhealthyCluster()
    return TooManyRequests()
