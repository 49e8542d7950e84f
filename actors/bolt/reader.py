"""A bbolt file, read by somebody who does not trust it.

Whatever the bytes are, the answer is their rows or one BoltCorrupt that names the page and what
is wrong with it.  A page is visited at most once, so no file can make the reader go round in
circles; nothing is recursive; and nothing is allocated for a size that the file does not have.
Pure: `Source` is a file that somebody else has opened.
Source: bbolt db.go (mmap, meta), bucket.go, cursor.go, tx_check.go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

from actors.bolt.pages import (
    BRANCH,
    BUCKET,
    BUCKET_HEADER,
    ELEMENT_BYTES,
    FREELIST,
    HEADER,
    LEAF,
    MANY,
    META_BYTES,
    NO_FREELIST,
    PAGE_SIZES,
    Meta,
    Row,
    decode_meta,
)

MAX_NODE_BYTES = 256 << 20  # of one page with what overflows; etcd's requests are far smaller


class BoltCorrupt(Exception):
    """The file is not what bbolt writes; the message says where and why."""


class Source(Protocol):
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end."""
        ...


class Element(NamedTuple):
    flags: int
    key: bytes
    value: bytes


class _Pending(NamedTuple):
    """A page to be visited, and which keys it may hold."""

    page: int
    low: bytes
    high: bytes | None  # not itself; None: up to the end


class BoltReader:
    """One file, of which `size` bytes count."""

    def __init__(self, source: Source, size: int | None = None) -> None:
        """Raises BoltCorrupt."""
        self._source = source
        self._size = source.size if size is None else size
        self.meta = self._read_meta()
        if not 2 <= self.meta.root < self.meta.pages:
            raise BoltCorrupt(f"meta: root page {self.meta.root} is not in the file")
        if self.meta.pages * self.meta.page_bytes > self._size:
            raise BoltCorrupt(
                f"meta: {self.meta.pages} pages of {self.meta.page_bytes} bytes are announced, "
                f"the file has {self._size} bytes"
            )
        self._visited = bytearray(self.meta.pages)
        self._visited[:2] = b"\1\1"  # the metas
        self._buckets = self._find_buckets()

    @property
    def size(self) -> int:
        """Bytes of the pages in use; a file may be longer."""
        return self.meta.pages * self.meta.page_bytes

    @property
    def buckets(self) -> list[bytes]:
        """Names, in order."""
        return list(self._buckets)

    def rows(self, bucket: bytes) -> Iterator[Row]:
        """In order; once for each bucket, since a page is visited once.

        Raises:
            BoltCorrupt: on the way, too.
        """
        header = self._buckets[bucket]
        root = BUCKET_HEADER.unpack_from(header)[0]
        if root:
            elements = self._walk(root)
        else:
            name = f"bucket {_shown(bucket)}"
            elements = iter(_elements(header[BUCKET_HEADER.size :], name, 0, LEAF))
            elements = _in_order(elements, b"", None, name)
        for flags, key, value in elements:
            if flags & BUCKET:
                raise BoltCorrupt(f"bucket {_shown(bucket)}: has a bucket inside")
            yield key, value

    # -- How it hangs together

    def _read_meta(self) -> Meta:
        """The newer one of those that are whole."""
        found = [decode_meta(self._source.read(0, META_BYTES))]
        sizes = PAGE_SIZES if found[0] is None else (found[0].page_bytes,)
        for size in sizes:
            meta = decode_meta(self._source.read(size, META_BYTES))
            if meta is not None and meta.page_bytes == size:
                found.append(meta)
        metas = [meta for meta in found if meta is not None]
        if not metas:
            raise BoltCorrupt("no whole meta page: invalid database")
        return max(metas, key=lambda meta: meta.transaction)

    def _find_buckets(self) -> dict[bytes, bytes]:
        """The header of each, with its only page if it is small."""
        found = {}
        for flags, name, header in self._walk(self.meta.root):
            if not flags & BUCKET or len(header) < BUCKET_HEADER.size:
                raise BoltCorrupt(f"page {self.meta.root}: row {_shown(name)} is not a bucket")
            found[name] = header
        return found

    def _walk(self, root: int) -> Iterator[Element]:
        """The rows below a page."""
        pending = [_Pending(root, b"", None)]
        while pending:
            page, low, high = pending.pop()
            node = self._visit(page)
            kind = HEADER.unpack_from(node)[1]
            if kind == LEAF:
                yield from _in_order(
                    iter(_elements(node, f"page {page}", page, LEAF)), low, high, f"page {page}"
                )
                continue
            children = _children(node, page)
            keys = [key for key, _ in children]
            if any(one >= other for one, other in pairwise(keys)):
                raise BoltCorrupt(f"page {page}: keys are not in order")
            if keys[0] < low or (high is not None and keys[-1] >= high):
                raise BoltCorrupt(f"page {page}: a key is outside of what its parent says")
            bounds = [*keys[1:], high]
            pending += reversed(
                [_Pending(at, key, end) for (key, at), end in zip(children, bounds, strict=True)]
            )

    def _visit(self, page: int) -> bytes:
        """A page of a tree with what overflows, all of it."""
        node = self._take(page)
        _, kind, _, _ = HEADER.unpack_from(node)
        if kind not in (BRANCH, LEAF):
            raise BoltCorrupt(f"page {page}: kind {kind:#x} where a branch or leaf must be")
        return node

    def _take(self, page: int) -> bytes:
        """Read a page for the only time."""
        meta = self.meta
        if not 2 <= page < meta.pages:
            raise BoltCorrupt(f"page {page}: out of bounds, there are {meta.pages}")
        header = self._source.read(page * meta.page_bytes, HEADER.size)
        if len(header) < HEADER.size:
            raise BoltCorrupt(f"page {page}: the file ends")
        number, _, _, overflow = HEADER.unpack(header)
        if number != page:
            raise BoltCorrupt(f"page {page}: says that it is page {number}")
        count = overflow + 1
        if page + count > meta.pages or count * meta.page_bytes > MAX_NODE_BYTES:
            raise BoltCorrupt(f"page {page}: cannot have {overflow} more")
        if any(self._visited[page : page + count]):
            raise BoltCorrupt(f"page {page}: multiple references")
        self._visited[page : page + count] = b"\1" * count
        node = self._source.read(page * meta.page_bytes, count * meta.page_bytes)
        if len(node) < count * meta.page_bytes:
            raise BoltCorrupt(f"page {page}: the file ends")
        return node

    # -- What is left over

    def unaccounted(self) -> list[str]:
        """Once all rows were read: pages that are neither in use nor free, or both.

        Raises:
            BoltCorrupt: the freelist is broken.
        """
        if self.meta.freelist == NO_FREELIST:
            return []
        used = bytes(self._visited)
        free = self._free_pages()
        found = []
        for page in free:
            if not 2 <= page < self.meta.pages:
                found.append(f"page {page}: out of bounds, there are {self.meta.pages}")
            elif used[page]:
                found.append(f"page {page}: reachable freed")
            elif self._visited[page]:
                found.append(f"page {page}: already freed")
            else:
                self._visited[page] = 1
        rest = (page for page, seen in enumerate(self._visited) if not seen)
        return found + [f"page {page}: unreachable unfreed" for page in rest]

    def _free_pages(self) -> list[int]:
        page = self.meta.freelist
        node = self._take(page)
        _, kind, count, _ = HEADER.unpack_from(node)
        if kind != FREELIST:
            raise BoltCorrupt(f"page {page}: kind {kind:#x} where the freelist must be")
        at = HEADER.size
        if count == MANY:
            (count,) = struct.unpack_from("<Q", node, at)
            at += 8
        if count > (len(node) - at) // 8:
            raise BoltCorrupt(f"page {page}: {count} free pages do not fit into it")
        return list(struct.unpack_from(f"<{count}Q", node, at))


def _elements(node: bytes, where: str, page: int, kind: int) -> list[Element]:
    """The rows of a leaf, with every bound checked."""
    if len(node) < HEADER.size:
        raise BoltCorrupt(f"{where}: too short for a page")
    number, found, count, _ = HEADER.unpack_from(node)
    if number != page or found != kind:
        raise BoltCorrupt(f"{where}: kind {found:#x} where a leaf must be")
    table = HEADER.size + ELEMENT_BYTES * count
    if table > len(node):
        raise BoltCorrupt(f"{where}: {count} rows do not fit into it")
    fields = iter(struct.unpack_from(f"<{4 * count}I", node, HEADER.size))
    size = len(node)
    rows: list[Element] = []
    element = HEADER.size
    for flags, position, key_bytes, value_bytes in zip(fields, fields, fields, fields, strict=True):
        start = element + position
        middle = start + key_bytes
        end = middle + value_bytes
        if start < table or end > size or not key_bytes or flags > BUCKET:
            raise BoltCorrupt(f"{where}: row {len(rows)} of {count} is not in it")
        rows.append(Element(flags, node[start:middle], node[middle:end]))
        element += ELEMENT_BYTES
    return rows


def _children(node: bytes, page: int) -> list[tuple[bytes, int]]:
    """Those of a branch, with every bound checked."""
    count = HEADER.unpack_from(node)[2]
    table = HEADER.size + ELEMENT_BYTES * count
    if not count or table > len(node):
        raise BoltCorrupt(f"page {page}: a branch cannot have {count} children")
    found: list[tuple[bytes, int]] = []
    for element in range(HEADER.size, table, ELEMENT_BYTES):
        position, key_bytes, child = struct.unpack_from("<IIQ", node, element)
        start = element + position
        if start < table or start + key_bytes > len(node):
            raise BoltCorrupt(f"page {page}: child {len(found)} of {count} is not in it")
        found.append((node[start : start + key_bytes], child))
    return found


def _in_order(
    elements: Iterator[Element], low: bytes, high: bytes | None, where: str
) -> Iterator[Element]:
    """The same, if their keys rise and are those that the parent says."""
    last = b""
    for element in elements:
        key = element.key
        if key <= last:
            raise BoltCorrupt(f"{where}: keys are not in order")
        if key < low or (high is not None and key >= high):
            raise BoltCorrupt(f"{where}: a key is outside of what its parent says")
        yield element
        last = key


def _shown(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace"))
