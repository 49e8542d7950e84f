"""A snapshot on its way in: nothing is made of it before its SHA-256 is right."""

from __future__ import annotations

from hashlib import sha256

import trio

from actors.kernel import Worker
from actors.raft.codec import MalformedMessage, decode
from actors.raft.types import Message, MessageType
from actors.snapshot.files import SnapshotBroken
from actors.snapshot.transfer import IncomingSnapshot, SnapshotSink
from trioetcd.peer.protocol import CHUNK, END
from trioetcd.peer.sending import STALL_SECONDS
from wire.errors import Refused
from wire.grpc.service import ServerStream
from wire.status import Status

DIGEST_BYTES, SIZE_BYTES = 32, 8


class _Incomplete(Refused):
    def __init__(self, why: str) -> None:
        super().__init__(Status.DATA_LOSS, f"snapshot: {why}")


async def receive_snapshot(stream: ServerStream, sink: SnapshotSink, worker: Worker) -> Message:
    """Say that it may come, and take in a snapshot; returns raft's message about it.

    Raises:
        EtcdError: it is not whole, or there is no place for it.
    """
    await stream.send(b"")
    message = _announcement(await _next(stream))
    assert message.snapshot is not None
    incoming = sink.begin(message.snapshot.metadata)
    try:
        await _receive_chunks(stream, incoming, worker)
        await worker.run(incoming.finish)
    except (OSError, SnapshotBroken) as error:
        incoming.abort()
        raise _Incomplete(str(error)) from error
    except BaseException:
        incoming.abort()
        raise
    return message


def _announcement(data: bytes) -> Message:
    try:
        message = decode(data)
    except MalformedMessage as error:
        raise Refused(Status.INVALID_ARGUMENT, str(error)) from error
    if message.type is not MessageType.SNAPSHOT or message.snapshot is None:
        raise Refused(Status.INVALID_ARGUMENT, f"unexpected raft message: {message.type.name}")
    return message


async def _receive_chunks(stream: ServerStream, incoming: IncomingSnapshot, worker: Worker) -> None:
    digest, size = sha256(), 0
    while True:
        data = await _next(stream)
        if data[:1] == CHUNK:
            chunk = data[1:]
            digest.update(chunk)
            size += len(chunk)
            await worker.run(incoming.write, chunk)
        elif data[:1] == END and len(data) == 1 + DIGEST_BYTES + SIZE_BYTES:
            if data[1:] != digest.digest() + size.to_bytes(SIZE_BYTES, "big"):
                raise _Incomplete("the checksum is not that of what came")
            return
        else:
            raise Refused(Status.INVALID_ARGUMENT, "neither a chunk of a snapshot nor its end")


async def _next(stream: ServerStream) -> bytes:
    with trio.move_on_after(STALL_SECONDS):
        data = await stream.receive()
        if data is None:
            raise _Incomplete("the stream ended before its end")
        return data
    raise _Incomplete("nothing came for too long")
