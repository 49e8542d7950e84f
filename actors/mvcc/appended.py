"""Proposals that this member appended, leading: what each batch of them has come to.

A batch's entries stand one behind the other in the log, so their places say whose results are
whose.  When the leadership was lost, and another leader's entries took some of the places, the
terms tell; when it came back, so may new entries of our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from actors.apply.applier import Result
from actors.apply.stages import Stages
from actors.raft.types import Entry
from wire.errors import LeaderChanged, RequestTimeout


class Answerable(Protocol):
    """Who waits; answered once."""

    @property
    def done(self) -> bool: ...

    def answer(self, value: list[Result]) -> None: ...

    def refuse(self, error: BaseException) -> None: ...


class Span(NamedTuple):
    """Entries that were appended together, and who waits for their results."""

    first: int  # log index
    size: int
    term: int
    reply: Answerable
    stages: Stages | None = None  # for who measures them

    @property
    def last(self) -> int:
        return self.first + self.size - 1


class AppendedProposals:
    """Invariant: each begins behind the beginning of the one before; it may overlap its end."""

    def __init__(self) -> None:
        self._spans: deque[Span] = deque()
        self._results: list[Result] = []  # of the first, as far as it is applied

    def __len__(self) -> int:
        return len(self._spans)

    def expect(self, spans: Sequence[Span]) -> None:
        """Those that begin among the entries that will be applied next."""
        self._spans.extend(spans)

    def give_up(self) -> None:
        """Nobody will know what became of them."""
        for span in self._spans:
            if not span.reply.done:
                span.reply.refuse(RequestTimeout())
        self._spans.clear()
        self._results = []

    def answer(self, entries: Sequence[Entry], results: list[Result], now: float) -> None:
        """Hand out what these entries, which have just been applied, came to."""
        base, last = entries[0].index, entries[-1].index
        while self._spans and self._spans[0].first <= last:
            span = self._spans[0]
            end = span.last if len(self._spans) == 1 else min(span.last, self._spans[1].first - 1)
            start = span.first + len(self._results) - base
            stop = min(end, last) - base + 1
            if start < stop and entries[stop - 1].term == span.term:
                self._results += results[start:stop]
            else:  # another leader's entries took some of the places
                self._results += [
                    result if entry.term == span.term else LeaderChanged()
                    for entry, result in zip(entries[start:stop], results[start:stop], strict=True)
                ]
            if end > last:
                return
            self._spans.popleft()
            if span.stages is not None:
                span.stages.applied = now
            done, self._results = self._results, []
            done += [LeaderChanged() for _ in range(span.size - len(done))]  # cut off
            if not span.reply.done:
                span.reply.answer(done)
