"""Pages of a bbolt file, as bytes.

    file      pages of one size, numbered from 0: two metas, then everything else
    page      number u64, kind u16, count u16, overflow u32 (pages that follow and belong to it)
    leaf      per row: flags, position, key size, value size (u32 each); then keys and values
    branch    per child: position, key size (u32 each), page u64; then keys
    freelist  page numbers (u64); a count of 0xFFFF means that the first u64 is the count
    meta      see `Meta`; the one with the higher transaction and a right checksum counts

Positions count from the beginning of their own element.  All numbers are little-endian, as on the
machines that etcd supports.  A row with the flag BUCKET holds a bucket: the page of its root and a
sequence number, and if that page is 0 the bucket is small and its only page follows right there.
Source: bbolt internal/common (page.go, meta.go, inode.go, bucket.go).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

PAGE_BYTES = 4096  # of files written here; others may have any of PAGE_SIZES
PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))

BRANCH, LEAF, META, FREELIST = 0x01, 0x02, 0x04, 0x10  # kinds
BUCKET = 0x01  # flag of a leaf's row
MAGIC, VERSION = 0xED0CDAED, 2
NO_FREELIST = (1 << 64) - 1  # the free pages are not listed: etcd's own files
MANY = 0xFFFF  # a freelist's count that says that the count is elsewhere

HEADER = struct.Struct("<QHHI")
BUCKET_HEADER = struct.Struct("<QQ")  # root page, sequence
_META = struct.Struct("<IIIIQQQQQ")
_CHECKSUM = struct.Struct("<Q")
META_BYTES = HEADER.size + _META.size + _CHECKSUM.size
ELEMENT_BYTES = 16  # of a leaf or a branch

Row = tuple[bytes, bytes]
Child = tuple[bytes, int]  # first key, page


class Meta(NamedTuple):
    """What a file says of itself."""

    page_bytes: int
    root: int  # page of the bucket of buckets
    freelist: int  # page, or NO_FREELIST
    pages: int  # in the file
    transaction: int


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash: the checksum of a meta."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def encode_meta(number: int, meta: Meta) -> bytes:
    """A whole page."""
    size, root, freelist, pages, transaction = meta
    body = _META.pack(MAGIC, VERSION, size, 0, root, 0, freelist, pages, transaction)
    page = HEADER.pack(number, META, 0, 0) + body + _CHECKSUM.pack(fnv1a(body))
    return page.ljust(size, b"\0")


def decode_meta(page: bytes) -> Meta | None:
    """The first META_BYTES of a page, if they are a whole meta."""
    if len(page) < META_BYTES or HEADER.unpack_from(page)[1] != META:
        return None
    body = page[HEADER.size : HEADER.size + _META.size]
    magic, version, size, _, root, _, freelist, pages, transaction = _META.unpack(body)
    (checksum,) = _CHECKSUM.unpack_from(page, HEADER.size + _META.size)
    if magic != MAGIC or version != VERSION or size not in PAGE_SIZES or checksum != fnv1a(body):
        return None
    return Meta(size, root, freelist, pages, transaction)


def encode_leaf(number: int, rows: Sequence[Row], flags: int, overflow: int) -> bytes:
    """Without padding."""
    at = ELEMENT_BYTES * len(rows)
    elements: list[int] = []
    parts = [HEADER.pack(number, LEAF, len(rows), overflow), b""]
    for row in rows:
        key_bytes, value_bytes = len(row[0]), len(row[1])
        elements += (flags, at, key_bytes, value_bytes)
        at += key_bytes + value_bytes - ELEMENT_BYTES
        parts += row
    parts[1] = struct.pack(f"<{len(elements)}I", *elements)
    return b"".join(parts)


def encode_branch(number: int, children: Sequence[Child], overflow: int) -> bytes:
    """Without padding."""
    at = ELEMENT_BYTES * len(children)
    elements: list[int] = []
    for key, page in children:
        elements += (at, len(key), page)
        at += len(key) - ELEMENT_BYTES
    header = HEADER.pack(number, BRANCH, len(children), overflow)
    table = struct.pack("<" + "IIQ" * len(children), *elements)
    return b"".join([header, table, *(key for key, _ in children)])


def encode_inline(rows: Sequence[Row]) -> bytes:
    """A small bucket as the value of its row."""
    return BUCKET_HEADER.pack(0, 0) + encode_leaf(0, rows, 0, 0)


def encode_freelist(number: int) -> bytes:
    """One that lists nothing."""
    return HEADER.pack(number, FREELIST, 0, 0)
