"""The log on a disk that crashes: what was synced comes back, and nothing that was not written."""

from __future__ import annotations

import random

import pytest

from actors.raft.types import ConfState, Entry, HardState
from actors.wal.disk import DataDirLocked, RealDisk
from actors.wal.reader import LogContents, LogCorrupt, read_log, snapshot_records
from actors.wal.records import Encoder, Kind, SnapshotRecord, parse_record
from actors.wal.segments import Segment, SegmentsBroken, segments
from actors.wal.writer import LogWriter
from trioetcd.testing.disk import SimulatedDisk

DIRECTORY = "member/wal"
METADATA = b"\x08\x01\x10\x02"
START = SnapshotRecord(0, 0)
SEGMENT = 4096  # small, so that tests meet many segments


def new_log(disk: SimulatedDisk, segment_bytes: int = SEGMENT) -> LogWriter:
    return LogWriter.create(disk, DIRECTORY, METADATA, segment_bytes)


def entry(index: int, term: int = 1, data: bytes = b"x") -> Entry:
    return Entry(0, term, index, data)


def write(log: LogWriter, *entries: Entry, state: HardState | None = None) -> None:
    log.append(entries, state)
    log.write()
    log.sync()


def read(disk: SimulatedDisk, snapshot: SnapshotRecord = START) -> LogContents:
    return read_log(disk, DIRECTORY, snapshot)


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk(random.Random(1))


def test_a_log_says_what_was_written(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), entry(2, 2, b""), state=HardState(2, 7, 1))
    contents = read(disk)
    assert contents.metadata == METADATA
    assert contents.entries == [entry(1), entry(2, 2, b"")]
    assert contents.hard_state == HardState(2, 7, 1)
    assert contents.snapshots == [START]
    assert not contents.torn


def test_the_first_bytes_are_etcds():
    """As in a segment that etcd 3.4.23 wrote: crc 0, then the metadata, then snapshot 0."""
    encoder = Encoder()
    first = encoder.crc_record()
    assert first.hex() == "0400000000000084" + "08041000" + "00000000"
    metadata = encoder.record(Kind.METADATA, METADATA)
    [length] = [int.from_bytes(metadata[:7], "little")]
    assert parse_record(metadata[8 : 8 + length]).data == METADATA
    assert len(metadata) % 8 == 0


def test_a_new_leaders_entries_replace_what_follows(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), entry(2), entry(3))
    write(log, entry(2, 2, b"new"))
    assert read(disk).entries == [entry(1), entry(2, 2, b"new")]


def test_reading_starts_at_the_snapshot(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, *(entry(n) for n in range(1, 6)), state=HardState(1, 1, 5))
    record = SnapshotRecord(3, 1, ConfState(voters=(1, 2), learners=(3,)))
    log.append((), snapshot=record)
    write(log, entry(6))
    assert read(disk, record).entries == [entry(4), entry(5), entry(6)]
    assert snapshot_records(disk, DIRECTORY) == [START, record]
    with pytest.raises(SegmentsBroken, match="does not know the snapshot at 4"):
        read(disk, SnapshotRecord(4, 1))
    with pytest.raises(LogCorrupt, match="another term"):
        read(disk, SnapshotRecord(3, 2))


def test_a_snapshot_beyond_the_commit_index_is_not_vouched_for(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), entry(2), state=HardState(1, 1, 1))
    log.append((), snapshot=SnapshotRecord(2, 1))
    write(log)
    assert snapshot_records(disk, DIRECTORY) == [START]


def fill(log: LogWriter, count: int, size: int = 500) -> None:
    for index in range(1, count + 1):
        write(log, entry(index, 1, bytes([index % 251]) * size), state=HardState(1, 1, index))
        if log.is_full:
            log.cut()


def test_segments_continue_each_other(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    assert len(log.segments) > 4
    contents = read(disk)
    assert [one.index for one in contents.entries] == list(range(1, 41))
    assert contents.segments == list(log.segments)
    assert contents.segments[1].first_index > 1


def test_released_segments_hold_nothing_that_is_still_read(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    record = SnapshotRecord(30, 1)
    log.append((), snapshot=record)
    write(log)
    assert log.release(30, keep=0) == []
    before = len(log.segments)
    removed = log.release(30, keep=2)
    assert 0 < len(removed) < before
    assert [one.index for one in read(disk, record).entries] == list(range(31, 41))
    assert log.release(0, keep=1) == []


def test_no_fewer_segments_than_asked_for_are_kept(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    log.release(40, keep=3)
    assert len(log.segments) == 3


def test_writing_goes_on_where_reading_ended(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 10)
    again = LogWriter.resume(disk, DIRECTORY, read(disk), SEGMENT)
    write(again, entry(11))
    again.cut()
    write(again, entry(12))
    contents = read(disk)
    assert [one.index for one in contents.entries] == list(range(1, 13))
    assert contents.hard_state == HardState(1, 1, 10)
    assert contents.segments[-1].first_index == 12


@pytest.mark.parametrize("seed", range(200))
def test_after_any_crash_what_was_acknowledged_is_there(seed: int):
    """Entries of random size, a crash at a random moment, recovery, and on again."""
    rng = random.Random(seed)
    disk = SimulatedDisk(rng)
    log = new_log(disk)
    written: list[Entry] = []
    for _ in range(6):
        acknowledged = len(written)
        for _ in range(rng.randrange(6)):
            batch = [
                entry(len(written) + n + 1, 1, rng.randbytes(rng.choice((0, 3, 200, 1500))))
                for n in range(rng.randrange(1, 4))
            ]
            log.append(batch)
            written += batch
            log.write()
            if rng.random() < 0.7:
                log.sync()
                acknowledged = len(written)
                if log.is_full:
                    log.cut()
        disk.crash()
        contents = read(disk)
        assert len(contents.entries) >= acknowledged, "an acknowledged entry is missing"
        assert contents.entries == written[: len(contents.entries)], "an entry was made up"
        written = contents.entries
        log = LogWriter.resume(disk, DIRECTORY, contents, SEGMENT)


def test_creation_is_all_or_nothing(disk: SimulatedDisk):
    new_log(disk)
    disk.crash()
    assert read(disk).metadata == METADATA
    other = SimulatedDisk(random.Random(2))
    other.mkdir(DIRECTORY + ".tmp")
    other.create(f"{DIRECTORY}.tmp/{Segment(0, 0).name}", 100)  # an earlier try was cut short
    new_log(other)
    assert read(other).metadata == METADATA


def last_record(disk: SimulatedDisk) -> tuple[str, int, int]:
    """Path, start and end of the last entry of a log of three."""
    log = new_log(disk)
    write(log, entry(1), entry(2))
    start = read(disk).end
    write(log, entry(3, 1, b"last" * 300))
    path = f"{DIRECTORY}/{log.segments[0].name}"
    return path, start, read(disk).end


def test_a_record_torn_at_any_sector_is_cut_off(disk: SimulatedDisk):
    path, start, end = last_record(disk)
    whole = bytes(disk.files[path].data)
    for cut in range(start - start % 512 + 512, end, 512):
        torn = bytearray(whole)
        torn[cut:end] = bytes(end - cut)
        disk.files[path].data = torn
        contents = read(disk)
        assert contents.torn, cut
        assert contents.entries == [entry(1), entry(2)]
        assert contents.end == start


def test_a_file_cut_short_anywhere_in_the_last_record_is_repaired(disk: SimulatedDisk):
    path, start, end = last_record(disk)
    whole = bytes(disk.files[path].data)
    for size in range(start + 1, end):
        disk.files[path].data = bytearray(whole[:size])
        contents = read(disk)
        assert contents.torn, size
        assert contents.entries == [entry(1), entry(2)]
        again = LogWriter.resume(disk, DIRECTORY, contents, SEGMENT)
        write(again, entry(3, 1, b"again"))
        assert read(disk).entries[2].data == b"again"


def test_what_lies_behind_a_torn_record_never_comes_back(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    end = read(disk).end
    write(log, entry(2, 1, b"a" * 2000), entry(3, 1, b"b" * 100))
    path = f"{DIRECTORY}/{log.segments[0].name}"
    data = disk.files[path].data
    data[end + 600 : end + 1700] = bytes(1100)  # entry 3 reached the disk, entry 2 did not
    again = LogWriter.resume(disk, DIRECTORY, read(disk), SEGMENT)
    write(again, entry(2, 1, b"c" * 2000))
    assert [one.index for one in read(disk).entries] == [1, 2]


@pytest.mark.parametrize("in_last_segment", [False, True])
def test_a_flipped_bit_is_refused_with_file_and_offset(disk: SimulatedDisk, in_last_segment: bool):
    log = new_log(disk)
    fill(log, 8, size=900)
    segment = log.segments[-1 if in_last_segment else 0]
    path = f"{DIRECTORY}/{segment.name}"
    whole = bytes(disk.files[path].data)
    end = read(disk).end if in_last_segment else len(whole)
    refused = 0
    for offset in range(8, end - 8, 13):
        disk.files[path].data = bytearray(whole)
        disk.flip_bit(path, offset, offset % 8)
        error: LogCorrupt | None = None
        try:
            contents = read(disk)
        except LogCorrupt as refusal:
            error = refusal
        if error is not None:
            assert (error.path, error.offset <= offset) == (path, True)
            refused += 1
        else:
            # Only bits that say nothing (padding), or that make the end look cut short, pass.
            assert contents.entries == read_expected(8)[: len(contents.entries)]
    assert refused > 0.9 * len(range(8, end - 8, 13))


def read_expected(count: int) -> list[Entry]:
    return [entry(index, 1, bytes([index % 251]) * 900) for index in range(1, count + 1)]


def test_a_missing_segment_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    disk.unlink(f"{DIRECTORY}/{log.segments[2].name}")
    with pytest.raises(SegmentsBroken, match="a segment is missing between"):
        read(disk)


def test_a_missing_beginning_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 40)
    disk.unlink(f"{DIRECTORY}/{log.segments[0].name}")
    with pytest.raises(SegmentsBroken, match="no segment holds index 0"):
        read(disk)


def test_segments_of_two_members_do_not_mix(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    log._metadata = b"\x08\x09\x10\x02"
    log.cut()
    with pytest.raises(LogCorrupt, match="metadata of another member"):
        read(disk)


def test_an_unknown_record_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    log._pending.append(log._encoder.record(9, b""))  # type: ignore[arg-type]
    log.write()
    with pytest.raises(LogCorrupt, match="unknown type 9"):
        read(disk)


def test_other_files_are_no_segments():
    names = ["0.tmp", "0000000000000000-0000000000000000.wal", "x.wal", "1-2.wal"]
    assert segments(names) == [Segment(0, 0)]


def test_a_full_disk_is_an_error_and_the_log_is_good_afterwards(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    disk.room_bytes = 100
    log.append([entry(2, 1, b"y" * 8000)])
    with pytest.raises(OSError, match="No space left"):
        log.write()
    disk.crash()
    disk.room_bytes = None
    contents = read(disk)
    assert contents.entries == [entry(1)]
    again = LogWriter.resume(disk, DIRECTORY, contents, SEGMENT)
    write(again, entry(2))
    assert len(read(disk).entries) == 2


def test_the_real_disk_keeps_the_contract(tmp_path):
    disk = RealDisk()
    directory = f"{tmp_path}/member/wal"
    disk.mkdir(f"{tmp_path}/member")
    log = LogWriter.create(disk, directory, METADATA, SEGMENT)
    fill(log, 40)
    log.close()
    contents = read_log(disk, directory, START)
    assert len(contents.entries) == 40
    again = LogWriter.resume(disk, directory, contents, SEGMENT)
    write(again, entry(41))
    again.close()
    assert len(read_log(disk, directory, START).entries) == 41


def test_a_data_directory_is_one_processs(tmp_path):
    disk = RealDisk()
    lock = disk.lock(f"{tmp_path}/lock")
    with pytest.raises(DataDirLocked, match="in use by another process"):
        disk.lock(f"{tmp_path}/lock")
    lock.release()
    disk.lock(f"{tmp_path}/lock").release()
