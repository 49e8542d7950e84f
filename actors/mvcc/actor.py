"""The state machine's owner: applies committed entries in log order, and answers for them.

Inbox     256 calls (reads waiting for an index, compactions waited for); two notices (committed
          entries, which merge into one longer list; a long reader has finished).
Waits on  backend, to flush, when more than BACKLOG_BYTES are applied and not yet on disk, and
          to put a leader's snapshot in.
Restarts  no: half an entry may have been applied; the next start replays the log.

One step applies a slice of entries and changes everything they change: keys, leases, alarms,
members.  Nobody sees the state between two entries of a slice, because nothing is awaited
there.  Whoever follows the state (watch hub, lessor, raft, backend) hears one notice a slice.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from actors.apply.applier import Applier, Result
from actors.backend.actor import BackendActor
from actors.backend.buckets import CONF_STATE, META
from actors.cluster.member import conf_state_json
from actors.kernel import Call, Inbox, Notice, Reply
from actors.lease.table import LeaseChanges
from actors.mvcc.appended import AppendedProposals, Span
from actors.mvcc.cleaning import Cleaning
from actors.mvcc.compaction_times import CompactionTimes
from actors.mvcc.forwarded import Forwarded, ForwardedProposals
from actors.mvcc.pins import Pins
from actors.raft.configuration import Configuration
from actors.raft.types import (
    AnyConfChange,
    ConfChange,
    ConfChangeType,
    ConfState,
    Entry,
    Snapshot,
    conf_change_of,
)
from wire.errors import EtcdError

INBOX_CALLS = 256
SLICE_ENTRIES = 500  # applied between two turns of the event loop: 3 to 5 ms
COMPACTED_KEYS = 500  # cleaned in one step
MOST_COMPACTED_KEYS = 5000  # whatever is asked for: nothing else happens in a step
COMPACTION_PAUSE = 0.01  # seconds between steps; etcd's default
NO_CHANGE = ConfChange(ConfChangeType.UPDATE_NODE, 0)  # what raft applies for a refused one
BACKLOG_BYTES = 256 << 20  # applied but not durable; beyond it, applying waits for the disk


Results = list[Result]
Changes = tuple[tuple[int, AnyConfChange], ...]
"""Changes of the configuration, each with the log index at which it took effect."""


# Messages


@dataclass(frozen=True, slots=True)
class Committed(Notice):
    """Entries to apply, in order, and the spans that begin among them."""

    entries: list[Entry]
    spans: list[Span]

    def merge(self, older: Committed) -> Committed:
        return Committed(older.entries + self.entries, older.spans + self.spans)


@dataclass(frozen=True, slots=True)
class Applied(Call[None]):
    """Answered once the entry at `index` is applied."""

    index: int


@dataclass(frozen=True, slots=True)
class Cleaned(Call[None]):
    """Answered once nothing below `revision` is left to remove."""

    revision: int


@dataclass(frozen=True, slots=True)
class Idle(Call[None]):
    """Answered once no removal is under way."""


@dataclass(frozen=True, slots=True)
class Install(Notice):
    """A leader's snapshot, which was received, is to replace the state."""

    snapshot: Snapshot

    def merge(self, older: Install) -> Install:
        return self  # the later one holds more


@dataclass(frozen=True, slots=True)
class ReaderDone(Notice):
    """A long reader has finished: compaction may be able to go on."""


# Who hears of it


class Progress(NamedTuple):
    """Everything through the entry at `index` is applied; the store is at `revision`."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    revision: int
    changes: Changes  # of the configuration, since the last one
    conf_state: ConfState  # the configuration now


class Followers(Protocol):
    """Hears, after every slice, what the state machine has reached.  Must not block."""

    def applied(self, reached: Progress) -> None: ...

    def leases_changed(self, changes: LeaseChanges) -> None: ...

    def replaced(self, index: int) -> None:
        """The state was replaced by a later one, of the snapshot at this log index."""
        ...


class Members(Protocol):
    """The membership's side of configuration changes."""

    def apply_change(self, change: AnyConfChange, index: int) -> AnyConfChange | EtcdError:
        """Change the membership; returns what raft must apply, or why nothing may change."""
        ...


class Machine:
    """The handle."""

    def __init__(
        self,
        applier: Applier,
        restore: Callable[[], None],
        *,
        compacted_keys: int = 0,
        compaction_pause: float = 0,
    ) -> None:
        """`restore` builds the replicated state anew from the backend, in one step.

        A compaction looks at `compacted_keys` in a step and pauses for so many seconds before
        the next; 0 is as we think best.
        """
        self.compacted_keys = min(compacted_keys, MOST_COMPACTED_KEYS) or COMPACTED_KEYS
        self.compaction_pause = compaction_pause or COMPACTION_PAUSE
        self.inbox = Inbox("mvcc", calls=INBOX_CALLS)
        self.applier = applier
        self.restore = restore
        self.desk: _Desk | None = None  # while the actor runs
        self.awaited = ForwardedProposals()
        self.compactions = CompactionTimes()
        self.is_installing = False  # a leader's snapshot
        self.applied_slowly: Callable[[list[Entry], Results, float], None] = lambda *_: None
        self.pins = Pins()
        self.pins.released = lambda: self.inbox.notify(ReaderDone())

    def forwarded(self, group: Forwarded) -> None:
        """Known at once: entries merge with those that wait already, and as a notice this
        could come after the very entries it is about."""
        self.awaited.expect(group)

    def committed(self, entries: list[Entry], spans: list[Span]) -> None:
        """Applied at once if the actor is idle and they are few: that spares a change of tasks."""
        if (
            self.desk is None
            or not self.inbox.is_idle
            or not self.desk.apply_at_once(entries, spans)
        ):
            self.inbox.notify(Committed(entries, spans))

    def install(self, snapshot: Snapshot) -> None:
        """Its database has been received, and its record is in the log."""
        self.inbox.notify(Install(snapshot))

    async def wait_applied(self, index: int) -> None:
        """Until this member's state includes the entry at `index`."""
        await self.inbox.call(Applied(index))

    async def wait_compaction(self) -> None:
        """Until no removal is under way.  To be asked under a pin, so that none begins."""
        await self.inbox.call(Idle())

    async def wait_cleaned(self, revision: int) -> None:
        """Until the compaction to `revision` has removed what it made unreadable."""
        await self.inbox.call(Cleaned(revision))


async def run_machine(
    machine: Machine,
    members: Members,
    conf_state: ConfState,
    backend: BackendActor,
    followers: Followers,
    *,
    task_status: trio.TaskStatus[Machine] = trio.TASK_STATUS_IGNORED,
) -> None:
    inbox = machine.inbox
    desk = _Desk(machine, members, conf_state, backend, followers)
    with inbox:
        machine.desk = desk
        task_status.started(machine)
        try:
            while True:
                desk.compact()
                if not desk.cleaning.is_running:
                    await inbox.wait()
                else:
                    with trio.move_on_after(machine.compaction_pause):
                        await inbox.wait()
                if desk.failure is not None:
                    raise desk.failure
                await desk.handle(inbox.drain())
        finally:
            machine.desk = None


class _Desk:
    """The actor's state."""

    def __init__(
        self,
        machine: Machine,
        members: Members,
        conf_state: ConfState,
        backend: BackendActor,
        followers: Followers,
    ) -> None:
        self._machine = machine
        self._applier = machine.applier
        self._store = machine.applier.store
        self._rows = self._store.backend
        self._members = members
        self._configuration = Configuration.of(conf_state)
        self.conf_state = conf_state
        self._backend = backend
        self._followers = followers
        self._appended = AppendedProposals()
        self._forwarded = machine.awaited
        self._waiting: list[tuple[int, int, Reply[None]]] = []  # a heap by log index
        self._cleaned: list[Cleaned] = []
        self._idle: list[Idle] = []
        self.cleaning = Cleaning(self._store, machine.pins, machine.compactions, trio.current_time)
        self.failure: Exception | None = None  # of entries that were applied at once

    def apply_at_once(self, entries: list[Entry], spans: list[Span]) -> bool:
        """`handle` for one message when nothing else waits; False if it takes more than a step."""
        if len(entries) > SLICE_ENTRIES or self._rows.pending_bytes > BACKLOG_BYTES:
            return False
        self._appended.expect(spans)
        try:
            self.apply(entries)
        except Exception as error:
            self.failure = error
            self._machine.inbox.wake()
        if self.cleaning.is_due:
            self._machine.inbox.wake()
        return True

    async def handle(self, messages: Sequence[object]) -> None:
        for message in messages:
            match message:
                case Committed(entries=entries, spans=spans):
                    self._appended.expect(spans)
                    for start in range(0, len(entries), SLICE_ENTRIES):
                        if start:
                            await trio.lowlevel.checkpoint()
                        self.apply(entries[start : start + SLICE_ENTRIES])
                        if self._rows.pending_bytes > BACKLOG_BYTES:
                            await self._backend.flush()
                case Install(snapshot=snapshot):
                    await self._install(snapshot)
                case Applied(index=index, reply=reply):
                    if index <= self._rows.applied_index:
                        reply.answer(None)
                    else:
                        heapq.heappush(self._waiting, (index, id(reply), reply))
                case Cleaned(revision=revision, reply=reply):
                    if revision <= self._store.finished_compaction:
                        reply.answer(None)
                    else:
                        self._cleaned.append(message)
                case Idle():
                    self._idle.append(message)

    async def _install(self, snapshot: Snapshot) -> None:
        """Take over a leader's state.  Who waits for entries is told that nobody knows: they
        may be in it."""
        index = snapshot.metadata.index
        if index <= self._rows.applied_index:
            return
        leases = self._applier.leases
        before = {lease_id for lease_id, _, _ in leases.leases()}
        self.cleaning.abandon()
        self._machine.is_installing = True
        await self._backend.install(index, self._machine.restore)
        self._machine.is_installing = False
        self.conf_state = snapshot.metadata.conf_state
        self._configuration = Configuration.of(self.conf_state)
        self._appended.give_up()
        self._forwarded.give_up()
        self._followers.leases_changed(
            LeaseChanges(
                before,
                {lease_id: ttl for lease_id, ttl, _ in leases.leases()},
                {lease_id: left for lease_id, _, left in leases.leases() if left},
            )
        )
        self._followers.replaced(index)
        self._followers.applied(
            Progress(index, self._rows.applied_term, self._store.revision, (), self.conf_state)
        )
        while self._waiting and self._waiting[0][0] <= index:
            heapq.heappop(self._waiting)[2].answer(None)

    def apply(self, entries: list[Entry]) -> None:
        """One step: apply, then tell everybody.  Lessor and hub hear before the callers do."""
        apply = self._applier.apply
        changes: list[tuple[int, AnyConfChange]] = []
        results: Results = []
        others = 0
        began = trio.current_time()
        for entry in entries:
            if entry.type:
                others += 1
                results.append(self._change_configuration(entry, changes))
            elif entry.data:
                results.append(apply(entry.data, entry.index))
            else:
                others += 1
                results.append((0, b""))  # a new leader's first entry
        applied = trio.current_time()
        if self._applier.times.note(len(entries) - others, applied - began):
            self._machine.applied_slowly(entries, results, applied - began)
        last = entries[-1]
        self._rows.applied_index, self._rows.applied_term = last.index, last.term
        lease_changes = self._applier.leases.take_changes()
        if lease_changes:
            self._followers.leases_changed(lease_changes)
        self._followers.applied(
            Progress(last.index, last.term, self._store.revision, tuple(changes), self.conf_state)
        )
        self._backend.changed()
        if self._appended:
            self._appended.answer(entries, results, applied)
        if self._forwarded:
            self._forwarded.answer(entries, results)
        while self._waiting and self._waiting[0][0] <= last.index:
            heapq.heappop(self._waiting)[2].answer(None)

    def _change_configuration(
        self, entry: Entry, changes: list[tuple[int, AnyConfChange]]
    ) -> Result:
        """The membership decides, the configuration follows, and raft will hear of it."""
        outcome = self._members.apply_change(conf_change_of(entry), entry.index)
        if isinstance(outcome, EtcdError):
            changes.append((entry.index, NO_CHANGE))
            return outcome
        changes.append((entry.index, outcome))
        self._configuration = self._configuration.after(outcome)
        self.conf_state = self._configuration.conf_state()
        self._rows.put(META, CONF_STATE, conf_state_json(self.conf_state))
        return self._store.revision, b""

    # -- Compaction, a step between other work

    def compact(self) -> None:
        """One step of the removal under way, or the start of one that is due."""
        if self.cleaning.step(self._machine.compacted_keys):
            self._backend.changed()
        if not self.cleaning.is_running:
            self._tell_cleaned()

    def _tell_cleaned(self) -> None:
        finished = self._store.finished_compaction
        for call in self._cleaned:
            if call.revision <= finished:
                call.reply.answer(None)
        self._cleaned = [call for call in self._cleaned if call.revision > finished]
        for idle in self._idle:
            idle.reply.answer(None)
        self._idle.clear()
