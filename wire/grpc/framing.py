"""Messages inside a stream: a flag, a length, and the message, over and over.

Source: grpc/doc/PROTOCOL-HTTP2.md ("Length-Prefixed-Message").
"""

from __future__ import annotations

import struct
import zlib

from wire.errors import Refused
from wire.status import Status

PREFIX = struct.Struct(">BI")  # compressed?, length
PREFIX_BYTES = PREFIX.size


def too_large(size: int, limit: int) -> Refused:
    return Refused(
        Status.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {limit})"
    )


def frame(message: bytes) -> bytes:
    """A message as it is sent: never compressed."""
    return PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Cuts a stream's bytes into messages."""

    def __init__(self, limit: int, encoding: bytes = b"identity") -> None:
        """`limit` is the largest message allowed, in bytes, compressed or not."""
        self._limit = limit
        self._encoding = encoding
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now.

        Raises:
            Refused: a message is too large (as soon as its prefix says so) or badly compressed.
        """
        buffer = self._buffer
        buffer += data
        messages = []
        at = 0
        while len(buffer) - at >= PREFIX_BYTES:
            flag, size = PREFIX.unpack_from(buffer, at)
            if size > self._limit:
                raise too_large(size, self._limit)
            if len(buffer) - at - PREFIX_BYTES < size:
                break
            start = at + PREFIX_BYTES
            at = start + size
            message = bytes(buffer[start:at])
            messages.append(decompress(flag, message, self._encoding, self._limit))
        del buffer[:at]
        return messages


def decompress(flag: int, message: bytes, encoding: bytes, limit: int) -> bytes:
    """A message as it was before `encoding`; never yields more than `limit` bytes.

    `flag` is the prefix's first byte: 0 means that the message was left as it is.
    """
    if flag == 0:
        return message
    if flag != 1:
        raise Refused(Status.INTERNAL, f"grpc: received unexpected payload format {flag}")
    if encoding in (b"identity", b""):
        raise Refused(
            Status.INTERNAL,
            "grpc: compressed flag set with identity or empty encoding",
        )
    inflater = zlib.decompressobj(wbits=31)
    try:
        expanded = inflater.decompress(message, limit + 1)
    except zlib.error as error:
        raise Refused(
            Status.INTERNAL, f"grpc: failed to decompress the received message: {error}"
        ) from error
    if len(expanded) > limit:
        raise Refused(
            Status.RESOURCE_EXHAUSTED,
            "grpc: received message after decompression larger than max "
            f"({len(expanded)} vs. {limit})",
        )
    if not inflater.eof:
        raise Refused(
            Status.INTERNAL, "grpc: failed to decompress the received message: unexpected EOF"
        )
    return expanded
