"""Snapshots of the database for other members, and from them.  Beside the live one, see `rows`."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from actors.backend.actor import BackendActor
from actors.backend.engine import Engine, Snapshot
from actors.raft.types import SnapshotMetadata
from actors.snapshot.files import SnapshotBroken
from actors.snapshot.rows import RowWriter, chunks, metadata_of
from wire.durations import Durations


class BackendSource:
    """`SnapshotSource` of what is applied here."""

    def __init__(self, backend: BackendActor) -> None:
        self._backend = backend

    async def open(self) -> BackendSnapshot:
        await self._backend.flush()
        return BackendSnapshot(self._backend.backend.engine.snapshot(), self._backend.snapshots)


class BackendSnapshot:
    def __init__(self, snapshot: Snapshot, times: Durations) -> None:
        self._snapshot = snapshot
        self._times = times
        self._opened_at = trio.current_time()
        self.metadata = metadata_of(snapshot)

    def chunks(self) -> Iterator[bytes]:
        return chunks(self._snapshot)

    def close(self) -> None:
        self._snapshot.close()
        self._times.note(trio.current_time() - self._opened_at)


class BackendSink:
    """`SnapshotSink` beside the database in use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, metadata: SnapshotMetadata) -> IncomingBackend:
        return IncomingBackend(self._engine, metadata)


class IncomingBackend:
    """A database being received.  Blocks."""

    def __init__(self, engine: Engine, metadata: SnapshotMetadata) -> None:
        self._engine = engine
        self._metadata = metadata
        self._received: Engine | None = None
        self._writer: RowWriter | None = None

    def write(self, chunk: bytes) -> None:
        if self._writer is None:
            self._received = self._engine.receive()
            self._writer = RowWriter(self._received)
        self._writer.write(chunk)

    def finish(self) -> None:
        if self._received is None:
            raise SnapshotBroken("nothing came")
        snapshot = self._received.snapshot()
        try:
            held = metadata_of(snapshot)
        except (KeyError, ValueError) as error:
            raise SnapshotBroken(f"it does not say what it holds: {error}") from error
        finally:
            snapshot.close()
        if held != self._metadata:
            raise SnapshotBroken(f"it holds {held} and was announced as {self._metadata}")
        received, self._received = self._received, None
        self._engine.keep(received, held.index)

    def abort(self) -> None:
        if self._received is not None:
            self._received.close()
            self._received = None
