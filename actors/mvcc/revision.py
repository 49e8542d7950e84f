"""A change's place in history, and the row that holds it.

A revision is (main, sub): main counts the transactions that changed something, sub the changes
inside one.  The row key is etcd's: both numbers big-endian with `_` between, and `t` behind
when the change was a deletion, so that rows sort by revision.
Source: etcd server/storage/mvcc/revision.go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

_ROW = struct.Struct(">Q1sQ")

FIRST_REVISION = 1  # of a store that nothing was ever written to
NEVER_COMPACTED = -1

ROW_BYTES = _ROW.size
TOMBSTONE_BYTES = _ROW.size + 1

_pack = _ROW.pack


def row_key(main: int, sub: int) -> bytes:
    """The row of a put."""
    return _pack(main, b"_", sub)


def tombstone_key(main: int, sub: int) -> bytes:
    """The row of a deletion."""
    return _pack(main, b"_", sub) + b"t"


parse_row_key = cast("Callable[[bytes], tuple[int, bytes, int]]", _ROW.unpack_from)
"""(main, b"_", sub) of a row key of either kind."""


def is_tombstone(row: bytes) -> bool:
    return len(row) == TOMBSTONE_BYTES
