"""Batches that this member appended, leading: everybody hears once, and what is true."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from actors.apply.applier import Result
from actors.mvcc.appended import AppendedProposals, Span
from actors.raft.spans import Spans
from actors.raft.types import Entry, EntryType
from wire.errors import LeaderChanged, RequestTimeout

STEPS = 200


@dataclass(eq=False)
class Heard:
    """A reply that may be given once."""

    names: list[bytes]  # of the entries that were proposed
    results: list[Result] | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.results is not None or self.error is not None

    def answer(self, value: list[Result]) -> None:
        assert not self.done
        self.results = value

    def refuse(self, error: BaseException) -> None:
        assert not self.done
        self.error = error


@dataclass
class Member:
    """A member's log, as it leads, loses the leadership, and leads again."""

    log: list[Entry] = field(default_factory=list)
    committed: int = 0
    term: int = 1
    leads: bool = True
    spans: Spans[Span] = field(default_factory=Spans)
    appended: AppendedProposals = field(default_factory=AppendedProposals)
    applied: set[bytes] = field(default_factory=set)
    heard: list[Heard] = field(default_factory=list)

    def _append(self, data: bytes) -> None:
        self.log.append(Entry(EntryType.NORMAL, self.term, len(self.log) + 1, data))

    def propose(self, size: int) -> Heard:
        assert self.leads
        heard = Heard([b"%d-%d" % (len(self.heard), number) for number in range(size)])
        self.heard.append(heard)
        self.spans.append(Span(len(self.log) + 1, size, self.term, heard), 0.0)
        for name in heard.names:
            self._append(name)
        return heard

    def follow(self, keep: int, others: int) -> None:
        """Another leads: the log is cut after `keep`, and gets entries of the other's."""
        assert keep >= self.committed
        self.leads = False
        self.term += 1
        del self.log[keep:]
        for _ in range(others):
            self._append(b"other")

    def lead(self) -> None:
        self.leads = True
        self.term += 1
        self._append(b"")

    def commit(self, to: int, slice_entries: int) -> None:
        entries = self.log[self.committed : to]
        self.appended.expect(self.spans.committed(to, 0.0))
        for start in range(0, len(entries), slice_entries):
            part = entries[start : start + slice_entries]
            self.applied |= {entry.data for entry in part}
            self.appended.answer(part, [(0, entry.data) for entry in part], 0.0)
        self.committed = to

    def check(self, heard: Heard) -> None:
        """What it heard is what became of its entries."""
        if heard.error is not None:
            assert isinstance(heard.error, LeaderChanged)
            assert self.applied.isdisjoint(heard.names)
            return
        assert heard.results is not None
        for name, result in zip(heard.names, heard.results, strict=True):
            if isinstance(result, LeaderChanged):
                assert name not in self.applied
            else:
                assert result == (0, name)


def test_places_that_were_lost_may_be_taken_anew():
    member = Member()
    member.propose(3)
    member.commit(2, 9)
    lost = member.propose(2)  # at 4 and 5
    member.follow(keep=2, others=0)
    member.lead()  # at 3
    kept = member.propose(1)  # at 4
    assert isinstance(lost.error, LeaderChanged)
    member.commit(4, 9)
    assert kept.results == [(0, kept.names[0])]
    assert [type(one) for one in member.heard[0].results or ()] == [tuple, tuple, LeaderChanged]


def test_who_waits_is_told_when_nobody_will_know():
    member = Member()
    half, whole = member.propose(3), member.propose(1)
    member.commit(2, 9)
    member.appended.give_up()
    member.spans.give_up()
    assert isinstance(half.error, RequestTimeout)
    assert isinstance(whole.error, RequestTimeout)
    assert not member.appended


@pytest.mark.parametrize("seed", range(100))
def test_everybody_hears_once_and_what_is_true(seed: int):
    rng = random.Random(seed)
    member = Member()
    for _ in range(STEPS):
        step = rng.random()
        if member.leads and step < 0.45:
            member.propose(rng.randrange(1, 5))
        elif step < 0.6:
            keep = rng.randrange(member.committed, len(member.log) + 1)
            member.follow(keep, rng.randrange(4))
        elif not member.leads and step < 0.8:
            member.lead()
        else:
            to = rng.randrange(member.committed, len(member.log) + 1)
            member.commit(to, rng.randrange(1, 6))
    if not member.leads:
        member.lead()
    member.propose(1)
    member.commit(len(member.log), 3)
    for heard in member.heard:
        assert heard.done
        member.check(heard)
