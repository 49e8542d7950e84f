"""Is a history linearizable: is there an order in which one after the other would explain it?

Wing and Gong's search as Lowe improved it: take a call that may come next (no other has
returned before it was made), see whether its result fits, go on; when stuck, take the last
choice back.  A pair of (what is placed, state) that was reached once need not be tried again.
An operation of unknown fate may be placed or left out.  Keys are independent of each other, so
each is searched alone; that keeps histories short, which is what decides the time.

The search trusts nothing but what values clients saw and the revisions they were told.  For a
check against the log of all changes, which is complete also for several keys, see `replay`.
Source: Wing, Gong: Testing and Verifying Concurrent Objects (1993); Lowe: Testing for
Linearizability (2017); Porcupine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from trioetcd.testing.history import (
    NEVER,
    Delete,
    Found,
    Get,
    Operation,
    Put,
    Swap,
    Written,
    by_key,
)

MAX_STEPS = 2_000_000  # of one key's search: half a minute, then it is given up


class Wrong(Exception):
    """A history that no correct server can cause."""


class GaveUp(Exception):
    """The search has taken MAX_STEPS and knows nothing."""


class Key(NamedTuple):
    """The state of one key.  `mod_revision` is None after a write whose revision nobody heard."""

    value: bytes | None = None
    mod_revision: int | None = 0
    version: int = 0
    floor: int = 0  # the latest revision that is certainly behind us


State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    def step(self, state: State, operation: Operation) -> State | None:
        """What the state is after an operation; None if it cannot have had its result."""
        ...


class KeyModel:
    """One key of etcd: its value, revision and version."""

    def step(self, state: Key, operation: Operation) -> Key | None:
        request, result = operation.request, operation.result
        if result is not None and result.revision < state.floor:
            return None
        match request:
            case Get():
                return _read(state, result)
            case Put():
                return _write(state, request.value, result)
            case Delete():
                return _delete(state, result)
            case Swap():
                return _swap(state, request, result)
        raise TypeError(request)


def _read(state: Key, result: Found | Written | None) -> Key | None:
    if not isinstance(result, Found):
        return None
    if result.value != state.value:
        return None
    if result.value is not None:
        if result.version != state.version or result.mod_revision > result.revision:
            return None
        if state.mod_revision is None:
            if result.mod_revision <= state.floor:
                return None
        elif result.mod_revision != state.mod_revision:
            return None
        return Key(state.value, result.mod_revision, state.version, result.revision)
    return state._replace(floor=result.revision)


def _write(state: Key, value: bytes, result: Found | Written | None) -> Key | None:
    if result is None:
        return Key(value, None, state.version + 1, state.floor)
    if not isinstance(result, Written) or result.revision <= state.floor:
        return None
    return Key(value, result.revision, state.version + 1, result.revision)


def _delete(state: Key, result: Found | Written | None) -> Key | None:
    there = state.value is not None
    if result is None:
        return Key(None, 0, 0, state.floor) if there else state
    if not isinstance(result, Written) or result.deleted != int(there):
        return None
    if there and result.revision <= state.floor:
        return None
    return Key(None, 0, 0, result.revision)


def _swap(state: Key, request: Swap, result: Found | Written | None) -> Key | None:
    fits = state.value == request.expected
    if result is None:
        return _write(state, request.value, None) if fits else state
    if fits:
        return _write(state, request.value, result)
    return _read(state, result)


class _Node:
    """A call or a return, in a list ordered by time from which placed operations are taken."""

    __slots__ = ("back", "following", "match", "number", "operation")

    def __init__(self, operation: Operation | None, number: int) -> None:
        self.operation = operation  # None: a return
        self.number = number
        self.match: _Node | None = None  # a call's return, if there is one
        self.back: _Node
        self.following: _Node | None = None


def _timeline(operations: Sequence[Operation]) -> _Node:
    """The list's head.  Of things at one time calls come first, so that they count as at once."""
    head = _Node(None, -1)
    marks: list[tuple[float, int, _Node]] = []
    for number, operation in enumerate(operations):
        call = _Node(operation, number)
        marks.append((operation.called, 0, call))
        if operation.is_known and operation.returned != NEVER:
            call.match = _Node(None, number)
            marks.append((operation.returned, 1, call.match))
    last = head
    for _, _, node in sorted(marks, key=lambda mark: mark[:2]):
        last.following, node.back = node, last
        last = node
    return head


def _take_out(call: _Node) -> None:
    for node in (call, call.match):
        if node is not None:
            node.back.following = node.following
            if node.following is not None:
                node.following.back = node.back


def _put_back(call: _Node) -> None:
    for node in (call.match, call):
        if node is not None:
            node.back.following = node
            if node.following is not None:
                node.following.back = node


def linearizable(operations: Sequence[Operation], model: Model[State], state: State) -> bool:
    """Whether some order explains the results.

    Raises:
        GaveUp: it is not known.
    """
    # A read of unknown outcome says nothing.
    told = [one for one in operations if one.is_known or not isinstance(one.request, Get)]
    head = _timeline(told)
    open_returns = sum(one.is_known for one in told)  # known, and not placed
    placed = 0  # a bit for each operation
    seen: set[tuple[int, State]] = set()
    choices: list[tuple[_Node, State]] = []
    node = head.following
    for _ in range(MAX_STEPS):
        if not open_returns:
            return True
        if node is not None and node.operation is not None:
            after = model.step(state, node.operation)
            if after is None or (placed | 1 << node.number, after) in seen:
                node = node.following
                continue
            placed |= 1 << node.number
            seen.add((placed, after))
            choices.append((node, state))
            state = after
            open_returns -= told[node.number].is_known
            _take_out(node)
            node = head.following
        elif choices:  # somebody has returned whose call could not be placed
            node, state = choices.pop()
            placed ^= 1 << node.number
            open_returns += told[node.number].is_known
            _put_back(node)
            node = node.following
        else:
            return False
    raise GaveUp(f"{len(told)} operations, {len(seen)} states")


def check_keys(operations: Iterable[Operation]) -> None:
    """Every key by itself.  Keys with leases vanish by themselves: leave them out.

    Raises:
        Wrong: a key's history has no explanation; it is shown.
    """
    for key, history in sorted(by_key(operations).items()):
        if not linearizable(history, KeyModel(), Key()):
            raise Wrong(f"the history of {key!r} is not linearizable:\n{shown(history)}")


def shown(operations: Iterable[Operation]) -> str:
    return "\n".join(
        f"  {one.called:.6f} .. {one.returned:.6f}  client {one.client}: "
        f"{one.request} -> {one.result or 'unknown'}"
        for one in sorted(operations, key=lambda one: one.called)
    )
