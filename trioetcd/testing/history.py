"""What clients asked and were told, in a form that can be checked.

Times are whatever increases: Trio's clock with a counter to tell moments apart.  An operation
whose outcome nobody heard (`result` is None) may have happened at any time after it was called,
or never.  One that was certainly refused is not part of a history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = float("inf")


class Get(NamedTuple):
    key: bytes
    serializable: bool = False  # may be old, but must have been true at its revision


class Put(NamedTuple):
    key: bytes
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    key: bytes


class Swap(NamedTuple):
    """A transaction: put `value` if the key has `expected` (None: is absent), else get it."""

    key: bytes
    expected: bytes | None
    value: bytes


class PutAll(NamedTuple):
    """A transaction that puts several keys."""

    pairs: tuple[tuple[bytes, bytes], ...]


Request = Get | Put | Delete | Swap | PutAll


class Found(NamedTuple):
    """What a read saw; `value` is None if there is no such key."""

    revision: int  # the store's, from the header
    value: bytes | None = None
    mod_revision: int = 0
    version: int = 0


class Written(NamedTuple):
    revision: int
    deleted: int = 0  # by a Delete


@dataclass(slots=True)
class Operation:
    client: int
    request: Request
    called: float
    returned: float = NEVER
    result: Found | Written | None = None

    @property
    def is_known(self) -> bool:
        return self.result is not None


class Event(NamedTuple):
    """A change of one key; `value` is None if it was deleted."""

    revision: int
    key: bytes
    value: bytes | None
    create_revision: int = 0
    version: int = 0
    lease: int = 0


class Delivery(NamedTuple):
    """One response of a watch.  Without events it is progress: all up to `revision` was sent."""

    revision: int  # of the header
    events: tuple[Event, ...] = ()
    is_fragment: bool = False  # the rest of it comes in the next response
    time: float = 0.0


@dataclass(slots=True)
class Watching:
    """One watch from its creation to its end, whatever connections carried it."""

    start_revision: int
    key: bytes
    range_end: bytes = b""
    deliveries: list[Delivery] = field(default_factory=list)
    is_over: bool = False  # the revision it would go on from was compacted

    def covers(self, key: bytes) -> bool:
        if not self.range_end:
            return key == self.key
        return key >= self.key and (self.range_end == b"\0" or key < self.range_end)

    def drop_fragments(self) -> None:
        """The connection is gone: the rest of a response that came in part will not come."""
        while self.deliveries and self.deliveries[-1].is_fragment:
            self.deliveries.pop()

    @property
    def next_revision(self) -> int:
        """From where to go on."""
        if not self.deliveries:
            return self.start_revision
        last = self.deliveries[-1]
        return 1 + (last.events[-1].revision if last.events else last.revision)


def keys_of(request: Request) -> tuple[bytes, ...]:
    if isinstance(request, PutAll):
        return tuple(key for key, _ in request.pairs)
    return (request.key,)


def is_serializable(one: Operation) -> bool:
    return isinstance(one.request, Get) and one.request.serializable


def by_key(operations: Iterable[Operation]) -> dict[bytes, list[Operation]]:
    """A history for each key, without reads that may be old.

    A transaction of several keys is in each of them, as a put.
    """
    found: dict[bytes, list[Operation]] = {}
    for one in operations:
        if is_serializable(one):
            continue
        if isinstance(one.request, PutAll):
            for key, value in one.request.pairs:
                part = Operation(one.client, Put(key, value), one.called, one.returned, one.result)
                found.setdefault(key, []).append(part)
        else:
            found.setdefault(one.request.key, []).append(one)
    return found
