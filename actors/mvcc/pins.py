"""Which revisions somebody is still reading, so that compaction leaves their rows.

A long listing reads a slice at a time.  While it runs, what its revision can see must stay,
even if a compaction meanwhile says that nobody may *begin* to read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pins:
    def __init__(self) -> None:
        self._readers: dict[int, int] = {}  # revision -> readers
        self.released: Callable[[], None] = lambda: (
            None
        )  # called when a reader is done; set by whoever waits

    @contextmanager
    def at(self, revision: int) -> Iterator[None]:
        """Keep what `revision` can see, while inside."""
        self._readers[revision] = self._readers.get(revision, 0) + 1
        try:
            yield
        finally:
            self._readers[revision] -= 1
            if not self._readers[revision]:
                del self._readers[revision]
            self.released()

    def below(self, revision: int) -> bool:
        """Whether somebody reads at a revision before this one."""
        return any(pinned < revision for pinned in self._readers)
