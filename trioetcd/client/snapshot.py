"""A member's database on its way into a file: checked whole before it has its name.

The last 32 bytes that a server sends are the SHA-256 of all before them; they are part of the
file.
Source: etcd client/v3/snapshot/v3_snapshot.go (Save), server/etcdserver/api/v3rpc/maintenance.go.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import trio

from trioetcd.client.errors import SnapshotDamaged
from wire.grpc.client_calls import StreamExchange
from wire.pb import etcdserverpb

DIGEST_BYTES = hashlib.sha256().digest_size
PRIVATE = 0o600  # it holds everything, password hashes too


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    size_bytes: int
    version: str  # of the server; empty from those before 3.6


class SnapshotChunks:
    """Iterate over the bytes, in order; the digest is checked before the end is told."""

    def __init__(self, stream: StreamExchange) -> None:
        self.received_bytes = 0
        self.total_bytes = 0  # 0 until the first chunk has come
        self.version = ""
        self.stream = stream
        self._next: bytes | None = None
        self._digest = hashlib.sha256()
        self._tail = b""  # the last bytes that came: at the end, the server's digest

    async def begin(self) -> None:
        """Until the first bytes are there.  Raises EtcdError: the server refuses."""
        self._next = await self.stream.receive()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Raises SnapshotDamaged, EtcdError."""
        if self._next is None:
            self._check()
            raise StopAsyncIteration
        message, self._next = self._next, await self.stream.receive()
        answer = etcdserverpb.SnapshotResponse.FromString(message)
        self.version = answer.version or self.version
        if not self.total_bytes:
            self.total_bytes = len(answer.blob) + answer.remaining_bytes + DIGEST_BYTES
        self.received_bytes += len(answer.blob)
        seen = self._tail + answer.blob
        self._digest.update(seen[:-DIGEST_BYTES])
        self._tail = seen[-DIGEST_BYTES:]
        return answer.blob

    def _check(self) -> None:
        if self.received_bytes <= DIGEST_BYTES:
            raise SnapshotDamaged(f"it ends after {self.received_bytes} bytes")
        if self._tail != self._digest.digest():
            raise SnapshotDamaged("its SHA-256 is not the one that the server has sent")


async def save(
    chunks: SnapshotChunks,
    path: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None,
) -> SavedSnapshot:
    """See `Maintenance.save_snapshot`."""
    name = os.fspath(path)
    part = f"{name}.part"
    try:
        async with await trio.open_file(part, "wb", opener=_private) as file:
            async for chunk in chunks:
                await file.write(chunk)
                if progress is not None:
                    progress(chunks.received_bytes, chunks.total_bytes)
            await file.flush()
            await trio.to_thread.run_sync(os.fsync, file.fileno())
        os.replace(part, name)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    return SavedSnapshot(chunks.received_bytes, chunks.version)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, PRIVATE)
