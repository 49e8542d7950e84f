"""Writing the log: append, cut to a new segment, release old ones.

Everything here that reaches the disk may block; `sync` is the one that takes long.
Source: etcd server/storage/wal/wal.go (Create, cut, ReleaseLockTo), file_pipeline.go.
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence

from actors.raft.types import Entry, HardState
from actors.wal.disk import Disk, WritableFile
from actors.wal.reader import LogContents
from actors.wal.records import Encoder, Kind, SnapshotRecord
from actors.wal.segments import SEGMENT_BYTES, Segment
from wire.invariant import invariant


class LogWriter:
    """The end of a log.  `append` gathers, `write` hands to the system, `sync` makes durable."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        segments: list[Segment],
        file: WritableFile,
        offset: int,
        crc: int,
        metadata: bytes,
        state: HardState,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Use `create` or `resume`."""
        self._disk = disk
        self._directory = directory
        self._segments = segments
        self._file = file
        self._offset = offset
        self._encoder = Encoder(crc)
        self._metadata = metadata
        self._state = state
        self._last_index = 0  # of the entries written; a new segment is named after the next
        self._segment_bytes = segment_bytes
        self._pending: list[bytes] = []
        self.written_bytes = 0

    @classmethod
    def create(
        cls, disk: Disk, directory: str, metadata: bytes, segment_bytes: int = SEGMENT_BYTES
    ) -> LogWriter:
        """A new log that belongs to whom `metadata` says.

        It is made beside its place and then renamed into it, so that a crash leaves all or
        nothing.
        """
        scratch = directory + ".tmp"
        for name in disk.list(scratch):
            disk.unlink(f"{scratch}/{name}")
        disk.mkdir(scratch)
        first = Segment(0, 0)
        file = disk.create(f"{scratch}/{first.name}", segment_bytes)
        writer = cls(disk, directory, [first], file, 0, 0, metadata, HardState(), segment_bytes)
        writer._begin_segment()
        writer._pending.append(writer._encoder.snapshot(SnapshotRecord(0, 0)))
        writer.write()
        file.datasync()
        disk.sync_directory(scratch)
        disk.rename(scratch, directory)
        disk.sync_directory(os.path.dirname(directory) or ".")
        writer._reopen()
        return writer

    @classmethod
    def resume(
        cls,
        disk: Disk,
        directory: str,
        contents: LogContents,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> LogWriter:
        """Write on after what was read.  What follows it in the last segment is wiped.

        Bytes after the end may be records whose write was never answered for; left there, they
        could be taken for new ones later.
        """
        for name in disk.list(directory):
            if name.endswith(".tmp"):
                disk.unlink(f"{directory}/{name}")  # a cut that was not finished
        path = f"{directory}/{contents.segments[-1].name}"
        file = disk.append(path, contents.end)
        file.truncate(contents.end)
        if contents.end < segment_bytes:
            file.truncate(segment_bytes)
        writer = cls(
            disk,
            directory,
            list(contents.segments),
            file,
            contents.end,
            contents.crc,
            contents.metadata,
            contents.hard_state,
            segment_bytes,
        )
        writer._last_index = contents.snapshot.index + len(contents.entries)
        return writer

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    def append(
        self,
        entries: Sequence[Entry],
        state: HardState | None = None,
        snapshot: SnapshotRecord | None = None,
    ) -> None:
        """Add records to the next `write`: the snapshot's first, the hard state's last.

        A crash may keep any of them without those that follow.  So that none is kept without
        what it needs, a new term, and the commit that a leader's snapshot brings, come before
        the entries too.
        """
        if snapshot is not None:
            self._pending.append(self._encoder.snapshot(snapshot))
            self._last_index = max(self._last_index, snapshot.index)
        if entries:
            if state is not None:
                committed = min(snapshot.index, state.commit) if snapshot is not None else 0
                self._append_state(state._replace(commit=max(committed, self._state.commit)))
            self._encoder.entries(entries, self._pending)
            self._last_index = entries[-1].index
        if state is not None:
            self._append_state(state)

    def _append_state(self, state: HardState) -> None:
        if state != self._state:
            self._state = state
            self._pending.append(self._encoder.state(state))

    def write(self) -> None:
        """Hand everything appended to the system, as one write."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._file.write(data)
        self._offset += len(data)
        self.written_bytes += len(data)

    def sync(self) -> None:
        """Make everything written durable."""
        self._file.datasync()

    @property
    def is_full(self) -> bool:
        """Whether the segment should be cut, now that it is synced."""
        return self._offset >= self._segment_bytes

    def cut(self) -> None:
        """Begin a new segment; durable when this returns."""
        invariant(not self._pending, "a segment is cut between writes")
        self._file.truncate(self._offset)
        segment = Segment(self._segments[-1].sequence + 1, self._last_index + 1)
        scratch = f"{self._directory}/{segment.sequence % 2}.tmp"
        full, self._file = self._file, self._disk.create(scratch, self._segment_bytes)
        full.close()  # not before there is another: whoever ends closes what is here
        self._offset = 0
        self._begin_segment()
        self.write()
        self._file.datasync()
        self._disk.rename(scratch, f"{self._directory}/{segment.name}")
        self._disk.sync_directory(self._directory)
        self._segments.append(segment)
        self._reopen()

    def _reopen(self) -> None:
        """Under the name it has now, so that errors name it right."""
        path = f"{self._directory}/{self._segments[-1].name}"
        scratch, self._file = self._file, self._disk.append(path, self._offset)
        scratch.close()

    def _begin_segment(self) -> None:
        encoder = self._encoder
        self._pending += (encoder.crc_record(), encoder.record(Kind.METADATA, self._metadata))
        if self._state != HardState():
            self._pending.append(encoder.state(self._state))

    def release(self, index: int, keep: int) -> list[str]:
        """Remove segments that hold nothing after `index`, while more than `keep` are left.

        `keep` 0: remove none.  Returns the names removed.
        """
        removed: list[str] = []
        while keep and len(self._segments) > keep and self._segments[1].first_index <= index:
            segment = self._segments.pop(0)
            self._disk.unlink(f"{self._directory}/{segment.name}")
            removed.append(segment.name)
        if removed:
            self._disk.sync_directory(self._directory)
        return removed

    def close(self) -> None:
        self._file.close()
