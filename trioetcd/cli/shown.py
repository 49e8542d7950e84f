"""What people are shown: formats by name, sizes, tables.

Source: github.com/dustin/go-humanize (bytes.go), github.com/olekukonko/tablewriter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FORMATS = ("fields", "json", "protobuf", "simple", "table")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def draw(self) -> str:
        """Titles in the middle, cells to the right."""
        columns = zip(self.columns, *self.rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        line = "+" + "".join("-" * (width + 2) + "+" for width in widths)
        titles = _row([_centred(*one) for one in zip(self.columns, widths, strict=True)], widths)
        rows = [_row(row, widths) for row in self.rows]
        return "\n".join((line, titles, line, *rows, line)) + "\n"


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
