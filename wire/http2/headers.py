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

import hpack
from hpack.exceptions import HPACKError, OversizedHeaderListError

from wire.http2.frames import Code, ConnectionFault

TABLE_BYTES = 4096  # SETTINGS_HEADER_TABLE_SIZE, the default
MAX_LIST_BYTES = 16 * 1024  # SETTINGS_MAX_HEADER_LIST_SIZE; grpc-go's is 16 MiB, tokens are 100 B
CACHED_BLOCKS = 64  # a client that sends more different ones gains little from a cache

Headers = tuple[tuple[bytes, bytes], ...]
T = TypeVar("T")


class HeaderDecoder(Generic[T]):
    """The connection's only HPACK decoder.

    Invariant: every cached block contains nothing but references to the tables as they are.
    """

    def __init__(self, understand: Callable[[Headers], T]) -> None:
        """`understand` says what headers mean; that is what is cached and returned."""
        self._understand = understand
        self._decoder = hpack.Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._decoder.max_allowed_table_size = TABLE_BYTES
        self._cache: dict[bytes, T] = {}
        self.get = self._cache.get  # what a block seen before means, or None

    def decode(self, block: bytes) -> T:
        """Raises ConnectionFault: after a bad block the table is lost, and so is the connection."""
        known = self._cache.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        before = table.dynamic_entries.copy(), table.maxsize
        try:
            headers = tuple(
                (bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)
            )
        except OversizedHeaderListError as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "header list is too large") from error
        except HPACKError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"bad header block: {error}") from error
        meaning = self._understand(headers)
        if (table.dynamic_entries, table.maxsize) != before:
            self._cache.clear()
        elif len(self._cache) < CACHED_BLOCKS:
            self._cache[block] = meaning
        return meaning


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block of literals that neither reads nor changes a dynamic table, RFC 7541 §6.2.2."""
    block = bytearray()
    for name, value in headers:
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
