"""The records of one segment in order, and what to think of the first that is not whole.

A crash while a batch is written leaves any of its 512-byte sectors on the disk and zeros for the
others.  So the log may end in a record with a sector of zeros in it, in a record that the end of
the file cuts short, or (its first sector is among the missing) in zeros: these were never
answered for and are cut off.  Every other record that is not what its checksum says was whole
once: it is refused, with the file and the offset.

A damaged length must not pass for the first kind: it would make everything after it disappear.
A record therefore counts as torn only if what is there of it agrees with its frame's length.
Where etcd looks for a sector of zeros alone, this refuses more.
Source: etcd server/storage/wal/decoder.go (isTornEntry), repair.go.
"""

from __future__ import annotations

from collections.abc import Iterator

import google_crc32c
from google.protobuf.message import DecodeError

from actors.wal.disk import Disk, ReadableFile
from actors.wal.records import FRAME, LENGTH_MASK, PADDED, Kind, Record, parse_record, stated_size

CHUNK_BYTES = 1 << 20  # read at once
SECTOR_BYTES = 512  # what a disk writes whole or not at all; every disk's since 1980, or a multiple
_STATED_BYTES = 24  # a record says its size within these


class LogCorrupt(Exception):
    """A record that was once written whole is not what was written: not to be repaired."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: {why} at offset {offset}")
        self.path = path
        self.offset = offset


class _Torn(Exception):
    """The log ends in the middle of this record."""


class Scan:
    """A segment's records.  Afterwards `offset` is where the whole ones end."""

    def __init__(self, disk: Disk, path: str, chain: int | None, *, is_last: bool) -> None:
        """`chain` is the checksum at the end of the segment before; None: not known."""
        self._path = path
        self._file: ReadableFile = disk.open(path)
        self._is_last = is_last
        self._chain = chain
        self._buffer = b""
        self._buffer_at = 0
        self.crc = chain or 0
        self.offset = 0
        self.torn = False  # the record at `offset` was half written

    def close(self) -> None:
        self._file.close()

    def records(self) -> Iterator[Record]:
        """While a record is handed out, `offset` is where it begins.  Raises LogCorrupt."""
        while True:
            yield from self._plain_ones()
            try:
                found = self._next()
            except _Torn:
                if not self._is_last:
                    raise self._corrupt("a record is cut short") from None
                self.torn = True
                return
            if found is None:
                return
            record, size = found
            if self.offset == 0 and record.kind != Kind.CRC:
                raise self._corrupt("no checksum where a segment begins")
            yield record
            self.offset += size

    def _plain_ones(self) -> Iterator[Record]:
        """The records in the buffer, up to the first that needs a closer look.

        A start reads hundreds of thousands: 1.2 µs each instead of 2.5.
        """
        buffer, at = self._buffer, self.offset - self._buffer_at
        last_header = len(buffer) - FRAME.size
        while 0 < at <= last_header:
            [length] = FRAME.unpack_from(buffer, at)
            size = length & LENGTH_MASK
            start, padding = at + FRAME.size, -size & 7
            end = start + size
            if not size or length >> 56 != (PADDED | padding if padding else 0):
                return
            if end + padding > len(buffer):
                return
            try:
                record = parse_record(buffer[start:end])
            except DecodeError:
                return
            kind, expected, data = record
            if kind == Kind.CRC:
                return
            crc = google_crc32c.extend(self.crc, data)
            if crc != expected:
                return
            self.crc = crc
            yield record
            at = end + padding
            self.offset = self._buffer_at + at

    def _corrupt(self, why: str) -> LogCorrupt:
        return LogCorrupt(self._path, self.offset, why)

    def _next(self) -> tuple[Record, int] | None:
        header = self._read(self.offset, FRAME.size)
        if not any(header):
            self._expect_nothing_here()
            return None
        if len(header) < FRAME.size:
            raise _Torn
        [length] = FRAME.unpack(header)
        size, top = length & LENGTH_MASK, length >> 56
        padding = top - PADDED if top else 0
        if padding != -size & 7 or top == PADDED:
            raise self._corrupt("an impossible length")
        room = self._file.size - self.offset - FRAME.size
        body = self._read(self.offset + FRAME.size, min(size + padding, room))
        if len(body) < size + padding:
            if self._agrees(body, size):
                raise _Torn
            raise self._corrupt("a length beyond the end of the file")
        return self._check(body, size), FRAME.size + size + padding

    def _expect_nothing_here(self) -> None:
        """No length, no record: zeros that were there beforehand.

        Were it a damaged length, its record would begin in the same sector.
        """
        rest = SECTOR_BYTES - self.offset % SECTOR_BYTES
        if any(self._read(self.offset, min(rest, self._file.size - self.offset))):
            raise self._corrupt("a record without a length")

    def _check(self, body: bytes, size: int) -> Record:
        try:
            record = parse_record(body[:size])
        except DecodeError as error:
            self._refuse_unless_torn(body, size)
            raise self._corrupt(f"no record ({error})") from error
        if record.kind == Kind.CRC:
            if self._chain is not None and record.crc != self.crc:
                raise self._corrupt("crc mismatch between segments")
            self.crc = self._chain = record.crc
            return record
        crc = google_crc32c.extend(self.crc, record.data)
        if crc != record.crc:
            self._refuse_unless_torn(body, size)
            raise self._corrupt("crc mismatch")
        self.crc = crc
        return record

    def _refuse_unless_torn(self, body: bytes, size: int) -> None:
        torn = any(not any(piece) for piece in self._sectors(body))
        if self._is_last and torn and self._agrees(body, size):
            raise _Torn

    def _sectors(self, body: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(body):
            stop = start + SECTOR_BYTES - (self.offset + FRAME.size + start) % SECTOR_BYTES
            yield body[start:stop]
            start = stop

    def _agrees(self, body: bytes, size: int) -> bool:
        """Whether what is there of a torn record may be the beginning of one of `size` bytes."""
        first = next(self._sectors(body), b"")
        if not any(first):
            return True
        try:
            return stated_size(first) == size
        except ValueError:
            return len(first) < _STATED_BYTES

    def _read(self, offset: int, count: int) -> bytes:
        start = offset - self._buffer_at
        if start < 0 or start + count > len(self._buffer):
            self._buffer = self._file.read(offset, max(count, CHUNK_BYTES))
            self._buffer_at, start = offset, 0
        return self._buffer[start : start + count]
