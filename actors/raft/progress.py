"""One follower as its leader sees it: what it has, what it was sent, how fast to go on.

    PROBE      where the logs agree is a guess: one message, then wait for its answer
    REPLICATE  it is known: send ahead of the answers, as far as the window goes
    SNAPSHOT   what it needs is compacted: wait until a snapshot has arrived

Source: etcd-io/raft tracker/{progress,inflights,state}.go; Raft thesis §3.5, §10.2.1 (pipelining).
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum


class ProgressState(IntEnum):
    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


class Inflights:
    """The messages with entries that a follower has not yet acknowledged, oldest first."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._sent: deque[tuple[int, int]] = deque()  # (last index, bytes)
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def full(self) -> bool:
        return len(self._sent) >= self._max_messages or self.size_bytes >= self._max_bytes

    def add(self, last_index: int, size_bytes: int) -> None:
        self._sent.append((last_index, size_bytes))
        self.size_bytes += size_bytes

    def free_through(self, index: int) -> None:
        while self._sent and self._sent[0][0] <= index:
            self.size_bytes -= self._sent.popleft()[1]

    def clear(self) -> None:
        self._sent.clear()
        self.size_bytes = 0


class Progress:
    """Invariant: match < next; `inflights` is empty unless the state is REPLICATE."""

    __slots__ = (
        "commit",
        "inflights",
        "match",
        "next",
        "paused",
        "pending_snapshot",
        "recent_active",
        "sent_commit",
        "state",
        "wants_append",
    )

    def __init__(self, next_index: int, inflights: Inflights, *, recent_active: bool) -> None:
        self.state = ProgressState.PROBE
        self.match = 0  # the highest index known to be durable there
        self.next = next_index  # the next to send
        self.commit = 0  # what it says is committed
        self.sent_commit = 0  # the highest commit index it was told, unless that was lost
        self.pending_snapshot = 0  # SNAPSHOT: the index it will have at least
        self.recent_active = recent_active  # heard from since the last check of the quorum
        self.paused = False  # PROBE: an answer is awaited (at the latest to a heartbeat)
        self.wants_append = False  # send one even if it is empty: something may be lost
        self.inflights = inflights

    @property
    def may_send(self) -> bool:
        return self.state is not ProgressState.SNAPSHOT and not self.paused

    def lacks(self, last_index: int, commit: int) -> bool:
        """Whether there is anything to tell it: entries, a commit index, or a probe."""
        return (
            self.next <= last_index
            or self.wants_append
            or self.state is ProgressState.PROBE
            or (self.sent_commit < commit and self.sent_commit < self.next - 1)
        )

    def sent(self, count: int, size_bytes: int, commit: int) -> None:
        """An append with `count` entries and this commit index is on its way."""
        self.wants_append = False
        if self.state is ProgressState.PROBE:
            self.paused = True
            told = self.next - 1 + count
        else:
            told = self.next - 1 + count
            self.next += count
            if count:
                self.inflights.add(told, size_bytes)
        self.sent_commit = max(self.sent_commit, min(commit, told))

    def acknowledged(self, index: int) -> bool:
        """It has everything through `index`; whether that is news."""
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        self.inflights.free_through(index)
        self.paused = False
        return True

    def rejected(self, index: int, hint: int) -> bool:
        """It did not have the entry at `index`; `hint` is the last that may match.

        False when that is old news: a rejection at or below `match`, or of a probe that is not
        the last one, was sent before something that is already known.
        """
        if self.state is ProgressState.REPLICATE:
            if index <= self.match:
                return False
            self.become_probe()
            return True
        if self.state is ProgressState.SNAPSHOT or self.next - 1 != index:
            return False
        self.next = max(min(index, hint + 1), self.match + 1)
        self.sent_commit = min(self.sent_commit, self.next - 1)
        self.paused = False
        return True

    def become_probe(self, *, paused: bool = False) -> None:
        if self.state is ProgressState.SNAPSHOT:
            self.next = max(self.match, self.pending_snapshot) + 1
        else:
            self.next = self.match + 1
        self._become(ProgressState.PROBE)
        self.sent_commit = min(self.sent_commit, self.next - 1)
        self.paused = paused

    def become_replicate(self) -> None:
        self._become(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._become(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def _become(self, state: ProgressState) -> None:
        self.state = state
        self.paused = self.wants_append = False
        self.pending_snapshot = 0
        self.inflights.clear()
