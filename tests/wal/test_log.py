"""What is written is read again: from the beginning, from a snapshot, over many segments."""

from __future__ import annotations

import random

import pytest

from actors.raft.types import ConfState, HardState
from actors.wal.disk import DiskFull, RealDisk
from actors.wal.reader import SnapshotUnknown, read_log
from actors.wal.records import SnapshotRecord
from actors.wal.scan import SECTOR_BYTES, LogCorrupt
from actors.wal.segments import Segment, SegmentsBroken, segments
from actors.wal.writer import LogWriter
from tests.wal.logs import (
    DIRECTORY,
    METADATA,
    SEGMENT,
    START,
    entry,
    fill,
    last_path,
    new_log,
    read,
    resume,
    write,
)
from trioetcd.testing.disk import SimulatedDisk


def test_a_log_says_what_was_written(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), entry(2, 2, b""), state=HardState(2, 7, 1))
    contents = read(disk)
    assert contents.metadata == METADATA
    assert contents.entries == [entry(1), entry(2, 2, b"")]
    assert contents.hard_state == HardState(2, 7, 1)
    assert not contents.torn


def test_a_segment_has_all_its_room_from_the_start(disk: SimulatedDisk):
    log = new_log(disk)
    assert len(disk.peek(f"{DIRECTORY}/{log.segments[0].name}")) == SEGMENT
    fill(log, 10)
    assert len(disk.peek(f"{DIRECTORY}/{log.segments[-1].name}")) == SEGMENT


def test_a_new_leaders_entries_replace_what_follows(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), entry(2), entry(3))
    write(log, entry(2, 2, b"new"), state=HardState(2, 0, 0))
    assert read(disk).entries == [entry(1), entry(2, 2, b"new")]


def test_reading_starts_at_the_snapshot(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, *(entry(n) for n in range(1, 6)), state=HardState(1, 1, 5))
    record = SnapshotRecord(3, 1, ConfState(voters=(1, 2), learners=(3,)))
    log.append((), snapshot=record)
    write(log, entry(6))
    assert read(disk, record).entries == [entry(4), entry(5), entry(6)]
    with pytest.raises(SnapshotUnknown, match="no record of the snapshot at 4"):
        read(disk, SnapshotRecord(4, 1))
    with pytest.raises(LogCorrupt, match="another term"):
        read(disk, SnapshotRecord(3, 2))


def test_a_leaders_snapshot_replaces_the_whole_log(disk: SimulatedDisk):
    """Thesis §5.1: entries of a dead term must not follow a snapshot of a later one."""
    log = new_log(disk)
    write(log, *(entry(n, 3) for n in range(1, 121)), state=HardState(3, 0, 50))
    record = SnapshotRecord(100, 5)
    log.append([], HardState(5, 0, 100), record)
    write(log)
    contents = read(disk, record)
    assert contents.entries == []
    write(resume(disk, contents), entry(101, 5))
    assert read(disk, record).entries == [entry(101, 5)]


def test_a_snapshot_of_our_own_keeps_what_follows(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, *(entry(n) for n in range(1, 8)), state=HardState(1, 1, 5))
    record = SnapshotRecord(5, 1)
    for _ in range(2):  # and is told of twice
        log.append((), snapshot=record)
        write(log)
    assert read(disk, record).entries == [entry(6), entry(7)]


def test_what_a_new_leader_cut_off_before_the_snapshot_does_not_follow_it(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, *(entry(n) for n in range(1, 10)))
    write(log, entry(4, 2), entry(5, 2), state=HardState(2, 0, 5))
    record = SnapshotRecord(5, 2)
    log.append((), snapshot=record)
    write(log)
    assert read(disk, record).entries == []


def test_a_crash_keeps_no_entry_without_its_term(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), state=HardState(1, 1, 1))
    term_two = [entry(2, 2, b"y" * 300), entry(3, 2, b"y" * 600)]
    write(log, *term_two, state=HardState(2, 3, 2))
    path, whole, end = last_path(log), disk.peek(last_path(log)), read(disk).end
    for sector in range(1, end // SECTOR_BYTES + 1):
        kept = whole[: sector * SECTOR_BYTES]
        disk.poke(path, kept.ljust(len(whole), b"\0"))
        contents = read(disk)
        assert contents.hard_state in (HardState(1, 1, 1), HardState(2, 3, 1))
        assert contents.hard_state.term == contents.entries[-1].term


def test_without_the_leaders_snapshot_the_log_after_it_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, *(entry(n, 3) for n in range(1, 51)), state=HardState(3, 0, 20))
    log.append([], HardState(5, 0, 40), SnapshotRecord(40, 5))
    write(log)
    with pytest.raises(LogCorrupt, match="does not lead to the snapshot at 40"):
        read(disk)


def test_segments_continue_each_other(disk: SimulatedDisk):
    log = new_log(disk)
    entries = fill(log, 40)
    assert len(log.segments) > 4
    contents = read(disk)
    assert contents.entries == entries
    assert contents.segments == list(log.segments)
    assert contents.segments[1].first_index > 1


def test_a_segment_begins_where_the_one_before_ended(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    for segment in log.segments[1:-1]:
        record = SnapshotRecord(segment.first_index, 1)
        log.append((), snapshot=record)
        write(log)
        assert read(disk, record).entries[0].index == segment.first_index + 1


def test_released_segments_hold_nothing_that_is_still_read(disk: SimulatedDisk):
    log = new_log(disk)
    entries = fill(log, 40)
    record = SnapshotRecord(30, 1)
    log.append((), snapshot=record)
    write(log)
    assert log.release(30, keep=0) == []
    before = len(log.segments)
    removed = log.release(30, keep=2)
    assert 0 < len(removed) < before
    assert read(disk, record).entries == entries[30:]
    assert log.release(0, keep=1) == []


def test_no_fewer_segments_than_asked_for_are_kept(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    log.release(40, keep=3)
    assert len(log.segments) == 3


def test_of_removed_segments_any_may_come_back(disk: SimulatedDisk):
    """A crash may undo some removals and not others."""
    log = new_log(disk)
    entries = fill(log, 40)
    record = SnapshotRecord(35, 1)
    log.append((), snapshot=record)
    write(log)
    removed = [f"{DIRECTORY}/{segment.name}" for segment in log.segments]
    contents = {path: disk.peek(path) for path in removed}
    removed = [f"{DIRECTORY}/{name}" for name in log.release(35, keep=1)]
    assert len(removed) > 3
    for path in removed[::2]:
        disk.poke(path, contents[path])
    assert read(disk, record).entries == entries[35:]


def test_writing_goes_on_where_reading_ended(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 10)
    again = resume(disk, read(disk))
    write(again, entry(11))
    again.cut()
    write(again, entry(12))
    contents = read(disk)
    assert [one.index for one in contents.entries] == list(range(1, 13))
    assert contents.hard_state == HardState(1, 1, 10)
    assert contents.segments[-1].first_index == 12


def test_a_cut_that_was_not_finished_leaves_nothing(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    disk.room_bytes = 0
    with pytest.raises(DiskFull):
        log.cut()
    disk.kill()
    disk.room_bytes = None
    contents = read(disk)
    assert contents.entries == [entry(1)]
    log = resume(disk, contents)
    assert disk.list(DIRECTORY) == [segment.name for segment in log.segments]


def test_creation_is_all_or_nothing():
    for seed in range(50):
        disk = SimulatedDisk(random.Random(seed))
        new_log(disk)
        disk.crash()
        assert read(disk).metadata == METADATA
        other = SimulatedDisk(random.Random(seed))
        other.fail_next_sync = True
        with pytest.raises(OSError, match="input/output"):
            new_log(other)
        other.crash()
        assert segments(other.list(DIRECTORY)) == []
        new_log(other)
        assert read(other).metadata == METADATA


def test_a_missing_segment_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    disk.unlink(f"{DIRECTORY}/{log.segments[2].name}")
    with pytest.raises(SegmentsBroken, match=rf"between {log.segments[1].name} and"):
        read(disk)


def test_a_missing_beginning_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    disk.unlink(f"{DIRECTORY}/{log.segments[0].name}")
    with pytest.raises(SegmentsBroken, match="no segment holds index 0"):
        read(disk)


def test_no_log_at_all_is_refused(disk: SimulatedDisk):
    with pytest.raises(SegmentsBroken, match="no log in member/wal"):
        read(disk)


def test_other_files_are_no_segments():
    names = ["0.tmp", "0000000000000000-0000000000000000.wal", "x.wal", "1-2.wal"]
    assert segments(names) == [Segment(0, 0)]


def test_a_full_disk_is_an_error_and_the_log_is_good_afterwards(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    for room in range(0, 8000, 371):
        disk.room_bytes = room
        log.append([entry(2, 1, b"y" * 12000)])
        with pytest.raises(DiskFull, match=r"no space left on device: 'member/wal/0{16}-0{16}.wal"):
            log.write()
        disk.crash()
        disk.room_bytes = None
        contents = read(disk)
        assert contents.entries == [entry(1)]
        log = resume(disk, contents)
    write(log, entry(2))
    assert len(read(disk).entries) == 2


def test_the_real_disk_keeps_the_contract(tmp_path):
    disk = RealDisk()
    directory = f"{tmp_path}/member/wal"
    disk.mkdir(f"{tmp_path}/member")
    log = LogWriter.create(disk, directory, METADATA, SEGMENT)
    entries = fill(log, 40)
    log.close()
    contents = read_log(disk, directory, START)
    assert contents.entries == entries
    again = LogWriter.resume(disk, directory, contents, SEGMENT)
    write(again, entry(41))
    again.close()
    assert len(read_log(disk, directory, START).entries) == 41
