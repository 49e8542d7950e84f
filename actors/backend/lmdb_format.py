"""Whether the bytes of a file are a whole LMDB database, told without LMDB.

LMDB trusts its files: it maps them and follows page numbers wherever they lead, so a file that
was cut short or tampered with ends the process with SIGBUS or worse instead of an error.  So
every page that can be reached is looked at first: it is in the file, it is what it is said to
be, and what is in it lies in it.  Costs 0.4 s for a million rows.

What a database looks like (0.9, 64-bit, little-endian).  Pages 0 and 1 hold a meta record each;
the one with the higher transaction number counts.  It names the root pages of two B-trees: the
free list, and the main one, whose rows are the named databases, each again a tree with a root.
Pages hold nodes, found through a table of offsets that grows from the front while the nodes
grow from the back.  A value too large for a node stands in pages of its own.
Not looked at: the order of keys, and which pages are free.

Pure.  Source: LMDB libraries/liblmdb/mdb.c (MDB_page, MDB_node, MDB_db, MDB_meta).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = 0xBEEFC0DE
DATA_VERSION = 1  # LMDB 0.9; py-lmdb also bundles 1.0, which writes another
NO_PAGE = (1 << 64) - 1  # the root of an empty tree

_META = struct.Struct("<16xII8xQ48s48sQQ")  # magic, version, map size, free list, main, last, txn
_TREE = struct.Struct("<IHHQQQQQ")  # pad, flags, depth, branch, leaf, overflow pages, rows, root
_PAGE = struct.Struct("<QHHHH")  # number, pad, flags, lower, upper
_OVERFLOW = struct.Struct("<QHHI")  # number, pad, flags, pages
_NODE = struct.Struct("<HHHH")  # low, high, flags, key size
_PAGE_NUMBER = struct.Struct("<Q")

_BRANCH, _LEAF, _LARGE, _DIRTY = 0x01, 0x02, 0x04, 0x10  # flags of a page
_VALUE_ELSEWHERE, _IS_TREE = 0x01, 0x02  # flags of a node


class NotOurDatabase(Exception):
    """A file that must not be opened: says what it is and what to do."""


class Tree(NamedTuple):
    """A B-tree as the row that names it says."""

    depth: int
    root: int

    @staticmethod
    def of(record: bytes) -> Tree:
        _, _, depth, _, _, _, _, root = _TREE.unpack(record)
        return Tree(depth, root)


def check_kind(head: bytes) -> int:
    """The page size of the database that begins with `head` (100 bytes or more).

    Raises:
        NotOurDatabase: it is none, or one of the other engine's.
    """
    if len(head) < _META.size or _META.unpack_from(head)[0] != MAGIC:
        raise NotOurDatabase("is not an LMDB database")
    version = _META.unpack_from(head)[1]
    if version != DATA_VERSION:
        raise NotOurDatabase(
            f"was written by an LMDB with data version {version}; "
            f"this release reads version {DATA_VERSION} (LMDB 0.9)"
        )
    page_bytes: int = _TREE.unpack(_META.unpack_from(head)[3])[0]
    if page_bytes < 512 or page_bytes > 65536 or page_bytes & (page_bytes - 1):
        raise NotOurDatabase(f"is damaged: it claims pages of {page_bytes} bytes")
    return page_bytes


def check_database(data: memoryview) -> int:
    """Look at every page of a file's content; returns the number of bytes in use.

    Raises:
        NotOurDatabase: the file is not LMDB's, or not whole.
    """
    page_bytes = check_kind(bytes(data[: _META.size]))
    check = _Check(data, page_bytes)
    try:
        free, main = check.newest_trees()
        for _ in check.rows(free):
            pass
        for record in check.rows(main):
            for _ in check.rows(Tree.of(record)):
                pass
    except struct.error as error:
        raise NotOurDatabase(f"is damaged: {error}") from error
    return (check.seen.count(1) + 2) * page_bytes


class _Check:
    def __init__(self, data: memoryview, page_bytes: int) -> None:
        self._data = data
        self._page_bytes = page_bytes
        self._pages = len(data) // page_bytes
        self.seen = bytearray(self._pages)  # 1 for pages that were reached

    def newest_trees(self) -> tuple[Tree, Tree]:
        """The free list and the main tree."""
        if self._pages < 2:
            raise NotOurDatabase("is damaged: it ends inside its first two pages")
        found = []
        for number in (0, 1):
            magic, version, _, free, main, _, transaction = _META.unpack_from(
                self._data, number * self._page_bytes
            )
            if (magic, version) != (MAGIC, DATA_VERSION):
                raise NotOurDatabase(f"is damaged: page {number} is no meta page")
            found.append((transaction, Tree.of(free), Tree.of(main)))
        _, free_list, main_tree = max(found, key=lambda each: each[0])
        return free_list, main_tree

    def rows(self, tree: Tree) -> Iterator[bytes]:
        """Walk a tree and yield the rows in it that are trees themselves."""
        if tree.root == NO_PAGE:
            return
        level = [tree.root]
        for _ in range(tree.depth - 1):
            level = [child for number in level for child in self._children(number)]
        for number in level:
            yield from self._leaf(number)

    def _page(self, number: int, kind: int) -> int:
        """Mark a page as reached and return where it begins."""
        if not 2 <= number < self._pages:
            raise NotOurDatabase(
                f"is damaged: page {number} is needed, but it ends after {self._pages} pages"
            )
        at = number * self._page_bytes
        own, _, flags, *_ = _PAGE.unpack_from(self._data, at)
        if own != number or flags & ~_DIRTY != kind or self.seen[number]:
            raise NotOurDatabase(f"is damaged: page {number} is not what it should be")
        self.seen[number] = 1
        return at

    def _nodes(self, number: int, kind: int) -> tuple[int, tuple[int, ...]]:
        """Where a page begins, and where its nodes are in it."""
        at = self._page(number, kind)
        _, _, _, lower, upper = _PAGE.unpack_from(self._data, at)
        if not _PAGE.size <= lower <= upper <= self._page_bytes:
            raise NotOurDatabase(f"is damaged: the bounds of page {number}")
        nodes = struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", self._data, at + _PAGE.size)
        if nodes and (min(nodes) < upper or max(nodes) > self._page_bytes - _NODE.size):
            raise NotOurDatabase(f"is damaged: a node of page {number}")
        return at, nodes

    def _children(self, number: int) -> Iterator[int]:
        at, nodes = self._nodes(number, _BRANCH)
        for node in nodes:
            low, high, top, key_bytes = _NODE.unpack_from(self._data, at + node)
            if node + _NODE.size + key_bytes > self._page_bytes:
                raise NotOurDatabase(f"is damaged: a node of page {number}")
            yield low | high << 16 | top << 32

    def _leaf(self, number: int) -> Iterator[bytes]:
        at, nodes = self._nodes(number, _LEAF)
        data, page_bytes, unpack = self._data, self._page_bytes, _NODE.unpack_from
        for node in nodes:
            low, high, flags, key_bytes = unpack(data, at + node)
            size = low | high << 16
            value = node + 8 + key_bytes
            if not flags:
                if value + size > page_bytes:
                    raise NotOurDatabase(f"is damaged: a row of page {number}")
            elif flags == _VALUE_ELSEWHERE and value + _PAGE_NUMBER.size <= page_bytes:
                self._large(_PAGE_NUMBER.unpack_from(data, at + value)[0], size)
            elif flags == _IS_TREE and size == _TREE.size and value + size <= page_bytes:
                yield bytes(data[at + value : at + value + size])
            else:
                raise NotOurDatabase(f"is damaged: a row of page {number}")

    def _large(self, number: int, size: int) -> None:
        """A value in pages of its own, behind a page header."""
        at = self._page(number, _LARGE)
        pages = _OVERFLOW.unpack_from(self._data, at)[3]
        rest = slice(number + 1, number + pages)
        if (
            pages * self._page_bytes < _PAGE.size + size
            or rest.stop > self._pages
            or any(self.seen[rest])
        ):
            raise NotOurDatabase(f"is damaged: a large value in page {number}")
        self.seen[rest] = b"\1" * (pages - 1)
