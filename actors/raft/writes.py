"""What goes to disk, and what may be said only when it is there.

A member is in effect the state it would have after a crash, so nothing it says may depend on what
that crash could undo.  Acknowledgements, votes and requests for votes are *held*: tied to the
newest write at that time, which with those before it contains all they can depend on, they are
free once it is durable.  (Requests for votes too: a candidate that lost its term in a crash would
campaign in it again, perhaps with a shorter log, and count grants that were meant for the longer.)
Source: Raft thesis §3.8; etcd-io/raft doc.go and raft.go (asynchronous storage writes).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from actors.raft.log import Log
from actors.raft.ready import Write
from actors.raft.types import HardState, Message, NodeID, Snapshot
from wire.invariant import invariant


class _Held(NamedTuple):
    receipt: int
    messages: list[Message]


class Writes:
    """The writes of one member, in order; several may be under way.

    Invariant: what was held earlier is free no later.
    """

    def __init__(self, hard_state: HardState) -> None:
        self._last: HardState = hard_state  # handed out to be written
        self._last_receipt = 0
        self._durable_receipt = 0
        self._unwritten: list[Message] = []  # held, and wait for the next write
        self._held: deque[_Held] = deque()

    def hold(self, message: Message) -> None:
        """Keep `message` until everything decided up to now is on disk."""
        self._unwritten.append(message)

    def begin(
        self, log: Log, term: int, vote: NodeID, snapshot: Snapshot | None
    ) -> tuple[Write | None, list[Message]]:
        """What to write now, and the messages that depend on no write at all."""
        last = self._last
        commit = log.committed
        voted = term != last.term or vote != last.vote
        hard_state = None
        if voted or commit != last.commit:
            hard_state = self._last = HardState(term, vote, commit)
        # A commit index alone is not worth an fsync, unless a configuration depends on it.
        if voted or log.unwritten or snapshot or log.commits_conf_change_after(last.commit):
            self._last_receipt += 1
            entries = log.begin_write(self._last_receipt)
            write = Write(self._last_receipt, snapshot, entries, hard_state)
        elif hard_state:
            write = Write(None, None, [], hard_state)
        else:
            write = None
        return write, self._tie() if self._unwritten else []

    def _tie(self) -> list[Message]:
        """Tie what is held to the newest write; if all are done it is free."""
        messages, self._unwritten = self._unwritten, []
        if self._durable_receipt == self._last_receipt:
            return messages
        self._held.append(_Held(self._last_receipt, messages))
        return []

    def finish(self, log: Log, receipt: int) -> list[Message]:
        """The write with this receipt and all before it are durable; the messages set free."""
        invariant(receipt <= self._last_receipt, "only what was asked for is written")
        self._durable_receipt = max(self._durable_receipt, receipt)
        log.end_writes(receipt)
        free: list[Message] = []
        while self._held and self._held[0].receipt <= receipt:
            free += self._held.popleft().messages
        return free
