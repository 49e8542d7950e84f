"""A snapshot on its way out: checked at the other end, and slow enough to disturb nobody.

The receiver begins: it says that it is ready.  Then comes raft's own message, then chunks, each
behind CHUNK, and at last END with the SHA-256 of all chunks and how many bytes they were.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import trio

from actors.raft.codec import encode
from actors.raft.types import Message, SnapshotMetadata
from actors.raft.types import Snapshot as RaftSnapshot
from actors.snapshot.transfer import OutgoingSnapshot, SnapshotSource
from trioetcd.peer.protocol import CHUNK, END, SNAPSHOT
from wire.grpc.channel import Channel
from wire.grpc.client_calls import StreamExchange
from wire.grpc.client_errors import Unavailable
from wire.http2.headers import Headers

BYTES_PER_SECOND = 48 << 20
REST = 3.0  # times as long as a chunk took to make, others have the loop for themselves
STALL_SECONDS = 30.0  # in which the receiver must take something, or say that it has it all


async def send_snapshot(
    channel: Channel, message: Message, source: SnapshotSource, headers: Headers
) -> tuple[SnapshotMetadata, int]:
    """Send the state as it is now, which is `message.snapshot`'s or later.

    Returns what was sent, and its bytes, once the receiver has it.

    Raises:
        EtcdError: the receiver refuses it, or the connection broke.
    """
    async with channel.stream(SNAPSHOT, metadata=headers) as stream:
        await _hear(stream)
        outgoing = await source.open()
        try:
            snapshot = RaftSnapshot(outgoing.metadata)
            await stream.send(encode(replace(message, snapshot=snapshot)))
            size = await _send_chunks(stream, outgoing)
        finally:
            outgoing.close()
        await _hear(stream)
    return outgoing.metadata, size


async def _hear(stream: StreamExchange) -> None:
    """That the receiver is ready, or has it all.  Raises EtcdError."""
    with trio.move_on_after(STALL_SECONDS):
        if await stream.receive() is not None:
            return
    raise Unavailable("the receiver says nothing", maybe_sent=True)


async def _send_chunks(stream: StreamExchange, outgoing: OutgoingSnapshot) -> int:
    chunks = outgoing.chunks()
    digest, size = sha256(), 0
    while True:
        began = trio.current_time()
        chunk = next(chunks, None)
        if chunk is None:
            break
        digest.update(chunk)
        size += len(chunk)
        effort = trio.current_time() - began
        if not await moves(stream, STALL_SECONDS):
            raise Unavailable("the receiver takes nothing", maybe_sent=True)
        await stream.send(CHUNK + chunk)
        await trio.sleep(max(len(chunk) / BYTES_PER_SECOND, REST * effort))
    await stream.send(END + digest.digest() + size.to_bytes(8, "big"))
    stream.done_sending()
    return size


async def moves(stream: StreamExchange, seconds: float) -> bool:
    """Wait until more may be sent; False when the other side takes nothing for so long."""
    while True:
        unsent = stream.unsent
        with trio.move_on_after(seconds):
            await stream.room()
            return True
        if stream.unsent >= unsent:
            return False
