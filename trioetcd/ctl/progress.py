"""How far long work is, on a terminal; nowhere else, where it would be in the way."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import trio

from trioetcd.ctl.console import Console

REDRAW_SECONDS = 0.1
WIDTH = 40  # of the bar, in characters


class Bar:
    """A line that is drawn over and over; `with` ends it."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._drawn_at = -REDRAW_SECONDS

    def __enter__(self) -> Self:
        self._draw()
        return self

    def advance(self) -> None:
        self._done += 1
        if trio.current_time() - self._drawn_at >= REDRAW_SECONDS:
            self._draw()

    def reach(self, done: int, total: int) -> None:
        """So much of so much is done."""
        self._total, self._done = total, done - 1
        self.advance()

    def _draw(self) -> None:
        if self._console.is_terminal:
            self._drawn_at = trio.current_time()
            self._console.print("\r" + self.line())

    def line(self) -> str:
        share = self._done / self._total if self._total else 1.0
        full = round(share * WIDTH)
        bar = "█" * full + "░" * (WIDTH - full)
        return f"{self._done} / {self._total} {bar} {share:7.2%}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw()
        if self._console.is_terminal:
            self._console.print("\n")
