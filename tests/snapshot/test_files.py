"""Snapshot files: whole, known to the log, or not there."""

from __future__ import annotations

import random

import pytest

from actors.raft.types import ConfState, Snapshot, SnapshotMetadata
from actors.snapshot.files import SnapshotBroken, name_of, newest_first, purge, read, save
from actors.wal.disk import DiskFull
from trioetcd.testing.disk import SimulatedDisk


def snapshot(index: int, term: int = 2) -> Snapshot:
    return Snapshot(SnapshotMetadata(index, term, ConfState(voters=(1, 2, 3))), b"data")


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk(random.Random(1))
    disk.mkdir("snap")
    return disk


def test_a_snapshot_survives_a_crash_under_etcds_name(disk: SimulatedDisk):
    save(disk, "snap", snapshot(0x1234))
    disk.crash()
    assert disk.list("snap") == ["0000000000000002-0000000000001234.snap"]
    assert read(disk, "snap/0000000000000002-0000000000001234.snap") == snapshot(0x1234)


def test_the_newest_comes_first(disk: SimulatedDisk):
    save(disk, "snap", snapshot(16, term=1))
    for index in (5, 255, 10):
        save(disk, "snap", snapshot(index))
    assert [one.metadata.index for one in newest_first(disk, "snap")] == [255, 16, 10, 5]


def test_a_broken_file_is_set_aside_and_an_older_one_used(disk: SimulatedDisk):
    save(disk, "snap", snapshot(5))
    save(disk, "snap", snapshot(10))
    path = f"snap/{name_of(snapshot(10).metadata)}"
    for offset in range(len(disk.peek(path))):
        disk.flip_bit(path, offset)
        with pytest.raises(SnapshotBroken):
            read(disk, path)
        disk.flip_bit(path, offset)
    disk.flip_bit(path, 12)
    assert list(newest_first(disk, "snap")) == [snapshot(5)]
    assert f"{name_of(snapshot(10).metadata)}.broken" in disk.list("snap")


def test_the_newest_are_kept(disk: SimulatedDisk):
    for index in (5, 10, 15, 20):
        save(disk, "snap", snapshot(index))
    assert purge(disk, "snap", 20, 0) == []
    assert purge(disk, "snap", 20, 2) == [name_of(snapshot(n).metadata) for n in (5, 10)]
    assert len(disk.list("snap")) == 2


def test_a_later_snapshot_that_may_not_count_pushes_nothing_out(disk: SimulatedDisk):
    for index in (5, 10, 50):
        save(disk, "snap", snapshot(index))
    assert purge(disk, "snap", 10, 1) == [name_of(snapshot(5).metadata)]
    assert [one.metadata.index for one in newest_first(disk, "snap")] == [50, 10]


def test_a_save_that_was_cut_short_leaves_nothing(disk: SimulatedDisk):
    save(disk, "snap", snapshot(5))
    disk.room_bytes = 10
    with pytest.raises(DiskFull):
        save(disk, "snap", snapshot(10))
    assert list(newest_first(disk, "snap")) == [snapshot(5)]
    assert disk.list("snap") == [name_of(snapshot(5).metadata)]


def test_an_empty_file_is_broken(disk: SimulatedDisk):
    disk.poke(f"snap/{name_of(snapshot(5).metadata)}", b"")
    assert list(newest_first(disk, "snap")) == []
    assert disk.list("snap") == [f"{name_of(snapshot(5).metadata)}.broken"]
