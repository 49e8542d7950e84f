"""What people are shown: formats by name, sizes, tables.

Source: github.com/dustin/go-humanize (bytes.go), github.com/olekukonko/tablewriter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

FORMATS = ("fields", "json", "protobuf", "simple", "table")
LONG = 30  # characters of a cell on one line
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def draw(self) -> str:
        """Titles in the middle, cells to the right; long ones on several lines."""
        columns = zip(self.columns, *self.rows, strict=True)
        widths = [max((len(title), *map(_width, cells))) for title, *cells in columns]
        rows = [row for cells in self.rows for row in _lines(cells)]
        line = "+" + "".join("-" * (width + 2) + "+" for width in widths)
        titles = _row([_centred(*one) for one in zip(self.columns, widths, strict=True)], widths)
        drawn = [_row(row, widths) for row in rows]
        return "\n".join((line, titles, line, *drawn, line)) + "\n"


def _width(cell: str) -> int:
    return len(cell) if len(cell) <= LONG else max(LONG, *map(len, wrapped(cell)))


def _lines(cells: Sequence[str]) -> Iterator[Sequence[str]]:
    """The lines that a row takes."""
    return zip_longest(*map(wrapped, cells), fillvalue="")


def wrapped(cell: str) -> list[str]:
    """Lines of up to LONG characters, more for a longer word, as even as they can be."""
    if len(cell) <= LONG:
        return [cell]
    words = cell.split(" ")
    limit = max(LONG, *map(len, words))
    # From the last word to the first: what the lines from there on cost, and where the next begins.
    costs, breaks = [0] * len(words), [len(words)] * len(words)
    for first in reversed(range(len(words))):
        if len(" ".join(words[first:])) > limit:
            costs[first], breaks[first] = min(
                ((limit - length) ** 2 + costs[next_], next_)
                for next_ in range(first + 1, len(words))
                if (length := len(" ".join(words[first:next_]))) <= limit
            )
    found, at = [], 0
    while at < len(words):
        found.append(" ".join(words[at : breaks[at]]))
        at = breaks[at]
    return found


def _centred(title: str, width: int) -> str:
    before = " " * ((width - len(title)) // 2)
    return f"{before + title.upper():<{width}}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [f" {cell:>{width}} |" for cell, width in zip(cells, widths, strict=True)]
    return "|" + "".join(padded)


def show_size(size: int) -> str:
    """Bytes for people: 9 B, 1.5 kB, 24 kB."""
    if size < 10:
        return f"{size} B"
    unit, scale = 0, 1
    while size >= scale * 1000:
        unit, scale = unit + 1, scale * 1000
    tenths = (size * 10 + scale // 2) // scale
    number = f"{tenths / 10:.1f}" if tenths < 100 else f"{tenths / 10:.0f}"
    return f"{number if unit else size} {_UNITS[unit]}"
