"""Which snapshot counts, and what follows it."""

from __future__ import annotations

import random

import pytest

from actors.raft.types import ConfState, HardState, Snapshot, SnapshotMetadata
from actors.snapshot import files
from actors.snapshot.recovery import Recovered, recover
from actors.wal.records import SnapshotRecord
from actors.wal.scan import LogCorrupt
from actors.wal.segments import SegmentsBroken
from actors.wal.writer import LogWriter
from tests.wal.logs import DIRECTORY, METADATA, entry, fill, new_log, write
from trioetcd.testing.disk import SimulatedDisk

SNAP = "member/snap"


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk(random.Random(1))
    disk.mkdir(SNAP)
    return disk


def save(disk: SimulatedDisk, index: int, term: int = 1) -> SnapshotRecord:
    metadata = SnapshotMetadata(index, term, ConfState(voters=(1, 2)))
    files.save(disk, SNAP, Snapshot(metadata))
    return SnapshotRecord(*metadata)


def snapshot(disk: SimulatedDisk, log: LogWriter, index: int, term: int = 1) -> None:
    """File and record."""
    log.append((), snapshot=save(disk, index, term))
    write(log)


def start(disk: SimulatedDisk) -> Recovered:
    return recover(disk, DIRECTORY, SNAP)


def index_of(recovered: Recovered) -> int:
    return recovered.snapshot.metadata.index if recovered.snapshot else 0


def test_without_snapshots_all_of_the_log_comes_back(disk: SimulatedDisk):
    entries = fill(new_log(disk), 20)
    recovered = start(disk)
    assert recovered.snapshot is None
    assert recovered.entries == entries
    assert recovered.metadata == METADATA
    assert recovered.hard_state == HardState(1, 1, 20)


def test_the_newest_snapshot_and_what_follows_it_come_back(disk: SimulatedDisk):
    log = new_log(disk)
    entries = fill(log, 20)
    for index in (5, 10):
        snapshot(disk, log, index)
    recovered = start(disk)
    assert recovered.snapshot == Snapshot(SnapshotMetadata(10, 1, ConfState(voters=(1, 2))))
    assert recovered.entries == entries[10:]


def test_a_file_without_a_record_does_not_count(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 20)
    snapshot(disk, log, 5)
    save(disk, 10)
    assert index_of(start(disk)) == 5


def test_a_record_without_a_file_does_not_count(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 20)
    snapshot(disk, log, 5)
    log.append((), snapshot=SnapshotRecord(10, 1))
    write(log)
    assert index_of(start(disk)) == 5


def test_a_snapshot_beyond_the_commit_index_does_not_count(disk: SimulatedDisk):
    """A leader's, whose installation was cut short."""
    log = new_log(disk)
    entries = [entry(1), entry(2), entry(3)]
    write(log, *entries, state=HardState(1, 1, 2))
    snapshot(disk, log, 30, 4)
    recovered = start(disk)
    assert recovered.snapshot is None
    assert recovered.entries == entries


def test_a_broken_file_is_set_aside_and_an_older_one_counts(disk: SimulatedDisk):
    log = new_log(disk)
    entries = fill(log, 20)
    for index in (5, 10):
        snapshot(disk, log, index)
    name = files.name_of(SnapshotMetadata(10, 1))
    disk.flip_bit(f"{SNAP}/{name}", 9)
    recovered = start(disk)
    assert index_of(recovered) == 5
    assert recovered.entries == entries[5:]
    assert f"{name}.broken" in disk.list(SNAP)


def test_without_the_segments_before_it_only_the_snapshot_can_be_started_from(disk: SimulatedDisk):
    log = new_log(disk)
    entries = fill(log, 40)
    snapshot(disk, log, 30)
    assert log.release(30, keep=1)
    assert start(disk).entries == entries[30:]
    disk.unlink(f"{SNAP}/{files.name_of(SnapshotMetadata(30, 1))}")
    with pytest.raises(SegmentsBroken, match="no segment holds index 0"):
        start(disk)


def test_damage_before_the_snapshots_segment_does_no_harm_and_after_it_is_refused(
    disk: SimulatedDisk,
):
    log = new_log(disk)
    entries = fill(log, 40)
    snapshot(disk, log, 30)
    segments = [f"{DIRECTORY}/{segment.name}" for segment in log.segments]
    disk.flip_bit(segments[0], 1000)
    assert start(disk).entries == entries[30:]
    disk.flip_bit(segments[-2], 1000)
    with pytest.raises(LogCorrupt, match=segments[-2]):
        start(disk)
