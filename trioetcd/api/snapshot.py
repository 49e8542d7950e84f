"""Maintenance.Snapshot: the database as a file of etcd's, to a client, while writes go on.

The file is made of a read transaction, page by page, and never is anywhere as a whole.
Source: etcd server/etcdserver/api/v3rpc/maintenance.go (Snapshot).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import trio

from actors.backend.actor import BackendActor
from actors.backend.engine import Snapshot
from actors.bolt.contents import buckets_of
from actors.bolt.writer import BoltWriter
from trioetcd.api.parse import parse
from wire.errors import Refused
from wire.grpc.service import Registry, ServerStream
from wire.log import Log
from wire.pb import etcdserverpb
from wire.status import Status
from wire.version import STORAGE_VERSION

PATH = "/etcdserverpb.Maintenance/Snapshot"
BLOB_BYTES = 32 * 1024  # in a message; etcd's
PARALLEL = 4  # snapshots at once: each keeps old pages of the database in use; others wait
LAYOUT_PAGES = 64  # laid out between two turns of the event loop: 0.2 ms
STALL_SECONDS = 30.0  # in which the client must take something


class SnapshotService:
    def __init__(self, backend: BackendActor, log: Log) -> None:
        self._backend = backend
        self._log = log
        self._room = trio.CapacityLimiter(PARALLEL)

    def register(self, registry: Registry) -> None:
        registry.stream(PATH, self.snapshot, kind="server_stream")

    async def snapshot(self, stream: ServerStream) -> None:
        """Send a file with everything that is applied now, then its SHA-256."""
        parse(etcdserverpb.SnapshotRequest, await stream.receive() or b"")
        async with self._room:
            await self._backend.flush()
            began = trio.current_time()
            snapshot = self._backend.backend.engine.snapshot()
            try:
                await self._send(stream, snapshot)
            finally:
                snapshot.close()
                self._backend.snapshots.note(trio.current_time() - began)

    async def _send(self, stream: ServerStream, snapshot: Snapshot) -> None:
        began = trio.current_time()
        writer = BoltWriter(lambda: buckets_of(snapshot, STORAGE_VERSION))
        for step, _ in enumerate(writer.layout()):
            if step % LAYOUT_PAGES == 0:
                await trio.lowlevel.checkpoint()
        total = remaining = writer.size
        self._log.info("sending database snapshot to client", total_bytes=total)
        digest = sha256()
        for blob in _blobs(writer.pages()):
            digest.update(blob)
            remaining -= len(blob)
            await _send(stream, blob, remaining)
        await _send(stream, digest.digest(), 0)
        took = f"{trio.current_time() - began:.3f}s"
        self._log.info(
            "successfully sent database snapshot to client", total_bytes=total, took=took
        )


async def _send(stream: ServerStream, blob: bytes, remaining: int) -> None:
    """Raises Refused: the client takes nothing."""
    message = etcdserverpb.SnapshotResponse(
        remaining_bytes=remaining, blob=blob, version=STORAGE_VERSION
    ).SerializeToString()
    with trio.move_on_after(STALL_SECONDS) as sending:
        await stream.send(message)
    if sending.cancelled_caught:
        raise Refused(Status.UNAVAILABLE, "the snapshot's receiver takes nothing")
    await trio.lowlevel.checkpoint()


def _blobs(pages: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of BLOB_BYTES; the last may be shorter."""
    gathered, size = [], 0
    for page in pages:
        gathered.append(page)
        size += len(page)
        if size >= BLOB_BYTES:
            whole = b"".join(gathered)
            end = size - size % BLOB_BYTES
            for start in range(0, end, BLOB_BYTES):
                yield whole[start : start + BLOB_BYTES]
            gathered, size = [whole[end:]], size - end
    if size:
        yield b"".join(gathered)
