"""How long entries took to apply, by what they asked for.

Pure.  A clock read per entry would cost more than some entries do, so a slice of entries is
timed as a whole and each of them counts with the slice's mean.  For the same reason puts, which
are most of what is applied, are not counted one by one: they are what is left of a slice.
Source: etcd server/etcdserver/metrics.go (applySec), apply/apply.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from actors.apply.operation import FIELDS, NAMES
from wire.durations import Durations, doubling

PUT = FIELDS["put"]
BOUNDS = doubling(0.0001, 20)  # seconds

P = ParamSpec("P")
T = TypeVar("T")


def operation_name(number: int) -> str:
    """As etcd's metrics call it: `lease_grant` is LeaseGrant."""
    return "".join(word.capitalize() for word in NAMES[number].split("_"))


class ApplyTimes:
    """Durations by operation and whether it was done."""

    def __init__(self) -> None:
        self.durations: dict[tuple[int, bool], Durations] = {}
        self.puts = 0  # done, by requests of their own
        self.slow_seconds = math.inf  # from which a slice is slow
        self.slow = 0  # such slices
        self.odd = 0  # of the slice at hand: entries that are no request at all
        self._others: dict[int, int] = {}  # of the slice at hand, done
        self._refused: dict[int, int] = {}

    def counted(self, number: int, step: Callable[P, T]) -> Callable[P, T]:
        """The step of an operation other than a put, counting what is done."""

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            answer = step(*args, **kwargs)
            self.did(number)
            return answer

        return run

    def did(self, number: int) -> None:
        """An entry of the slice at hand was such an operation."""
        self._others[number] = self._others.get(number, 0) + 1

    def refused(self, number: int) -> None:
        """An entry of the slice at hand was refused."""
        self._refused[number] = self._refused.get(number, 0) + 1

    def note(self, requests: int, seconds: float) -> bool:
        """The slice is applied: so many requests, in so many seconds altogether; was it slow?"""
        if not requests:
            return False
        mean = seconds / requests
        puts = requests
        if self._others or self._refused or self.odd:
            puts -= self._note_others(mean)
        if puts:
            self.puts += puts
            self._note(PUT, puts, mean, done=True)
        if seconds <= self.slow_seconds:
            return False
        self.slow += 1
        return True

    def _note_others(self, mean: float) -> int:
        """How many of the slice were anything but puts that were done."""
        others, refused, found = self._others, self._refused, self.odd
        self._others, self._refused, self.odd = {}, {}, 0
        for counts, done in ((others, True), (refused, False)):
            for number, count in counts.items():
                found += count
                self._note(number, count, mean, done=done)
        return found

    def _note(self, number: int, count: int, seconds: float, *, done: bool) -> None:
        if count:
            found = self.durations.get((number, done))
            if found is None:
                found = self.durations[number, done] = Durations(BOUNDS)
            found.note(seconds, count)
