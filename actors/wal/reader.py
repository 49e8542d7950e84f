"""Reading a log back: what is whole counts, a torn end is cut off, anything else is refused.

Source: etcd server/storage/wal/wal.go (ReadAll), decoder.go, repair.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import google_crc32c
from google.protobuf.message import DecodeError

from actors.raft.types import ConfChangeMalformed, Entry, HardState
from actors.wal.disk import Disk, ReadableFile
from actors.wal.records import (
    FRAME,
    LENGTH_MASK,
    Kind,
    Record,
    SnapshotRecord,
    is_torn,
    parse_entry,
    parse_record,
    parse_snapshot,
    parse_state,
)
from actors.wal.segments import Segment, SegmentsBroken, holding, segments

CHUNK_BYTES = 1 << 20


class LogCorrupt(Exception):
    """A record that was once written whole is not what was written: not to be repaired."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: {why} at offset {offset}")
        self.path = path
        self.offset = offset


class _Torn(Exception):
    """The log ends in the middle of this record."""


@dataclass
class LogContents:
    """What a log says, from a snapshot on."""

    metadata: bytes = b""
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)  # after the snapshot
    snapshots: list[SnapshotRecord] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)  # all in the directory
    crc: int = 0  # of the chain at the end
    end: int = 0  # offset in the last segment where the next record goes
    torn: bool = False  # what follows `end` was half written and counts for nothing


def read_log(disk: Disk, directory: str, snapshot: SnapshotRecord) -> LogContents:
    """Everything after `snapshot` (index 0: from the beginning).

    Raises:
        LogCorrupt: with the file and offset.
        SegmentsBroken: a segment is missing.
    """
    found = segments(disk.list(directory))
    if not found:
        raise SegmentsBroken(f"no log in {directory}")
    contents = LogContents(segments=found)
    chain: int | None = None
    matched = snapshot.index == 0
    for segment in holding(found, snapshot.index):
        path = f"{directory}/{segment.name}"
        last = segment is found[-1]
        scan = _Scan(disk, path, chain, is_last=last)
        try:
            for record in scan.records():
                matched |= _take(record, contents, snapshot, path, scan.offset)
        finally:
            scan.close()
        chain = scan.crc
        contents.crc, contents.end, contents.torn = scan.crc, scan.offset, scan.torn
    if not matched:
        raise SegmentsBroken(f"{directory}: the log does not know the snapshot at {snapshot.index}")
    return contents


def snapshot_records(disk: Disk, directory: str) -> list[SnapshotRecord]:
    """The snapshots that the whole log vouches for: those at or before its commit index.

    A snapshot file without such a record was never finished.
    """
    found = segments(disk.list(directory))
    contents = LogContents(segments=found)
    chain: int | None = None
    for segment in found:
        scan = _Scan(disk, f"{directory}/{segment.name}", chain, is_last=segment is found[-1])
        try:
            for record in scan.records():
                if record.kind == Kind.SNAPSHOT:
                    contents.snapshots.append(parse_snapshot(record.data))
                elif record.kind == Kind.STATE:
                    contents.hard_state = parse_state(record.data)
        finally:
            scan.close()
        chain = scan.crc
    return [one for one in contents.snapshots if one.index <= contents.hard_state.commit]


def _take(
    record: Record, contents: LogContents, snapshot: SnapshotRecord, path: str, offset: int
) -> bool:
    """Add a record to what is known; whether it is the snapshot that we begin from."""
    try:
        match record.kind:
            case Kind.ENTRY:
                _take_entry(parse_entry(record.data), contents, snapshot, path, offset)
            case Kind.STATE:
                contents.hard_state = parse_state(record.data)
            case Kind.METADATA:
                if contents.metadata and contents.metadata != record.data:
                    raise LogCorrupt(path, offset, "metadata of another member")
                contents.metadata = record.data
            case Kind.SNAPSHOT:
                found = parse_snapshot(record.data)
                contents.snapshots.append(found)
                if found.index == snapshot.index:
                    if found.term != snapshot.term:
                        raise LogCorrupt(path, offset, "a snapshot of another term")
                    return True
            case Kind.CRC:
                pass
            case unknown:
                raise LogCorrupt(path, offset, f"a record of unknown type {unknown}")
    except (DecodeError, ConfChangeMalformed) as error:
        raise LogCorrupt(path, offset, f"a malformed record ({error})") from error
    return False


def _take_entry(
    entry: Entry, contents: LogContents, snapshot: SnapshotRecord, path: str, offset: int
) -> None:
    """Later entries replace earlier ones from their index on: a new leader overwrote them."""
    if entry.index <= snapshot.index:
        return
    position = entry.index - snapshot.index - 1
    if position > len(contents.entries):
        raise LogCorrupt(path, offset, f"entry {entry.index} follows a gap")
    del contents.entries[position:]
    contents.entries.append(entry)


class _Scan:
    """The records of one segment.  Afterwards `offset` is where whole records end."""

    def __init__(self, disk: Disk, path: str, chain: int | None, *, is_last: bool) -> None:
        self._path = path
        self._file: ReadableFile = disk.open(path)
        self._is_last = is_last
        self._chain = chain  # None: believe the segment's first record
        self._buffer = b""
        self._buffer_at = 0
        self.crc = chain or 0
        self.offset = 0
        self.torn = False

    def close(self) -> None:
        self._file.close()

    def records(self) -> Iterator[Record]:
        while True:
            try:
                found = self._next()
            except _Torn:
                if not self._is_last:
                    raise LogCorrupt(self._path, self.offset, "a record is cut short") from None
                self.torn = True
                return
            if found is None:
                return
            record, size = found
            yield record
            self.offset += size

    def _next(self) -> tuple[Record, int] | None:
        header = self._read(self.offset, FRAME.size)
        if not header:
            return None
        if len(header) < FRAME.size:
            raise _Torn
        [length] = FRAME.unpack(header)
        if length == 0:
            return None  # filled with zeros beforehand: nothing was written here yet
        padding = length >> 56 & 7 if length >> 63 else 0
        size = (length & LENGTH_MASK) + padding
        if length >> 56 & 0x78 or size % 8:
            raise LogCorrupt(self._path, self.offset, "an impossible length")
        if size > self._file.size - self.offset - FRAME.size:
            raise _Torn
        body = self._read(self.offset + FRAME.size, size)
        if len(body) < size:
            raise _Torn
        return self._check(body, size - padding), FRAME.size + size

    def _check(self, body: bytes, size: int) -> Record:
        try:
            record = parse_record(body[:size])
        except DecodeError as error:
            self._tear(body)
            raise LogCorrupt(self._path, self.offset, f"no record ({error})") from error
        if record.kind == Kind.CRC:
            if self._chain is not None and record.crc != self.crc:
                raise LogCorrupt(self._path, self.offset, "crc mismatch between segments")
            self.crc = self._chain = record.crc
            return record
        crc = google_crc32c.extend(self.crc, record.data)
        if crc != record.crc:
            self._tear(body)
            raise LogCorrupt(self._path, self.offset, "crc mismatch")
        self.crc = crc
        return record

    def _tear(self, body: bytes) -> None:
        if self._is_last and is_torn(body, self.offset + FRAME.size):
            raise _Torn

    def _read(self, offset: int, count: int) -> bytes:
        start = offset - self._buffer_at
        if start < 0 or start + count > len(self._buffer):
            self._buffer = self._file.read(offset, max(count, CHUNK_BYTES))
            self._buffer_at, start = offset, 0
        return self._buffer[start : start + count]
