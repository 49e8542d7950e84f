"""Reading a log back, from a snapshot on.

What is whole counts, a torn end is cut off, and what raft would never have written is refused.
Source: etcd server/storage/wal/wal.go (ReadAll, ValidSnapshotEntries); Raft thesis §3.5, §3.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from actors.raft.types import ConfChangeMalformed, Entry, HardState
from actors.wal.disk import Disk
from actors.wal.records import (
    Kind,
    SnapshotRecord,
    parse_entry,
    parse_snapshot,
    parse_state,
)
from actors.wal.scan import LogCorrupt as LogCorrupt
from actors.wal.scan import Scan
from actors.wal.segments import Segment, SegmentsBroken, holding, segments


class SnapshotUnknown(SegmentsBroken):
    """The log has no record of the snapshot: the file was saved, and then came a crash."""


@dataclass
class LogContents:
    """What a log says, from a snapshot on."""

    snapshot: SnapshotRecord
    metadata: bytes = b""
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)  # after the snapshot
    segments: list[Segment] = field(default_factory=list)  # all in the directory
    crc: int = 0  # of the chain at the end
    end: int = 0  # offset in the last segment where the next record goes
    torn: bool = False  # what follows `end` was half written and counts for nothing


def read_log(disk: Disk, directory: str, snapshot: SnapshotRecord) -> LogContents:
    """Everything after `snapshot` (index 0: from the beginning).

    Raises:
        LogCorrupt: with the file and offset.
        SegmentsBroken: a segment is missing.
        SnapshotUnknown: the log has no record of the snapshot.
    """
    found = segments(disk.list(directory))
    if not found:
        raise SegmentsBroken(f"no log in {directory}")
    reading = _Reading(snapshot)
    contents = reading.contents
    contents.segments = found
    chain: int | None = None
    for segment in holding(found, snapshot.index):
        with _scan(disk, f"{directory}/{segment.name}", chain, segment is found[-1]) as scan:
            for kind, _, data in scan.records():
                if kind == Kind.ENTRY:
                    reading.entry(parse_entry(data))
                else:
                    reading.other(kind, data)
            if segment is found[-1] and reading.matched:
                reading.finish()
        chain = scan.crc
        contents.crc, contents.end, contents.torn = scan.crc, scan.offset, scan.torn
    if not reading.matched:
        raise SnapshotUnknown(f"{directory} has no record of the snapshot at {snapshot.index}")
    return contents


@contextmanager
def _scan(disk: Disk, path: str, chain: int | None, is_last: bool) -> Iterator[Scan]:
    """What is found wrong with a record is raised as LogCorrupt, saying where."""
    scan = Scan(disk, path, chain, is_last=is_last)
    try:
        yield scan
    except _Impossible as error:
        raise LogCorrupt(path, scan.offset, str(error)) from error
    except (DecodeError, ConfChangeMalformed) as error:
        raise LogCorrupt(path, scan.offset, f"a malformed record ({error})") from error
    finally:
        scan.close()


class _Impossible(Exception):
    """No member writes this."""


class _Reading:
    """Puts the log together from its records, in the order they were written.

    The checksum does not cover a record's type, so that an entry may pass for a hard state after
    a flipped bit: what raft guarantees is checked too.  Terms never fall, the commit index never
    falls, and a committed entry never changes.
    """

    def __init__(self, start: SnapshotRecord) -> None:
        self.contents = LogContents(start)
        self._start = start
        self.matched = start.index == 0
        self._knows_whose = False
        # Of the entry at the snapshot's index, as the log has it at this point.
        self._term_at_start: int | None = 0 if start.index == 0 else None
        self._snapshots: list[SnapshotRecord] = []  # later ones

    def other(self, kind: int, data: bytes) -> None:
        """A record that is no entry."""
        match kind:
            case Kind.STATE:
                self.state(parse_state(data))
            case Kind.METADATA:
                self.metadata(data)
            case Kind.SNAPSHOT:
                self.snapshot(parse_snapshot(data))
            case Kind.CRC:
                pass
            case _:
                raise _Impossible(f"a record of unknown type {kind}")

    def metadata(self, metadata: bytes) -> None:
        if self._knows_whose and self.contents.metadata != metadata:
            raise _Impossible("metadata of another member")
        self.contents.metadata = metadata
        self._knows_whose = True

    def entry(self, entry: Entry) -> None:
        """Later entries replace earlier ones from their index on: a new leader overwrote them."""
        entries = self.contents.entries
        position = entry.index - self._start.index - 1
        if position < 0:
            # Of interest only because of what it replaces.
            entries.clear()
            self._term_at_start = entry.term if position == -1 else None
            return
        if position < len(entries):
            self._replace(entry, entries[position:])
            del entries[position:]
        elif position > len(entries):
            raise _Impossible(f"entry {entry.index} follows a gap")
        if entry.term < (entries[-1].term if entries else self._term_at_start or 0):
            raise _Impossible(f"entry {entry.index} is of an earlier term than the one before")
        entries.append(entry)

    def _replace(self, entry: Entry, old: Sequence[Entry]) -> None:
        if entry.index <= self.contents.hard_state.commit and entry.term != old[0].term:
            raise _Impossible(f"entry {entry.index} changes though it is committed")

    def state(self, state: HardState) -> None:
        before = self.contents.hard_state
        if state.term < before.term:
            raise _Impossible(f"term {state.term} follows a later one")
        if state.commit < before.commit:
            raise _Impossible(f"commit index {state.commit} follows a later one")
        self.contents.hard_state = state

    def snapshot(self, record: SnapshotRecord) -> None:
        """A snapshot of our own keeps the entries after it.  A leader's replaces the whole log.

        It is a leader's if the log has not, or had not in this term, the entry it ends with.
        """
        if record.index > self._start.index:
            self._snapshots.append(record)
        if record.index != self._start.index:
            return
        if record.term != self._start.term:
            raise _Impossible("a snapshot of another term")
        if self._term_at_start != record.term:
            self.contents.entries.clear()
        self._term_at_start = record.term
        self.matched = True

    def finish(self) -> None:
        """What can only be seen when all is read."""
        contents = self.contents
        if not self._knows_whose:
            raise _Impossible("no metadata until the end")
        commit, last = contents.hard_state.commit, self._start.index + len(contents.entries)
        if commit > last:
            raise _Impossible(
                f"entries up to {commit} are committed, but there are {last}, the end"
            )
        for record in self._snapshots:
            if record.index > commit:
                continue  # its installation was cut short
            if contents.entries[record.index - self._start.index - 1].term != record.term:
                raise _Impossible(f"the log does not lead to the snapshot at {record.index}")
