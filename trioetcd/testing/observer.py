"""Sees inside the members while they run, which no client can.

What any member has applied is noted before a compaction can take it away, and compared with what
others applied at that revision: state machine safety, and election safety with it.
Source: Raft thesis §3.2 (figure 3.2: Election Safety, State Machine Safety).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import trio

from actors.mvcc.feed import Event as StoredEvent
from trioetcd.node.node import Node
from trioetcd.testing.checker import Wrong
from trioetcd.testing.history import Event
from trioetcd.testing.member import Member
from trioetcd.testing.replay import FIRST_REVISION
from wire.pb import mvccpb

LOOK_SECONDS = 0.05  # between two looks
MAX_EVENTS = 1 << 20  # taken over in one look: all there are


class Observer:
    """Invariant: `log` has the changes of all revisions up to `revision`."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._leaders: dict[int, str] = {}  # by term
        self._seen: dict[str, tuple[Node, int]] = {}  # of each member: up to which revision
        self.log: dict[int, tuple[Event, ...]] = {}
        self.revision = FIRST_REVISION

    async def run(self) -> None:
        """Raises Wrong."""
        while True:
            self.look()
            await trio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Raises Wrong."""
        for member in self._members:
            if member.node is not None:
                self._note_leader(member.name, member.node)
                self._note_events(member.name, member.node)

    def _note_leader(self, name: str, node: Node) -> None:
        status = node.parts.raft.status
        if status.is_leader and self._leaders.setdefault(status.term, name) != name:
            raise Wrong(f"{self._leaders[status.term]} and {name} both lead in term {status.term}")

    def _note_events(self, name: str, node: Node) -> None:
        store = node.parts.store
        known, seen = self._seen.get(name, (node, 0))
        if known is not node:
            seen = 0  # it has booted since, and may have lost what it had
        seen = max(seen, store.compact_revision, FIRST_REVISION)
        if store.revision < seen:
            raise Wrong(f"{name} was at {seen} and is at {store.revision}")
        if store.revision > seen:
            found = [_event(one) for one in store.events(seen + 1, store.revision, MAX_EVENTS)]
            self._compare(name, found)
        self._seen[name] = node, store.revision

    def _compare(self, name: str, found: Sequence[Event]) -> None:
        for revision, group in groupby(found, key=lambda event: event.revision):
            changes = tuple(group)
            if revision == self.revision + 1:
                self.log[revision] = changes
                self.revision = revision
            elif self.log.get(revision) != changes:
                raise Wrong(f"{name} applied {changes}, others {self.log.get(revision)}")


def _event(stored: StoredEvent) -> Event:
    if stored.dead:
        return Event(stored.main, stored.key, None)
    kv = mvccpb.KeyValue.FromString(stored.keyvalue)
    return Event(stored.main, kv.key, kv.value, kv.create_revision, kv.version, kv.lease)
