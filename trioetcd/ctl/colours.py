"""Colours, on a terminal whose user wants them; nowhere else.

Source: https://no-color.org.
"""

from __future__ import annotations

from trioetcd.ctl.console import Console

_CODES = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1}


class Colours:
    def __init__(self, console: Console) -> None:
        environ = console.environ
        self.are_on = (
            console.is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        )

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.are_on else text
