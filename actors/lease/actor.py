"""The lessor: lets leases run out, and asks raft to revoke what has.

Inbox     256 calls; callers wait when it is full.
Waits on  raft, to propose LeaseRevoke and LeaseCheckpoint, in tasks of their own: a renewal
          never waits for one but where the log must be asked first.
Restarts  yes: the queue is refilled from the table, every TTL from its start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

import trio

from actors.kernel import ActorStopped, Call, Inbox, Notice, Reply
from actors.lease.queue import LeaseQueue
from actors.lease.schedule import NEVER
from actors.lease.table import LeaseChanges, LeaseID, LeaseTable
from wire.errors import EtcdError, LeaseNotFound, NotPrimaryLessor, TooManyRequests
from wire.pb import etcdserverpb

INBOX_CALLS = 256
REVOKES_IN_FLIGHT = 16  # etcd's; more would only crowd the log
CLEARS_IN_ENTRY = 1000  # leases whose checkpoint one entry takes back
WAITING_RENEWALS = 10_000  # that wait for the log; more are refused

Propose = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Proposes one request ("lease_revoke", its bytes) and returns when it is applied."""


class TimeLeft(NamedTuple):
    """What TimeToLive answers: whole seconds left, the granted TTL, the attached keys."""

    remaining: int
    granted_ttl: int
    keys: list[bytes]


# Messages


@dataclass(frozen=True, slots=True)
class Renew(Call[int]):
    lease_id: LeaseID


@dataclass(frozen=True, slots=True)
class TimeToLive(Call[TimeLeft]):
    lease_id: LeaseID
    with_keys: bool


@dataclass(frozen=True, slots=True)
class Leases(Call[list[LeaseID]]):
    pass


@dataclass(frozen=True, slots=True)
class LeasesChanged(Notice):
    """From the apply step, before anyone hears of the entries' results."""

    changes: LeaseChanges

    def merge(self, older: LeasesChanged) -> LeasesChanged:
        return LeasesChanged(self.changes.after(older.changes))


@dataclass(frozen=True, slots=True)
class LeadershipChanged(Notice):
    """This member leads in `term`, or (None) it does not lead."""

    term: int | None


@dataclass(frozen=True, slots=True)
class RevokesAsked(Notice):
    """All revokes at hand have been answered: there is room for more."""


@dataclass(frozen=True, slots=True)
class CheckpointsAsked(Notice):
    """One LeaseCheckpoint entry was applied, or refused.  Only one is ever under way."""

    lease_ids: tuple[LeaseID, ...]
    error: EtcdError | None


# Handle


class Lessor:
    """What the rest of the member sees: plain methods, no messages.  Outlives restarts."""

    def __init__(self) -> None:
        self.inbox = Inbox("lessor", calls=INBOX_CALLS)
        self.term: int | None = None  # as last told, for a lessor that restarts
        self.renewed_total = 0
        self.expired_total = 0

    async def renew(self, lease_id: LeaseID) -> int:
        """Start a lease's TTL over and return it, in seconds.

        Waits for the log when the lease has run out and is not yet revoked.

        Raises:
            LeaseNotFound: never granted, or revoked.
            NotPrimaryLessor: this member does not lead.
            ActorStopped: no answer will come.
        """
        return await self.inbox.call(Renew(lease_id))

    async def time_to_live(self, lease_id: LeaseID, *, keys: bool = False) -> TimeLeft:
        """Raises as `renew`."""
        return await self.inbox.call(TimeToLive(lease_id, keys))

    async def leases(self) -> list[LeaseID]:
        """All leases, the one that runs out first first; also on a member that does not lead."""
        return await self.inbox.call(Leases())

    def changed(self, changes: LeaseChanges) -> None:
        """The apply step's word on what entries did."""
        self.inbox.notify(LeasesChanged(changes))

    def lead(self, term: int) -> None:
        """This member has become leader: leases run out from now on."""
        self.term = term
        self.inbox.notify(LeadershipChanged(term))

    def follow(self) -> None:
        """This member leads no more."""
        self.term = None
        self.inbox.notify(LeadershipChanged(None))


async def run_lessor(
    lessor: Lessor,
    table: LeaseTable,
    propose: Propose,
    *,
    election_timeout: float,
    checkpoint_interval: float | None = None,
    task_status: trio.TaskStatus[Lessor] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """`table` is only read.  `checkpoint_interval` in seconds; None: no checkpoints."""
    queue = LeaseQueue(checkpoint_interval=checkpoint_interval)
    queue.load(table.leases())
    desk = _Desk(lessor, queue, table, propose)
    with lessor.inbox:
        task_status.started(lessor)
        while True:
            if desk.term is None:
                await follow(desk)
            else:
                await lead(desk, election_timeout)


# Roles


async def follow(desk: _Desk) -> None:
    """Keep the queue in step with the table, until this member leads."""
    while desk.term is None:
        await desk.inbox.wait()
        desk.take_messages(trio.current_time())


async def lead(desk: _Desk, election_timeout: float) -> None:
    """Let leases run out, until this member no longer leads in this term."""
    term = desk.term
    desk.queue.promote(trio.current_time(), election_timeout)
    try:
        async with trio.open_nursery() as nursery:
            while desk.term == term:
                desk.ask_for_revokes(trio.current_time(), nursery)
                desk.ask_for_checkpoints(trio.current_time(), nursery)
                with trio.move_on_at(desk.next_look()):
                    await desk.inbox.wait()
                desk.take_messages(trio.current_time())
            nursery.cancel_scope.cancel()
    finally:
        desk.give_up_leadership()


# Steps


@dataclass
class _Desk:
    """The lessor's state beside its queue: who waits for what.

    Invariant: a renewal waits in at most one place; of a lease at most one revoke is under way.
    """

    lessor: Lessor
    queue: LeaseQueue
    table: LeaseTable
    propose: Propose
    term: int | None = field(init=False)
    # Renewals of leases that have run out, answered by the outcome.
    overdue: dict[LeaseID, list[Reply[int]]] = field(default_factory=dict)
    # Renewals of leases whose checkpoint has to be taken back in the log first.
    to_clear: dict[LeaseID, list[Reply[int]]] = field(default_factory=dict)
    clearing: dict[LeaseID, list[Reply[int]]] = field(default_factory=dict)
    is_checkpointing: bool = False
    backlog: deque[LeaseID] = field(default_factory=deque)  # to be revoked, no task has it yet
    revoking: set[LeaseID] = field(default_factory=set)  # in the backlog or with a task
    revokers: int = 0  # tasks
    waiting: int = 0  # renewals in the three dicts

    def __post_init__(self) -> None:
        self.term = self.lessor.term

    @property
    def inbox(self) -> Inbox:
        return self.lessor.inbox

    def next_look(self) -> float:
        """When something may be due; what is under way wakes us by a notice."""
        revoke = NEVER if self.backlog else self.queue.next_look
        return revoke if self.is_checkpointing else min(revoke, self.queue.next_checkpoint)

    def take_messages(self, now: float) -> None:
        for message in self.inbox.drain():
            match message:
                case Renew(lease_id=lease_id, reply=reply):
                    self._renew(lease_id, reply, now)
                case TimeToLive():
                    message.reply.capture(self._time_left, message, now, refusals=EtcdError)
                case Leases():
                    message.reply.answer(self.queue.leases())
                case LeasesChanged(changes=changes):
                    self.queue.change(changes, now)
                    for lease_id in changes.revoked & self.overdue.keys():
                        self._refuse(self.overdue.pop(lease_id), LeaseNotFound())
                case LeadershipChanged(term=term):
                    self.term = term
                case CheckpointsAsked(lease_ids=lease_ids, error=error):
                    self._finish_checkpoints(lease_ids, error, now)
                case RevokesAsked():
                    pass  # being awake is all it wants

    # -- Renewals

    def _renew(self, lease_id: LeaseID, reply: Reply[int], now: float) -> None:
        try:
            if self.queue.has_run_out(lease_id, now):
                self._park(self.overdue, lease_id, reply)
            elif self.queue.is_shortened(lease_id):
                self._park(self.to_clear, lease_id, reply)
            else:
                reply.answer(self.queue.renew(lease_id, now))
                self.lessor.renewed_total += 1
        except EtcdError as refusal:
            reply.refuse(refusal)

    def _park(
        self, place: dict[LeaseID, list[Reply[int]]], lease_id: LeaseID, reply: Reply[int]
    ) -> None:
        if self.waiting >= WAITING_RENEWALS:
            raise TooManyRequests
        place.setdefault(lease_id, []).append(reply)
        self.waiting += 1

    def _refuse(self, replies: Iterable[Reply[int]], error: EtcdError) -> None:
        for reply in replies:
            reply.refuse(error)
            self.waiting -= 1

    def _time_left(self, message: TimeToLive, now: float) -> TimeLeft:
        remaining, granted = self.queue.remaining(message.lease_id, now)
        keys = self.table.keys_of(message.lease_id) if message.with_keys else []
        return TimeLeft(remaining, granted, keys)

    def give_up_leadership(self) -> None:
        """What waited for this leadership is told so; the new leader will see to the rest."""
        self.queue.demote()
        for place in (self.overdue, self.to_clear, self.clearing):
            for replies in place.values():
                self._refuse(replies, NotPrimaryLessor())
            place.clear()
        self.backlog.clear()
        self.revoking.clear()
        self.is_checkpointing = False

    # -- Revokes

    def ask_for_revokes(self, now: float, nursery: trio.Nursery) -> None:
        if self.backlog:
            return
        for lease_id in self.queue.due(now):
            if lease_id not in self.revoking:
                self.revoking.add(lease_id)
                self.backlog.append(lease_id)
        for _ in range(min(len(self.backlog), REVOKES_IN_FLIGHT - self.revokers)):
            self.revokers += 1
            nursery.start_soon(self._revoke_backlog)

    async def _revoke_backlog(self) -> None:
        try:
            while self.backlog:
                lease_id = self.backlog.popleft()
                try:
                    request = etcdserverpb.LeaseRevokeRequest(ID=lease_id)
                    await self.propose("lease_revoke", request.SerializeToString())
                    self.lessor.expired_total += 1
                except (EtcdError, ActorStopped):
                    pass  # the queue names the lease again, should it still be there
                self.revoking.discard(lease_id)
            self.inbox.notify(RevokesAsked())
        finally:
            self.revokers -= 1

    # -- Checkpoints

    def ask_for_checkpoints(self, now: float, nursery: trio.Nursery) -> None:
        """Those that renewals wait for go first."""
        if self.is_checkpointing:
            return
        if self.to_clear:
            for lease_id in list(self.to_clear)[:CLEARS_IN_ENTRY]:
                self.clearing[lease_id] = self.to_clear.pop(lease_id)
            batch = [(lease_id, 0) for lease_id in self.clearing]
        else:
            batch = self.queue.due_checkpoints(now)
        if batch:
            self.is_checkpointing = True
            nursery.start_soon(self._checkpoint, batch)

    async def _checkpoint(self, batch: list[tuple[LeaseID, int]]) -> None:
        request = etcdserverpb.LeaseCheckpointRequest(
            checkpoints=[
                etcdserverpb.LeaseCheckpoint(ID=lease_id, remaining_TTL=remaining_ttl)
                for lease_id, remaining_ttl in batch
            ]
        )
        error: EtcdError | None = None
        try:
            await self.propose("lease_checkpoint", request.SerializeToString())
        except EtcdError as refusal:
            error = refusal
        except ActorStopped:
            error = NotPrimaryLessor()
        self.inbox.notify(CheckpointsAsked(tuple(lease_id for lease_id, _ in batch), error))

    def _finish_checkpoints(
        self, lease_ids: tuple[LeaseID, ...], error: EtcdError | None, now: float
    ) -> None:
        self.is_checkpointing = False
        cleared, self.clearing = self.clearing, {}
        for lease_id, replies in cleared.items():
            if error is not None:
                self._refuse(replies, error)
                continue
            for reply in replies:
                self.waiting -= 1
                self._renew(lease_id, reply, now)
        if error is not None:
            self.queue.postpone_checkpoints(lease_ids, now)
