"""Segment names: `%016x-%016x.wal`, sequence number and the first index that may be inside.

Source: etcd server/storage/wal/util.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

SEGMENT_BYTES = 64 << 20  # beyond this a segment is cut; etcd's
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")


class Segment(NamedTuple):
    sequence: int
    first_index: int

    @property
    def name(self) -> str:
        return f"{self.sequence:016x}-{self.first_index:016x}.wal"


class SegmentsBroken(Exception):
    """The directory's segments are not a log: one is missing, or none holds what is needed."""


def segments(names: Iterable[str]) -> list[Segment]:
    """The segments among the names in a directory, in order.

    Raises:
        SegmentsBroken: there is a gap.
    """
    found = sorted(
        Segment(int(match[1], 16), int(match[2], 16))
        for name in names
        if (match := _NAME.fullmatch(name))
    )
    for before, after in pairwise(found):
        if after.sequence != before.sequence + 1:
            raise SegmentsBroken(f"a segment is missing between {before.name} and {after.name}")
    return found


def holding(found: list[Segment], index: int) -> list[Segment]:
    """The segments from the one that holds the entry after `index` on.

    Raises:
        SegmentsBroken: they begin later.
    """
    for at in reversed(range(len(found))):
        if found[at].first_index <= index:
            return found[at:]
    raise SegmentsBroken(f"no segment holds index {index}: the first is {found[0].name}")
