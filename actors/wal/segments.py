"""Segment names: `%016x-%016x.wal`, sequence number and the first index that may be inside.

Source: etcd server/storage/wal/util.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

SEGMENT_BYTES = 64_000_000  # preallocated, and beyond it a segment is cut; etcd's
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
    """The segments among the names in a directory, in order."""
    return sorted(
        Segment(int(match[1], 16), int(match[2], 16))
        for name in names
        if (match := _NAME.fullmatch(name))
    )


def unbroken(found: list[Segment]) -> list[Segment]:
    """The segments at the end between which none is missing."""
    for at in reversed(range(1, len(found))):
        if found[at].sequence != found[at - 1].sequence + 1:
            return found[at:]
    return found


def holding(found: list[Segment], index: int) -> list[Segment]:
    """The segments from the one that holds the entry after `index` on.

    Earlier ones do not matter: a crash may leave some of those that were being removed.

    Raises:
        SegmentsBroken: they begin later, or one is missing.
    """
    for at in reversed(range(len(found))):
        if found[at].first_index <= index:
            break
    else:
        raise SegmentsBroken(f"no segment holds index {index}: the first is {found[0].name}")
    usable = unbroken(found)
    if len(usable) < len(found) - at:
        before = found[-len(usable) - 1]
        raise SegmentsBroken(f"a segment is missing between {before.name} and {usable[0].name}")
    return found[at:]
