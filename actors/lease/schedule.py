"""When to look at which lease again: a heap that may hold more than is alive.

Pure.  An entry is never searched for or moved: whoever revokes a lease just forgets it, and its
entry dies where it lies.  Dead entries are swept when they are the majority, so the heap is
bounded by twice the living and every operation is O(log n), amortised.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

SWEEP_FROM = 64  # entries; below that the dead cost nothing worth a sweep
NEVER = float("inf")


class Schedule(Generic[T]):
    """Things by time, soonest first; of equal times the one filed first.

    Invariant: the top of the heap is alive, so `next_time` means something.
    """

    def __init__(self, is_live: Callable[[T], bool]) -> None:
        self._is_live = is_live
        self._heap: list[tuple[float, int, T]] = []
        self._filed = 0  # things ever filed: breaks ties, and things need not compare
        self._sweep_at = SWEEP_FROM
        self.next_time = NEVER

    def __len__(self) -> int:
        """How many entries there are, dead ones included."""
        return len(self._heap)

    def file(self, time: float, thing: T) -> None:
        self._filed += 1
        heapq.heappush(self._heap, (time, self._filed, thing))
        self.next_time = self._heap[0][0]
        if len(self._heap) >= self._sweep_at:
            self._sweep()

    def fill(self, things: Iterable[tuple[float, T]]) -> None:
        """File many at once, which costs no more than ordering them."""
        filed = enumerate(things, self._filed + 1)
        self._heap += [(time, number, thing) for number, (time, thing) in filed]
        self._filed += len(self._heap)
        self._sweep()

    def pop(self) -> T:
        """The soonest thing, which is alive."""
        thing = heapq.heappop(self._heap)[2]
        self.drop_dead()
        return thing

    def drop_dead(self) -> None:
        """To be called when a thing may have died."""
        while self._heap and not self._is_live(self._heap[0][2]):
            heapq.heappop(self._heap)
        self.next_time = self._heap[0][0] if self._heap else NEVER

    def clear(self) -> None:
        self._heap.clear()
        self.next_time = NEVER

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if self._is_live(entry[2])]
        heapq.heapify(self._heap)
        self._sweep_at = max(SWEEP_FROM, 2 * len(self._heap))
        self.next_time = self._heap[0][0] if self._heap else NEVER
