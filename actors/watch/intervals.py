"""Which ranges hold a key: asked once for every change of the store.

A balanced (AVL) search tree of half-open ranges [start, end), ordered by start and then end,
in which every node also knows the greatest end below it.  A question walks down from the root
and leaves out each subtree whose greatest end is not past the key, and, right of a node that
starts past the key, everything: O(log n) steps for a key in no range, and as much again for
each range found.  Ranges without an end would make every subtree worth a visit, so they stand
in a sorted list of their own, where those that hold a key are simply the first few.

Pure.  Source: Cormen et al., Introduction to Algorithms, "Interval trees"; etcd pkg/adt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from sortedcontainers import SortedDict

T = TypeVar("T")


class _Node(Generic[T]):
    """Invariant: `height` and `max_end` are right for the subtree; its sides differ by <= 1."""

    __slots__ = ("end", "height", "left", "max_end", "right", "start", "value")

    def __init__(self, start: bytes, end: bytes, value: T) -> None:
        self.start = start
        self.end = end
        self.value = value
        self.left: _Node[T] | None = None
        self.right: _Node[T] | None = None
        self.height = 1
        self.max_end = end

    def refresh(self) -> None:
        """After a child changed."""
        left, right = self.left, self.right
        height, max_end = 0, self.end
        if left is not None:
            height = left.height
            max_end = max(max_end, left.max_end)
        if right is not None:
            height = max(height, right.height)
            max_end = max(max_end, right.max_end)
        self.height, self.max_end = height + 1, max_end


class Intervals(Generic[T]):
    """One value a range.  An end of None is no end at all."""

    def __init__(self) -> None:
        self._root: _Node[T] | None = None
        self._endless: SortedDict = SortedDict()  # start -> value
        self._values: dict[tuple[bytes, bytes | None], T] = {}

    def __len__(self) -> int:
        return len(self._values)

    def values(self) -> Iterable[T]:
        """Oldest first."""
        return self._values.values()

    def get(self, start: bytes, end: bytes | None) -> T | None:
        return self._values.get((start, end))

    def add(self, start: bytes, end: bytes | None, value: T) -> None:
        """A range that is not there yet."""
        self._values[start, end] = value
        if end is None:
            self._endless[start] = value
        else:
            self._root = _insert(self._root, _Node(start, end, value))

    def remove(self, start: bytes, end: bytes | None) -> None:
        """A range that is there."""
        del self._values[start, end]
        if end is None:
            del self._endless[start]
        else:
            self._root = _remove(self._root, start, end)

    def holding(self, key: bytes) -> list[T]:
        """The values of the ranges that hold `key`, ordered by start, the endless ones last."""
        found: list[T] = []
        waiting: list[_Node[T]] = []  # nodes that start at or before the key, left side pending
        node = self._root
        while True:
            # Down the left side as far as anything there ends past the key.
            while node is not None and node.max_end > key:
                waiting.append(node)
                node = node.left
            if not waiting:
                break
            node = waiting.pop()
            if node.start > key:  # and so does everything to its right, and all that waits
                break
            if node.end > key:
                found.append(node.value)
            node = node.right
        if self._endless:
            found += self._endless.values()[: self._endless.bisect_right(key)]
        return found


def _insert(node: _Node[T] | None, new: _Node[T]) -> _Node[T]:
    if node is None:
        return new
    if (new.start, new.end) < (node.start, node.end):
        node.left = _insert(node.left, new)
    else:
        node.right = _insert(node.right, new)
    return _balanced(node)


def _remove(node: _Node[T] | None, start: bytes, end: bytes) -> _Node[T] | None:
    if node is None:
        return None
    if (start, end) == (node.start, node.end):
        if node.left is None:
            return node.right
        if node.right is None:
            return node.left
        heir = node.right
        while heir.left is not None:
            heir = heir.left
        node.right = _remove(node.right, heir.start, heir.end)
        node.start, node.end, node.value = heir.start, heir.end, heir.value
    elif (start, end) < (node.start, node.end):
        node.left = _remove(node.left, start, end)
    else:
        node.right = _remove(node.right, start, end)
    return _balanced(node)


def _balanced(node: _Node[T]) -> _Node[T]:
    """`node`, or the node that takes its place, with sides that differ by at most one."""
    lean = _height(node.left) - _height(node.right)
    if lean > 1 and node.left is not None:
        if _height(node.left.left) < _height(node.left.right):
            node.left = _rotated_left(node.left)
        return _rotated_right(node)
    if lean < -1 and node.right is not None:
        if _height(node.right.right) < _height(node.right.left):
            node.right = _rotated_right(node.right)
        return _rotated_left(node)
    node.refresh()
    return node


def _height(node: _Node[T] | None) -> int:
    return node.height if node is not None else 0


def _rotated_right(node: _Node[T]) -> _Node[T]:
    top = node.left
    assert top is not None
    node.left, top.right = top.right, node
    node.refresh()
    top.refresh()
    return top


def _rotated_left(node: _Node[T]) -> _Node[T]:
    top = node.right
    assert top is not None
    node.right, top.left = top.left, node
    node.refresh()
    top.refresh()
    return top
