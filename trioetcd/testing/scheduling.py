"""Make Trio's scheduler, which shuffles on purpose, shuffle the same way every time.

Trio offers half of this to its own tests and to Hypothesis: with a flag set it orders what is
ready by the tasks' numbers before it shuffles, and the generator that shuffles can be seeded.
The other half it names in a comment: what ends at one deadline, and what one cancellation ends,
are taken in the order of addresses in memory.  Here they are taken in the order they were made.
Source: trio/_core/_run.py (unrolled_run, Deadlines, CancelStatus, _hypothesis_plugin_setup).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

from trio._core import _run


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Inside, `trio.run` is a function of what it runs and the seed.  Threads would spoil it."""
    run: Any = _run
    state = run._r.getstate()
    run._r.seed(seed)
    numbers = count()
    make_status = run.CancelStatus.__init__

    def ordered_status(status: Any, *args: Any, **more: Any) -> None:
        make_status(status, *args, **more)
        status._children, status._tasks = _Ordered(), _Ordered()

    def add(deadlines: Any, deadline: float, scope: Any) -> None:
        heapq.heappush(deadlines._heap, (deadline, next(numbers), scope))
        deadlines._active += 1

    status = run.CancelStatus
    with ExitStack() as stack:
        for patched in (
            patch.object(run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
            patch.object(status, "__init__", ordered_status),
            patch.object(status, "children", property(lambda self: tuple(self._children))),
            patch.object(status, "tasks", property(lambda self: tuple(self._tasks))),
            patch.object(run.Deadlines, "add", add),
        ):
            stack.enter_context(patched)
        try:
            yield
        finally:
            run._r.setstate(state)


class _Ordered(dict[Any, None]):
    """A set that is iterated in the order of insertion."""

    def add(self, member: Any) -> None:
        self[member] = None

    def remove(self, member: Any) -> None:
        del self[member]

    def discard(self, member: Any) -> None:
        self.pop(member, None)
