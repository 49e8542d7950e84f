"""HPACK decoding: header blocks to fields.

The tables and the Huffman code are the hpack library's; the loop around them is ours, because
the library takes 33 µs for what Go's clients send with every call (nine fields, one of them, the
timeout, new each time), and this takes 6.
Source: RFC 7541 §3, §5, §6.
"""

from __future__ import annotations

from functools import lru_cache

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Headers = tuple[tuple[bytes, bytes], ...]

TABLE_BYTES = 4096  # SETTINGS_HEADER_TABLE_SIZE, the default
FIELD_BYTES = 32  # that a field counts beside its name and value, RFC 7541 §4.1
INTEGER_OCTETS = 4  # of a long integer after its prefix; none needs more
_CACHED_STRING_BYTES = 64
_STATIC = HeaderTable.STATIC_TABLE
_DYNAMIC = len(_STATIC) + 1  # the first index of the dynamic table


class BadBlock(Exception):
    """The block is wrong, and the table with it."""


class TooManyHeaders(Exception):
    """The fields are more than we have announced to take."""


class BlockDecoder:
    """One direction of a connection: its dynamic table, and the decoding that changes it."""

    def __init__(self, list_bytes: int) -> None:
        """`list_bytes` limits a block's fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts them."""
        self.changes = 0  # of the table: blocks decoded before may mean something else now
        self._list_bytes = list_bytes
        self._table = HeaderTable()
        self._table.maxsize = TABLE_BYTES

    def decode(self, block: bytes) -> Headers:
        """The fields of a whole block.

        Raises:
            BadBlock, TooManyHeaders: no later block can be decoded.
        """
        try:
            return self._decode(block)
        except (IndexError, HPACKError) as error:
            raise BadBlock(str(error)) from error

    def _decode(self, block: bytes) -> Headers:
        fields: list[tuple[bytes, bytes]] = []
        left = self._list_bytes
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:  # indexed
                index, at = _integer(block, at, 0x7F)
                field = self._entry(index)
            elif first & 0xE0 == 0x20:  # a size update
                if fields:
                    raise BadBlock("table size update behind a field")
                at = self._resize(block, at)
                continue
            else:  # a literal: to be indexed, not, or never
                index, at = _integer(block, at, 0x3F if first & 0x40 else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                field = name, value
                if first & 0x40:
                    self._table.add(name, value)
                    self.changes += 1
            fields.append(field)
            left -= len(field[0]) + len(field[1]) + FIELD_BYTES
            if left < 0:
                raise TooManyHeaders
        return tuple(fields)

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if index >= _DYNAMIC:
            return self._table.dynamic_entries[index - _DYNAMIC]
        if index == 0:
            raise BadBlock("index 0")
        return _STATIC[index - 1]

    def _resize(self, block: bytes, at: int) -> int:
        size, at = _integer(block, at, 0x1F)
        if size > TABLE_BYTES:
            raise BadBlock(f"table of {size} bytes")
        self._table.maxsize = size
        self.changes += 1
        return at


def _integer(block: bytes, at: int, most: int) -> tuple[int, int]:
    """The number whose first octet is at `at`, in the bits of `most`; and where it ends."""
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 7 * INTEGER_OCTETS, 7):
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
    raise BadBlock("integer is too long")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    first = block[at]
    length, at = _integer(block, at, 0x7F)
    end = at + length
    text = block[at:end]
    if len(text) < length:
        raise BadBlock("string is cut short")
    if first & 0x80:
        text = _expanded(text) if length <= _CACHED_STRING_BYTES else decode_huffman(text)
    return text, end


_expanded = lru_cache(maxsize=4096)(decode_huffman)
