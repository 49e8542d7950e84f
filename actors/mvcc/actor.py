"""The state machine's owner: applies committed entries in log order, and answers for them.

Inbox     256 calls (reads waiting for an index, compactions waited for); two notices (committed
          entries, which merge into one longer list; a long reader has finished).
Waits on  backend, to flush, when more than BACKLOG_BYTES are applied and not yet on disk.
Restarts  no: half an entry may have been applied; the next start replays the log.

One step applies a slice of entries and changes everything they change: keys, leases, alarms,
members.  Nobody sees the state between two entries of a slice, because nothing is awaited
there.  Whoever follows the state (watch hub, lessor, raft, backend) hears one notice a slice.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from actors.apply.applier import Applier, Result
from actors.backend.actor import BackendActor
from actors.kernel import Call, Inbox, Notice, Reply
from actors.lease.table import LeaseChanges
from actors.mvcc.compaction import Compaction, is_due
from actors.mvcc.pins import Pins
from actors.raft.types import AnyConfChange, ConfState, Entry, conf_change_of
from wire.errors import EtcdError, LeaderChanged

INBOX_CALLS = 256
SLICE_ENTRIES = 500  # applied between two turns of the event loop: 3 to 5 ms
COMPACTED_KEYS = 500  # cleaned in one step
COMPACTION_PAUSE = 0.01  # seconds between steps; etcd's default
BACKLOG_BYTES = 256 << 20  # applied but not durable; beyond it, applying waits for the disk


class Span(NamedTuple):
    """Entries that somebody here proposed together, and who waits for their results."""

    first: int  # log index
    size: int
    term: int
    reply: Reply[list[Result]]

    @property
    def last(self) -> int:
        return self.first + self.size - 1


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
class ReaderDone(Notice):
    """A long reader has finished: compaction may be able to go on."""


# Who hears of it


class Followers(Protocol):
    """Hears, after every slice, what the state machine has reached.  Must not block."""

    def applied(self, index: int, term: int, revision: int) -> None: ...

    def leases_changed(self, changes: LeaseChanges) -> None: ...


class Configuration(Protocol):
    """The membership's side of configuration changes."""

    def apply_change(self, change: AnyConfChange, index: int) -> AnyConfChange | EtcdError:
        """Change the membership; returns what raft must apply, or why nothing may change."""
        ...


ApplyConfChange = Callable[[AnyConfChange | None], ConfState]
"""raft's side of a configuration change (None: it was refused), with the outcome."""


class Machine:
    """The handle."""

    def __init__(self, inbox: Inbox, pins: Pins) -> None:
        self._inbox = inbox
        self.pins = pins

    def committed(self, entries: list[Entry], spans: list[Span]) -> None:
        self._inbox.notify(Committed(entries, spans))

    async def wait_applied(self, index: int) -> None:
        """Until this member's state includes the entry at `index`."""
        await self._inbox.call(Applied(index))

    async def wait_cleaned(self, revision: int) -> None:
        """Until the compaction to `revision` has removed what it made unreadable."""
        await self._inbox.call(Cleaned(revision))


async def run_machine(
    inbox: Inbox,
    applier: Applier,
    configuration: Configuration,
    apply_conf_change: ApplyConfChange,
    backend: BackendActor,
    followers: Followers,
    pins: Pins,
    *,
    task_status: trio.TaskStatus[Machine] = trio.TASK_STATUS_IGNORED,
) -> None:
    desk = _Desk(inbox, applier, configuration, apply_conf_change, backend, followers, pins)
    pins.released = lambda: inbox.notify(ReaderDone())
    with inbox:
        task_status.started(Machine(inbox, pins))
        while True:
            if desk.compaction is None:
                await inbox.wait()
            else:
                with trio.move_on_after(COMPACTION_PAUSE):
                    await inbox.wait()
            await desk.handle(inbox.drain())
            desk.compact()


class _Desk:
    """The actor's state."""

    def __init__(
        self,
        inbox: Inbox,
        applier: Applier,
        configuration: Configuration,
        apply_conf_change: ApplyConfChange,
        backend: BackendActor,
        followers: Followers,
        pins: Pins,
    ) -> None:
        self._applier = applier
        self._store = applier.store
        self._rows = applier.store.backend
        self._configuration = configuration
        self._apply_conf_change = apply_conf_change
        self._backend = backend
        self._followers = followers
        self._pins = pins
        self._spans: deque[Span] = deque()
        self._results: list[Result] = []  # of the first span, as far as it is applied
        self._waiting: list[tuple[int, int, Reply[None]]] = []  # a heap by log index
        self._cleaned: list[Cleaned] = []
        self.compaction: Compaction | None = Compaction(self._store) if self._due() else None

    async def handle(self, messages: Sequence[object]) -> None:
        for message in messages:
            match message:
                case Committed(entries=entries, spans=spans):
                    self._spans.extend(spans)
                    for start in range(0, len(entries), SLICE_ENTRIES):
                        if start:
                            await trio.lowlevel.checkpoint()
                        self.apply(entries[start : start + SLICE_ENTRIES])
                        if self._rows.pending_bytes > BACKLOG_BYTES:
                            await self._backend.flush()
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

    def apply(self, entries: list[Entry]) -> None:
        """One step: apply, then tell everybody.  Lessor and hub hear before the callers do."""
        apply = self._applier.apply
        results: list[Result] = []
        for entry in entries:
            if entry.type:
                results.append(self._change_configuration(entry))
            elif entry.data:
                results.append(apply(entry.data))
            else:
                results.append((0, b""))  # a new leader's first entry
        last = entries[-1]
        self._rows.applied_index, self._rows.applied_term = last.index, last.term
        changes = self._applier.leases.take_changes()
        if changes:
            self._followers.leases_changed(changes)
        self._followers.applied(last.index, last.term, self._store.revision)
        self._backend.changed()
        if self._spans:
            self._answer(entries, results)
        while self._waiting and self._waiting[0][0] <= last.index:
            heapq.heappop(self._waiting)[2].answer(None)

    def _change_configuration(self, entry: Entry) -> Result:
        outcome = self._configuration.apply_change(conf_change_of(entry), entry.index)
        if isinstance(outcome, EtcdError):
            self._apply_conf_change(None)
            return outcome
        self._apply_conf_change(outcome)
        return self._store.revision, b""

    def _answer(self, entries: list[Entry], results: list[Result]) -> None:
        """Hand results to whoever proposed the entries."""
        base, last = entries[0].index, entries[-1].index
        while self._spans and self._spans[0].first <= last:
            span = self._spans[0]
            start = span.first + len(self._results) - base
            stop = min(span.last, last) - base + 1
            if entries[stop - 1].term == span.term:
                self._results += results[start:stop]
            else:  # another leader's entries took some of the places
                self._results += [
                    result if entry.term == span.term else LeaderChanged()
                    for entry, result in zip(entries[start:stop], results[start:stop], strict=True)
                ]
            if span.last > last:
                return
            self._spans.popleft()
            done, self._results = self._results, []
            if not span.reply.done:
                span.reply.answer(done)

    # -- Compaction, a step between other work

    def _due(self) -> bool:
        return is_due(self._store) and not self._pins.below(self._store.compact_revision)

    def compact(self) -> None:
        if self.compaction is None:
            if not self._due():
                return
            self.compaction = Compaction(self._store)
        if not self.compaction.step(COMPACTED_KEYS):
            self.compaction = Compaction(self._store) if self._due() else None
            still = []
            for call in self._cleaned:
                if call.revision <= self._store.finished_compaction:
                    call.reply.answer(None)
                else:
                    still.append(call)
            self._cleaned = still
        self._backend.changed()
