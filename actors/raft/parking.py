"""Proposals that wait until there is a leader, and a way to it.

What is sent to a leader whose connection broke may get lost, and nobody would know: only its
proposer's deadline would tell.  Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from actors.raft.types import NO_NODE, NodeID

MOST = 1024  # batches that wait
SECONDS = 5.0  # after which whoever proposed has given up, or soon will
P = TypeVar("P")


class Parking(Generic[P]):
    def __init__(self) -> None:
        self._waiting: deque[tuple[float, P]] = deque()
        self.lost: NodeID = NO_NODE  # a leader whose connection broke, and who is silent since

    def heard(self, sender: NodeID) -> bool:
        """Whether that is the leader who was lost; it is not any more."""
        if not self.lost or sender != self.lost:
            return False
        self.lost = NO_NODE
        return True

    def led_by(self, leader: NodeID) -> None:
        """Whoever leads now has not been lost, unless it still is the same."""
        if leader != self.lost:
            self.lost = NO_NODE

    def add(self, proposal: P, now: float) -> bool:
        """False if too many wait already."""
        if len(self._waiting) >= MOST:
            return False
        self._waiting.append((now, proposal))
        return True

    def take(self, now: float) -> list[P]:
        """All that wait, in order, but for those that nobody waits for any more."""
        waiting, self._waiting = self._waiting, deque()
        return [proposal for since, proposal in waiting if now - since < SECONDS]
