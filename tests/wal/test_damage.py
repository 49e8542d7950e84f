"""A torn end is cut off; whatever else is damaged is refused, with the file and the offset."""

from __future__ import annotations

import random

import pytest

from actors.raft.types import Entry, HardState
from actors.wal.reader import LogContents
from actors.wal.records import FRAME, Encoder, Kind, SnapshotRecord
from actors.wal.scan import SECTOR_BYTES, LogCorrupt
from tests.wal.logs import (
    DIRECTORY,
    METADATA,
    entry,
    fill,
    last_path,
    new_log,
    read,
    resume,
    write,
)
from trioetcd.testing.disk import SimulatedDisk


def three_entries(disk: SimulatedDisk) -> tuple[str, int, int]:
    """Path, and start and end of the last of three entries."""
    log = new_log(disk)
    write(log, entry(1), entry(2))
    start = read(disk).end
    write(log, entry(3, 1, b"last" * 300))
    return last_path(log), start, read(disk).end


def try_to_read(disk: SimulatedDisk) -> LogContents | LogCorrupt:
    try:
        return read(disk)
    except LogCorrupt as error:
        return error


def test_a_record_that_lacks_any_of_its_sectors_is_cut_off(disk: SimulatedDisk):
    path, start, end = three_entries(disk)
    whole = disk.peek(path)
    first, last = start // SECTOR_BYTES, (end - 1) // SECTOR_BYTES
    for missing in range(1, 1 << (last - first + 1)):
        torn = bytearray(whole)
        for n in range(first, last + 1):
            if missing >> (n - first) & 1:
                begin, stop = max(start, n * SECTOR_BYTES), (n + 1) * SECTOR_BYTES
                torn[begin:stop] = bytes(stop - begin)
        disk.poke(path, bytes(torn))
        contents = read(disk)
        assert contents.entries == [entry(1), entry(2)], bin(missing)
        assert contents.end == start
        assert contents.torn == (not missing & 1)  # without its first sector there is no record
        write(resume(disk, contents), entry(3, 1, b"again"))
        assert read(disk).entries[2:] == [entry(3, 1, b"again")]


def test_a_file_cut_short_anywhere_in_the_last_record_is_repaired(disk: SimulatedDisk):
    path, start, end = three_entries(disk)
    whole = disk.peek(path)
    for size in range(start + 1, end):
        disk.poke(path, whole[:size])
        contents = read(disk)
        assert contents.torn, size
        assert contents.entries == [entry(1), entry(2)]
        write(resume(disk, contents), entry(3, 1, b"again"))
        assert read(disk).entries[2].data == b"again"


def test_zeros_from_anywhere_in_the_last_record_never_make_an_entry_up(disk: SimulatedDisk):
    """No disk stops inside a sector; if one did, it is repaired or refused, never misread."""
    path, start, end = three_entries(disk)
    whole = disk.peek(path)
    for cut in range(start, end):
        disk.poke(path, whole[:cut].ljust(len(whole), b"\0"))
        contents = try_to_read(disk)
        if isinstance(contents, LogCorrupt):
            assert (contents.path, contents.offset) == (path, start)
        else:
            assert contents.entries[:2] == [entry(1), entry(2)]
            assert contents.entries[2:] in ([], [entry(3, 1, b"last" * 300)])


def test_what_lies_behind_a_torn_record_never_comes_back(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    end = read(disk).end
    write(log, entry(2, 1, b"a" * 2000), entry(3, 1, b"b" * 100))
    data = bytearray(disk.peek(last_path(log)))
    data[end + 600 : end + 1700] = bytes(1100)  # entry 3 reached the disk, entry 2 did not
    disk.poke(last_path(log), bytes(data))
    write(resume(disk, read(disk)), entry(2, 1, b"c" * 2000))
    assert [one.index for one in read(disk).entries] == [1, 2]


def test_a_torn_record_before_the_last_segment_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 20)
    path = f"{DIRECTORY}/{log.segments[1].name}"
    data = disk.peek(path)
    disk.poke(path, data[:-700])
    with pytest.raises(LogCorrupt, match=rf"{path}: a record is cut short at offset \d+"):
        read(disk)


def test_a_segment_that_lost_whole_records_is_refused(disk: SimulatedDisk):
    log = new_log(disk)
    fill(log, 8, size=900)
    path, following = (f"{DIRECTORY}/{segment.name}" for segment in log.segments[:2])
    disk.poke(path, bytes(len(disk.peek(path))))
    with pytest.raises(LogCorrupt, match=f"{following}: crc mismatch between segments at offset 0"):
        read(disk)


@pytest.mark.parametrize("in_last_segment", [False, True])
def test_every_flipped_bit_that_says_something_is_refused(
    disk: SimulatedDisk, in_last_segment: bool
):
    """All but those of the padding, and of the type of the very last record."""
    log = new_log(disk)
    expected = fill(log, 6, size=650)
    path = f"{DIRECTORY}/{log.segments[-1 if in_last_segment else 0].name}"
    whole = disk.peek(path)
    end = read(disk).end if in_last_segment else len(whole)
    padding = {at for start, stop in paddings(whole[:end]) for at in range(start, stop)}
    types = [start + FRAME.size + 1 for start, _ in frames(whole[:end])]
    for offset in range(end):
        bit = offset % 8
        disk.poke(path, whole)
        disk.flip_bit(path, offset, bit)
        contents = try_to_read(disk)
        if isinstance(contents, LogCorrupt):
            # A segment's first checksum is missed one record, or one segment, later, and a type
            # where something else does not follow from it.
            shown = contents.offset <= max(offset, 16) and contents.path == path
            assert shown or offset in types or "between segments" in str(contents)
        else:
            assert contents.entries == expected, (offset, bit)
            assert offset in padding or offset == types[-1], (offset, bit)


def frames(data: bytes) -> list[tuple[int, int]]:
    """Where each record's frame begins, and where its body ends without the padding."""
    found, offset = [], 0
    while offset < len(data):
        [length] = FRAME.unpack_from(data, offset)
        size = length & (1 << 56) - 1
        found.append((offset, offset + FRAME.size + size))
        offset += FRAME.size + size + (-size & 7)
    return found


def paddings(data: bytes) -> list[tuple[int, int]]:
    return [(stop, stop + -stop % 8) for _, stop in frames(data)]


def test_a_length_that_reaches_into_the_zeros_does_not_make_the_rest_disappear(
    disk: SimulatedDisk,
):
    """etcd takes such a record for a torn one and drops what follows, acknowledged or not."""
    log = new_log(disk, 1 << 16)
    write(log, entry(1))
    start = read(disk).end
    write(log, entry(2), entry(3))
    for bit in range(10, 17):
        whole = disk.peek(last_path(log))
        disk.flip_bit(last_path(log), start + bit // 8, bit % 8)
        with pytest.raises(LogCorrupt) as caught:
            read(disk)
        assert (caught.value.path, caught.value.offset) == (last_path(log), start)
        disk.poke(last_path(log), whole)


def test_segments_of_two_members_do_not_mix(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1))
    log._metadata = b"\x08\x09\x10\x02"
    log.cut()
    with pytest.raises(LogCorrupt, match="metadata of another member"):
        read(disk)


def raw_log(disk: SimulatedDisk, *records: tuple[int, bytes]) -> None:
    """A log of records that no member writes."""
    encoder = Encoder()
    frames = [encoder.record(kind, data) for kind, data in records]  # type: ignore[arg-type]
    path = f"{DIRECTORY}/0000000000000000-0000000000000000.wal"
    disk.mkdir(DIRECTORY)
    disk.poke(path, Encoder().crc_record() + b"".join(frames) + bytes(1000))


WHOSE = (Kind.METADATA, METADATA)


def state(*values: int) -> tuple[int, bytes]:
    [term, vote, commit] = values
    return Kind.STATE, bytes((8, term, 16, vote, 24, commit))


def entry_record(index: int, term: int) -> tuple[int, bytes]:
    return Kind.ENTRY, bytes((8, 0, 16, term, 24, index))


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([WHOSE, (9, b"")], "a record of unknown type 9"),
        ([WHOSE, (Kind.ENTRY, b"\xff")], "a malformed record"),
        ([WHOSE, entry_record(2, 1)], "entry 2 follows a gap"),
        ([WHOSE, entry_record(1, 2), entry_record(2, 1)], "entry 2 is of an earlier term"),
        ([WHOSE, state(3, 1, 0), state(2, 1, 0)], "term 2 follows a later one"),
        (
            [WHOSE, entry_record(1, 1), state(1, 1, 1), state(1, 1, 0)],
            "commit index 0 follows a later one",
        ),
        (
            [WHOSE, entry_record(1, 1), state(1, 1, 1), entry_record(1, 2)],
            "entry 1 changes though it is committed",
        ),
        ([WHOSE, state(1, 1, 7)], "entries up to 7 are committed, but there are 0"),
        ([entry_record(1, 1)], "no metadata"),
    ],
)
def test_what_no_member_writes_is_refused(
    disk: SimulatedDisk, records: list[tuple[int, bytes]], words: str
):
    raw_log(disk, *records)
    with pytest.raises(LogCorrupt, match=words):
        read(disk)


def test_a_segment_that_begins_with_no_checksum_is_refused(disk: SimulatedDisk):
    disk.mkdir(DIRECTORY)
    path = f"{DIRECTORY}/0000000000000000-0000000000000000.wal"
    disk.poke(path, Encoder().record(Kind.METADATA, METADATA))
    with pytest.raises(LogCorrupt, match="no checksum where a segment begins at offset 0"):
        read(disk)


def test_random_bytes_are_no_log(disk: SimulatedDisk):
    rng = random.Random(7)
    disk.mkdir(DIRECTORY)
    path = f"{DIRECTORY}/0000000000000000-0000000000000000.wal"
    for _ in range(500):
        disk.poke(path, rng.randbytes(rng.randrange(8, 3000)))
        with pytest.raises(LogCorrupt):
            read(disk)


def test_garbage_after_a_whole_log_is_refused_or_cut_off(disk: SimulatedDisk):
    log = new_log(disk)
    entries: list[Entry] = [entry(1), entry(2)]
    write(log, *entries, state=HardState(1, 1, 2))
    path, end = last_path(log), read(disk).end
    whole = disk.peek(path)
    rng = random.Random(3)
    for _ in range(500):
        garbage = rng.randbytes(rng.randrange(1, 600))
        disk.poke(path, (whole[:end] + garbage).ljust(len(whole), b"\0"))
        contents = try_to_read(disk)
        if isinstance(contents, LogCorrupt):
            assert contents.offset == end
        else:
            assert contents.entries == entries


def test_a_snapshot_record_is_checked_too(disk: SimulatedDisk):
    log = new_log(disk)
    write(log, entry(1), state=HardState(1, 1, 1))
    start = read(disk).end
    log.append((), snapshot=SnapshotRecord(1, 1))
    write(log)
    disk.flip_bit(last_path(log), start + 20)
    with pytest.raises(LogCorrupt) as caught:
        read(disk)
    assert caught.value.offset == start
