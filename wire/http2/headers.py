"""Header blocks: decoded once for the whole connection, and encoded without any state.

The dynamic table makes a block's meaning depend on all blocks before it, so a connection has
one decoder and every block goes through it, in order.  Clients send the same block again and
again; as long as the table does not change, the same bytes mean the same headers, and `decode`
answers from a cache.  What we encode never touches the peer's table, so replies can be built
from constants and in any order.
Source: RFC 7541.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from wire.http2.blocks import BadBlock, BlockDecoder, Headers, TooManyHeaders
from wire.http2.frames import (
    PRIORITY_BYTES,
    STREAM_MASK,
    Code,
    ConnectionFault,
    Flag,
    unpadded,
)
from wire.http2.limits import Limits

MAX_LIST_BYTES = 16 * 1024  # SETTINGS_MAX_HEADER_LIST_SIZE; grpc-go's is 16 MiB, a token 100 B
CACHED_BLOCKS = 64  # a client that sends more different ones gains little from a cache
SIZE_UPDATE = b"\x20"  # "my dynamic table has no room", RFC 7541 §6.3

T = TypeVar("T")

__all__ = ["BlockFrames", "HeaderDecoder", "Headers", "StatelessEncoder", "encode"]


class BlockFrames:
    """A header block as it comes in: HEADERS, and CONTINUATION until it is complete."""

    __slots__ = ("_frames", "_limits", "_pieces", "flags", "stream")

    def __init__(self, stream: int, flags: int, payload: bytes, limits: Limits) -> None:
        """Raises ConnectionFault: padding or priority are wrong."""
        if flags & (Flag.PADDED | Flag.PRIORITY):
            payload = _without_extras(stream, flags, payload)
        self.stream = stream
        self.flags = flags
        self._limits = limits
        self._pieces = bytearray(payload)
        self._frames = 1

    def add(self, payload: bytes) -> None:
        """Raises ConnectionFault: it goes on for too long, CVE-2024-27316."""
        self._pieces += payload
        self._frames += 1
        limits = self._limits
        if len(self._pieces) > limits.header_block_bytes or self._frames > limits.header_frames:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "header block is too long")

    @property
    def bytes(self) -> bytes:
        return bytes(self._pieces)


def _without_extras(stream: int, flags: int, payload: bytes) -> bytes:
    payload = unpadded(payload, flags)
    if flags & Flag.PRIORITY:
        if len(payload) < PRIORITY_BYTES:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        if int.from_bytes(payload[:4], "big") & STREAM_MASK == stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "stream depends on itself")
        payload = payload[PRIORITY_BYTES:]
    return payload


class HeaderDecoder(Generic[T]):
    """The connection's only HPACK decoder, behind a cache.

    Invariant: what is cached refers to the table as it is.
    """

    def __init__(self, understand: Callable[[Headers], T]) -> None:
        """`understand` says what headers mean; that is what is cached and returned."""
        self._understand = understand
        self._decoder = BlockDecoder(MAX_LIST_BYTES)
        self._cache: dict[bytes, T] = {}
        self._changes = 0  # of the table, when the cache was last cleared
        self.get = self._cache.get  # what a block seen before means, or None

    def decode(self, block: bytes) -> T:
        """Raises ConnectionFault: after a bad block the table is lost, and so is the connection."""
        known = self._cache.get(block)
        if known is not None:
            return known
        decoder = self._decoder
        try:
            meaning = self._understand(decoder.decode(block))
        except TooManyHeaders as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "header list is too large") from error
        except BadBlock as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"bad header block: {error}") from error
        if decoder.changes != self._changes:
            self._changes = decoder.changes
            self._cache.clear()
        elif len(self._cache) < CACHED_BLOCKS:
            self._cache[block] = meaning
        return meaning


class StatelessEncoder:
    """Stands in for h2's encoder: without a dynamic table, blocks may be sent in any order.

    When the peer announces another table size, the next block sent has to say that ours fits,
    RFC 7541 §4.2; nghttp2 closes a connection that forgets it.
    """

    def __init__(self) -> None:
        self.owes_update = False

    @property
    def header_table_size(self) -> int:
        return 0

    @header_table_size.setter
    def header_table_size(self, _: int) -> None:
        """h2 sets it when the peer's SETTINGS arrive."""
        self.owes_update = True

    def encode(self, headers: Iterable[tuple[bytes, bytes]], huffman: bool = False) -> bytes:
        return self.take_update() + encode(headers)

    def take_update(self) -> bytes:
        """What the next block must begin with."""
        if not self.owes_update:
            return b""
        self.owes_update = False
        return SIZE_UPDATE


_STATUS_200 = b"\x88"  # an index into the static table, RFC 7541 appendix A


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block of literals that neither reads nor changes a dynamic table, RFC 7541 §6.2.2."""
    block = bytearray()
    for name, value in headers:
        if name == b":status" and value == b"200":
            block += _STATUS_200
            continue
        block.append(0)
        block += _length(len(name))
        block += name
        block += _length(len(value))
        block += value
    return bytes(block)


def _length(n: int) -> bytes:
    """A string's length, not Huffman coded, RFC 7541 §5.1, §5.2."""
    if n < 127:
        return bytes((n,))
    out = bytearray((127,))
    n -= 127
    while n >= 128:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
