"""A snapshot on its way out: checked at the other end, and slow enough to disturb nobody.

The first message of the stream is raft's own; then come chunks, each behind CHUNK, and at last
END with the SHA-256 of all chunks and how many bytes they were.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import trio

from actors.raft.codec import encode
from actors.raft.types import Message, SnapshotMetadata
from actors.raft.types import Snapshot as RaftSnapshot
from actors.snapshot.transfer import OutgoingSnapshot, SnapshotSource
from trioetcd.peer.protocol import SNAPSHOT
from wire.grpc.channel import Channel
from wire.grpc.client_calls import StreamExchange
from wire.grpc.client_errors import Unavailable
from wire.http2.headers import Headers

CHUNK, END = b"\0", b"\1"
BYTES_PER_SECOND = 48 << 20
STALL_SECONDS = 30.0  # in which the receiver must take something, or say that it has it all


async def send_snapshot(
    channel: Channel, message: Message, source: SnapshotSource, headers: Headers
) -> tuple[SnapshotMetadata, int]:
    """Send the state as it is now, which is `message.snapshot`'s or later.

    Returns what was sent, and its bytes, once the receiver has it.

    Raises:
        EtcdError: the receiver refuses it, or the connection broke.
    """
    outgoing = await source.open()
    try:
        async with channel.stream(SNAPSHOT, metadata=headers) as stream:
            snapshot = RaftSnapshot(outgoing.metadata)
            await stream.send(encode(replace(message, snapshot=snapshot)))
            size = await _send_chunks(stream, outgoing)
            with trio.move_on_after(STALL_SECONDS):
                await stream.receive()
                return outgoing.metadata, size
            raise Unavailable("the receiver says nothing", maybe_sent=True)
    finally:
        outgoing.close()


async def _send_chunks(stream: StreamExchange, outgoing: OutgoingSnapshot) -> int:
    began = trio.current_time()
    digest, size = sha256(), 0
    for chunk in outgoing.chunks():
        digest.update(chunk)
        size += len(chunk)
        with trio.move_on_after(STALL_SECONDS) as sending:
            await stream.send(CHUNK + chunk)
        if sending.cancelled_caught:
            raise Unavailable("the receiver takes nothing", maybe_sent=True)
        await trio.sleep_until(began + size / BYTES_PER_SECOND)
    await stream.send(END + digest.digest() + size.to_bytes(8, "big"))
    stream.done_sending()
    return size
