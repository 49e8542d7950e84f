"""Who waits for which entries: what this member appended as leader, in log order."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from actors.apply.stages import Stages
from wire.errors import EtcdError, LeaderChanged, RequestTimeout


class Awaited(Protocol):
    """The reply that somebody waits for."""

    @property
    def done(self) -> bool: ...

    def refuse(self, error: EtcdError, /) -> None: ...


class Appended(Protocol):
    """Entries that were appended together."""

    @property
    def first(self) -> int: ...  # log index

    @property
    def last(self) -> int: ...

    @property
    def reply(self) -> Awaited: ...

    @property
    def stages(self) -> Stages | None: ...  # for who measures them


S = TypeVar("S", bound=Appended)


class Spans(Generic[S]):
    """From the log to the state machine, and the stages of those that are measured.

    Invariant: each begins behind the beginning of the one before.  Those at whose places this
    member, leading again, has appended anew are lost: its log does not have them, so nobody's will.
    """

    def __init__(self) -> None:
        self._waiting: deque[S] = deque()
        # Of those whose stages are measured:
        self._unproposed: list[Stages] = []
        self._unwritten: deque[S] = deque()

    def append(self, span: S, now: float) -> None:
        waiting = self._waiting
        while waiting and waiting[-1].first >= span.first:
            lost = waiting.pop()
            if not lost.reply.done:
                lost.reply.refuse(LeaderChanged())
        waiting.append(span)
        if span.stages is not None:
            span.stages.queued = now
            self._unwritten.append(span)
            self._unproposed.append(span.stages)

    @property
    def has_unproposed(self) -> bool:
        """Whether `proposed` has anything to note."""
        return bool(self._unproposed)

    @property
    def has_unwritten(self) -> bool:
        """Whether `written` may have anything to note."""
        return bool(self._unwritten)

    def proposed(self, at: float) -> None:
        """All of them have been given to the log."""
        for stages in self._unproposed:
            stages.proposed = at
        self._unproposed.clear()

    def written(self, stable: int, at: float) -> None:
        """Everything through the entry at `stable` is durable."""
        while self._unwritten and self._unwritten[0].last <= stable:
            stages = self._unwritten.popleft().stages
            assert stages is not None
            stages.written = at

    def committed(self, last: int, at: float) -> list[S]:
        """Those that begin at or before the entry at `last`; they wait here no longer."""
        waiting = self._waiting
        found: list[S] = []
        while waiting and waiting[0].first <= last:
            span = waiting.popleft()
            if span.stages is not None:
                span.stages.committed = at
            found.append(span)
        return found

    def forget_stages(self) -> None:
        """Others may stand in their places now."""
        self._unproposed.clear()
        self._unwritten.clear()

    def give_up(self) -> None:
        """A leader's snapshot takes the log's place: nobody knows whether they are in it."""
        for span in self._waiting:
            if not span.reply.done:
                span.reply.refuse(RequestTimeout())
        self._waiting.clear()
