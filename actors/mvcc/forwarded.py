"""Proposals that another member appends: who waits here for which entry.

A follower sends a proposal to the leader and finds the entry again, once it is applied here, by
the request id that it gave it.  A leader that is lost takes proposals along: when the first
entry of a later term is applied, nobody knows whether they will ever come.
Source: etcd server/etcdserver/v3_server.go (parseProposeCtxErr).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from actors.apply.applier import Result
from actors.apply.operation import Malformed, request_id
from actors.raft.types import ConfChange, ConfChangeMalformed, Entry, conf_change_of
from wire.errors import RequestTimeout, TimeoutLeaderFailure

MAX_GROUPS = 4096  # remembered at once; older ones will have timed out


class Answerable(Protocol):
    """Who waits; answered once."""

    @property
    def done(self) -> bool: ...

    def answer(self, value: list[Result]) -> None: ...

    def refuse(self, error: BaseException) -> None: ...


class Forwarded(NamedTuple):
    """Entries that were sent on to the leader together."""

    request_ids: Sequence[int]
    term: int  # in which they were sent
    reply: Answerable


class ForwardedProposals:
    """Invariants: a group is dropped as a whole, answered or forgotten; groups are in the order
    of their terms."""

    def __init__(self) -> None:
        self._groups: dict[int, tuple[Forwarded, dict[int, Result]]] = {}  # by first id
        self._group_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def expect(self, group: Forwarded) -> None:
        if len(self._groups) >= MAX_GROUPS:
            self._forget(next(iter(self._groups)))
        first = group.request_ids[0]
        self._groups[first] = group, {}
        for one in group.request_ids:
            self._group_of[one] = first

    def give_up(self) -> None:
        """Nobody will know what became of them."""
        for group, _ in self._groups.values():
            if not group.reply.done:
                group.reply.refuse(RequestTimeout())
        self._groups.clear()
        self._group_of.clear()

    def answer(self, entries: Sequence[Entry], results: Sequence[Result]) -> None:
        """Hand out what these entries, which have just been applied, came to."""
        for entry, result in zip(entries, results, strict=True):
            one = _id_of(entry)
            first = self._group_of.get(one)
            if first is not None:
                self._take(first, one, result)
        self._give_up_before(entries[-1].term)

    def _take(self, first: int, one: int, result: Result) -> None:
        group, found = self._groups[first]
        found[one] = result
        if len(found) == len(group.request_ids):
            self._forget(first)
            if not group.reply.done:
                group.reply.answer([found[each] for each in group.request_ids])

    def _give_up_before(self, term: int) -> None:
        """Terms only grow in the log: what was sent to an earlier leader, and is not there by
        now, can come only if that one passes it on to its successor."""
        while self._groups:
            first, (group, _) = next(iter(self._groups.items()))
            if group.term >= term:
                break
            self._forget(first)
            if not group.reply.done:
                group.reply.refuse(TimeoutLeaderFailure())

    def _forget(self, first: int) -> None:
        group, _ = self._groups.pop(first)
        for one in group.request_ids:
            self._group_of.pop(one, None)


def _id_of(entry: Entry) -> int:
    """What its proposer will know it by; 0 for entries that nobody waits for."""
    try:
        if entry.type:
            change = conf_change_of(entry)
            return change.id if isinstance(change, ConfChange) else 0
        return request_id(entry.data) if entry.data else 0
    except (Malformed, ConfChangeMalformed):
        return 0
