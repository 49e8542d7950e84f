"""Linearizable reads without a log entry: rounds that prove the leader still leads.

A read may be answered from any state that includes everything committed when it was asked.  The
leader's commit index is such a state if it leads *after* the read came in, and a quorum that
answers a heartbeat sent after that proves it.  So reads gather until a round is opened; a round
takes the commit index, sends its number with every heartbeat from then on, and is confirmed when a
quorum has returned that number or a later one.  A read that comes in while a round is under way
waits for the next: an earlier round proves nothing about it.
Source: Raft thesis §6.4; etcd-io/raft read_only.go.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from actors.raft.configuration import Configuration
from actors.raft.errors import TooManyReads
from actors.raft.types import NodeID


class WaitingRead(NamedTuple):
    asker: NodeID
    token: int  # the asker's name for it


@dataclass(slots=True)
class _Round:
    number: int
    index: int
    reads: list[WaitingRead]


class ReadRounds:
    """The reads of one leadership.  Numbers ascend and are never used twice within it."""

    def __init__(self, node: NodeID, max_reads: int) -> None:
        self._node = node
        self._max_reads = max_reads
        self._gathering: list[WaitingRead] = []
        self._open: deque[_Round] = deque()
        self._open_reads = 0
        self._last_number = 0
        self._returned: dict[NodeID, int] = {}  # the highest number each member has returned

    @property
    def gathering(self) -> bool:
        return bool(self._gathering)

    @property
    def context(self) -> int:
        """What a heartbeat sent now must carry: the newest open round, or 0."""
        return self._last_number if self._open else 0

    def add(self, asker: NodeID, token: int) -> None:
        """Raises TooManyReads."""
        if len(self._gathering) + self._open_reads >= self._max_reads:
            raise TooManyReads(f"{self._max_reads} reads are waiting")
        self._gathering.append(WaitingRead(asker, token))

    def open(self, commit_index: int) -> None:
        """Begin a round for everything that gathered; heartbeats must be sent after this."""
        self._last_number += 1
        self._open.append(_Round(self._last_number, commit_index, self._gathering))
        self._open_reads += len(self._gathering)
        self._gathering = []
        self._returned[self._node] = self._last_number

    def returned(self, node: NodeID, number: int) -> None:
        """`node` answered a heartbeat that carried `number`."""
        if self._returned.get(node, 0) < number <= self._last_number:
            self._returned[node] = number

    def confirmed(self, configuration: Configuration) -> list[tuple[WaitingRead, int]]:
        """The reads that may be answered, each with its index; each is returned once."""
        if not self._open:
            return []
        proven = configuration.agreed_index(self._returned)
        reads = []
        while self._open and self._open[0].number <= proven:
            finished = self._open.popleft()
            self._open_reads -= len(finished.reads)
            reads += [(read, finished.index) for read in finished.reads]
        return reads
