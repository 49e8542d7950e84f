"""Which keys a user may read, or write: all his permissions as one sorted row of ranges.

A permission is on a key, on [key, end), or, with an end of NUL, on everything from key on.
Permissions that touch or overlap count as one, so a request may lie across several of them.
Pure.  Source: etcd server/auth/range_perm_cache.go, pkg/adt/interval_tree.go (Contains).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

OPEN_END = b"\0"  # stands for no end at all

Bounds = tuple[bytes, bytes | None]
"""The first key, and the first one past the last; None: there is no such."""


def bounds_of(key: bytes, range_end: bytes) -> Bounds:
    """The keys that a permission or a request names."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == OPEN_END else range_end


def is_valid(key: bytes, range_end: bytes) -> bool:
    """Whether a permission may be given on these keys."""
    return bool(key) and (not range_end or range_end == OPEN_END or key < range_end)


class KeyRanges:
    """Invariant: `_starts` ascends, and every range ends before the next one starts."""

    def __init__(self, permissions: Iterable[tuple[bytes, bytes]]) -> None:
        """Of (key, range_end) as in permissions, in any order.

        Those of no key at all, which releases before 3.5 took, permit nothing.
        """
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []
        given = (bounds_of(key, end) for key, end in permissions if is_valid(key, end))
        for start, end in sorted(given, key=lambda bounds: bounds[0]):
            self._add(start, end)

    def _add(self, start: bytes, end: bytes | None) -> None:
        if self._starts:
            last = self._ends[-1]
            if last is None:
                return
            if start <= last:
                self._ends[-1] = None if end is None else max(last, end)
                return
        self._starts.append(start)
        self._ends.append(end)

    def cover(self, key: bytes, range_end: bytes) -> bool:
        """Whether all the keys of a request are in here.

        Of a range that ends before it starts only the start counts, as in etcd.
        """
        at = bisect_right(self._starts, key) - 1
        if at < 0:
            return False
        last = self._ends[at]
        if last is None:
            return True
        end = bounds_of(key, range_end)[1]
        return key < last and end is not None and end <= last
