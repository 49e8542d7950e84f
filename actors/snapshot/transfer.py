"""What a snapshot on its way between members is to those who carry it.

`source.py` makes one of the database as it is applied now; `sink.py` takes one in, beside the
database in use.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from actors.raft.types import SnapshotMetadata


class OutgoingSnapshot(Protocol):
    """A state of the database that does not change while it is read; to be closed."""

    metadata: SnapshotMetadata

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, CHUNK_BYTES or a little more at a time; each takes a few milliseconds."""
        ...

    def close(self) -> None: ...


class SnapshotSource(Protocol):
    async def open(self) -> OutgoingSnapshot:
        """Everything that is applied now."""
        ...


class IncomingSnapshot(Protocol):
    """Blocks; `finish` or `abort` is called in the end."""

    def write(self, chunk: bytes) -> None:
        """Raises SnapshotBroken or OSError."""
        ...

    def finish(self) -> None:
        """All is written: make it durable, to be found by `install`.

        Raises:
            SnapshotBroken: it is not whole.
        """
        ...

    def abort(self) -> None: ...


class SnapshotSink(Protocol):
    def begin(self, metadata: SnapshotMetadata) -> IncomingSnapshot: ...
