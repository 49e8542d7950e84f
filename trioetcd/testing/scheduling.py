"""Make Trio's scheduler, which shuffles on purpose, shuffle the same way every time.

Trio offers this to its own tests and to Hypothesis: with the flag set it orders what is ready
by the tasks' numbers before it shuffles, and the generator that shuffles can be seeded.
Source: trio/_core/_run.py (unrolled_run, _hypothesis_plugin_setup).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trio._core import _run


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Inside, `trio.run` is a function of what it runs and the seed.  Threads would spoil it."""
    run: Any = _run
    before = run._ALLOW_DETERMINISTIC_SCHEDULING
    state = run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = before
        run._r.setstate(state)
