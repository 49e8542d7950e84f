"""Any sequence of writes, cuts, snapshots, faults and crashes: what comes back is what was written
up to some record, and that is never before the last one that was acknowledged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from actors.raft.types import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from actors.snapshot import files
from actors.snapshot.recovery import Recovered, recover
from actors.wal.disk import DiskFull
from actors.wal.records import (
    Kind,
    SnapshotRecord,
    parse_entry,
    parse_record,
    parse_snapshot,
    parse_state,
)
from actors.wal.writer import LogWriter
from tests.wal.logs import DIRECTORY, METADATA, SEGMENT, START, new_log
from trioetcd.testing.disk import SimulatedDisk

SNAP = "member/snap"
CONF_STATE = ConfState(voters=(1, 2, 3))

Event = Entry | HardState | SnapshotRecord


@dataclass
class Model:
    """What a log says after some of its records."""

    base: SnapshotRecord = START  # a leader's snapshot, or the beginning
    newest: SnapshotRecord = START  # that counts
    offered: SnapshotRecord | None = None  # a leader's, not yet committed
    state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)  # after the base

    @property
    def last_index(self) -> int:
        return self.base.index + len(self.entries)

    @property
    def last_term(self) -> int:
        """A crash may lose a term and keep entries of it: no one was told of either."""
        return max(self.state.term, self.entries[-1].term if self.entries else self.base.term)

    def apply(self, event: Event) -> None:
        match event:
            case Entry(index=index):
                del self.entries[index - self.base.index - 1 :]
                self.entries.append(event)
            case HardState():
                self.state = event
                if self.offered is not None and self.offered.index <= event.commit:
                    self.base = self.newest = self.offered
                    self.offered, self.entries = None, []
            case SnapshotRecord(index=index):
                if index <= self.state.commit:
                    self.newest = event
                else:
                    self.offered = event

    def is_what(self, recovered: Recovered) -> bool:
        start = recovered.snapshot.metadata if recovered.snapshot else START
        return (
            (start.index, start.term) == (self.newest.index, self.newest.term)
            and recovered.hard_state == self.state
            and recovered.entries == self.entries[start.index - self.base.index :]
        )


def events_in(frames: bytes) -> Iterator[Event]:
    while frames:
        size = int.from_bytes(frames[:7], "little")
        record = parse_record(frames[8 : 8 + size])
        parse = {Kind.ENTRY: parse_entry, Kind.STATE: parse_state, Kind.SNAPSHOT: parse_snapshot}
        yield parse[Kind(record.kind)](record.data)
        frames = frames[8 + size + -size % 8 :]


class Life:
    """One member's disk, from crash to crash."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = SimulatedDisk(self.rng)
        self.disk.mkdir(SNAP)
        self.log = new_log(self.disk)
        self.sure = Model()  # acknowledged
        self.unsure: list[Event] = []  # written since, in order
        self.now = Model()  # all of it
        self.leaders: SnapshotRecord | None = None  # the last snapshot that a leader sent

    def run(self) -> None:
        for _ in range(4):
            for _ in range(self.rng.randrange(12)):
                self.rng.choice(self.STEPS)(self)
            try:
                self.end()
            except DiskFull:
                self.disk.kill()
            self.disk.room_bytes = None
            self.recover()

    # What a member does

    def append(
        self,
        entries: list[Entry],
        state: HardState | None = None,
        record: SnapshotRecord | None = None,
    ) -> None:
        before = len(self.log._pending)
        self.log.append(entries, state, record)
        for event in events_in(b"".join(self.log._pending[before:])):
            self.unsure.append(event)
            self.now.apply(event)
        assert self.now.entries[-len(entries) :] == entries or not entries
        assert self.now.state == (state or self.now.state)

    def sync(self) -> None:
        self.log.write()
        self.log.sync()
        for event in self.unsure:
            self.sure.apply(event)
        self.unsure.clear()
        if self.log.is_full:
            self.log.cut()

    def write_entries(self) -> None:
        state, rng = self.now.state, self.rng
        first = self.now.last_index + 1
        term = max(self.now.last_term, 1)
        if rng.random() < 0.2:
            first, term = rng.randint(state.commit + 1, first), term + 1  # a new leader
        count = rng.randrange(1, 5)
        entries = [
            Entry(0, term, index, rng.randbytes(rng.choice((0, 5, 100, 600, 2000))))
            for index in range(first, first + count)
        ]
        if term > state.term or rng.random() < 0.5:
            state = HardState(term, rng.randrange(3), rng.randint(state.commit, first + count - 1))
            self.append(entries, state)
        else:
            self.append(entries)
        if rng.random() < 0.3:
            self.log.write()
        else:
            self.sync()

    def move_commit(self) -> None:
        state = self.now.state
        commit = self.rng.randint(state.commit, self.now.last_index)
        self.append([], state._replace(commit=commit))

    def take_snapshot(self) -> None:
        """Of our own: what is committed, and durably so."""
        self.sync()
        index = self.now.state.commit
        if index <= self.now.newest.index:
            return
        term = self.now.entries[index - self.now.base.index - 1].term
        self.save_file(index, term)
        self.append([], record=SnapshotRecord(index, term, CONF_STATE))
        self.sync()
        files.purge(self.disk, SNAP, index, self.rng.randrange(3))
        self.log.release(index, self.rng.randrange(4))

    def install_snapshot(self) -> None:
        """A leader's, of a term in which nothing of ours after the commit index was written."""
        index = self.rng.randint(self.now.state.commit + 1, self.now.last_index + 20)
        term = self.now.last_term + 1
        self.leaders = SnapshotRecord(index, term, CONF_STATE)
        self.save_file(index, term)
        entries = [Entry(0, term, index + n, b"after") for n in range(1, self.rng.randrange(1, 4))]
        state = HardState(term, 0, index + self.rng.randrange(len(entries) + 1))
        self.append(entries, state, self.leaders)
        if self.rng.random() < 0.5:
            self.log.write()
        else:
            self.sync()

    def save_file(self, index: int, term: int) -> None:
        files.save(self.disk, SNAP, Snapshot(SnapshotMetadata(index, term, CONF_STATE)))

    STEPS = (
        *(write_entries, write_entries, write_entries, write_entries, write_entries),
        *(move_commit, move_commit, take_snapshot, take_snapshot, install_snapshot),
    )

    # How it ends

    def end(self) -> None:
        match self.rng.randrange(8):
            case 0:
                self.disk.kill()
            case 1:
                self.disk.room_bytes = self.rng.randrange(6000)
                for _ in range(10):
                    self.write_entries()
            case 2 | 3 as fault:
                self.disk.fail_next_sync = fault == 2
                self.disk.fail_next_write = fault == 3
                with pytest.raises(OSError, match="input/output"):
                    self.do_both(self.rng.choice((self.take_snapshot, self.install_snapshot)))
                self.disk.crash()
                self.disk.fail_next_sync = self.disk.fail_next_write = False
            case 4:
                self.log.append([Entry(0, 0, 0, b"never written")])
                self.disk.crash()
            case 5 | 6:
                self.install_snapshot()
                self.disk.crash()
            case _:
                self.disk.crash()

    def do_both(self, step: Callable[[], None]) -> None:
        step()
        self.append([Entry(0, self.now.last_term, self.now.last_index + 1, b"one more")])
        self.sync()

    def recover(self) -> None:
        recovered = recover(self.disk, DIRECTORY, SNAP)
        assert recovered.metadata == METADATA
        while not self.sure.is_what(recovered):
            assert self.unsure, "what came back was never there"
            self.sure.apply(self.unsure.pop(0))
        self.unsure.clear()
        self.log = LogWriter.resume(self.disk, DIRECTORY, recovered.log, SEGMENT)
        self.sure.offered = None
        self.now = Model(**vars(self.sure))
        self.now.entries = list(self.sure.entries)
        leaders = self.leaders
        if leaders is not None and self.sure.base.index < leaders.index:
            # It is committed, so that no other log can come in its place: it is sent again.
            self.save_file(leaders.index, leaders.term)
            self.append([], HardState(leaders.term, 0, leaders.index), leaders)
            self.sync()


@pytest.mark.parametrize("thousand", range(2))
def test_what_was_acknowledged_comes_back_and_nothing_that_was_not_written(thousand: int):
    for seed in range(thousand * 1000, thousand * 1000 + 1000):
        try:
            Life(seed).run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
