"""When the store was at which revision, as this member has seen it: to the second.

Pure: told the time and the revision.  etcd knows no such thing; revisions have no times.  Each
second that brought changes has an entry, the revision at its end.  When there are too many, the
older half is kept by every other entry, so that what lies far back is known less exactly.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import NamedTuple

MOST_SECONDS = 100_000  # entries: 1.6 MB; more than a day of writes without a pause


class Known(NamedTuple):
    revision: int
    since: int  # unix seconds: from then on it was at this revision, until the next entry


class RevisionTimes:
    """Invariant: times grow strictly, revisions do not fall."""

    def __init__(self, unix_seconds: float, revision: int) -> None:
        """The store is at `revision` now; what was before is not known."""
        self._seconds = array("q", [int(unix_seconds)])
        self._revisions = array("q", [revision])

    @property
    def known_since(self) -> int:
        """Unix seconds."""
        return self._seconds[0]

    def note(self, unix_seconds: float, revision: int) -> None:
        """The store has come to a revision.  A clock that went back counts as standing still."""
        second = max(int(unix_seconds), self._seconds[-1])
        if second == self._seconds[-1]:
            self._revisions[-1] = revision
            return
        self._seconds.append(second)
        self._revisions.append(revision)
        if len(self._seconds) > MOST_SECONDS:
            self._thin_out()

    def at(self, unix_seconds: float) -> Known | None:
        """The revision at the end of a second; None: from before anything is known."""
        place = bisect_right(self._seconds, int(unix_seconds)) - 1
        if place < 0:
            return None
        return Known(self._revisions[place], self._seconds[place])

    def _thin_out(self) -> None:
        half = len(self._seconds) // 2
        for kept in (self._seconds, self._revisions):
            kept[:half] = kept[:half:2]
