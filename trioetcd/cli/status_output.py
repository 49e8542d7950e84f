"""How a snapshot's status is shown.

Source: etcd etcdutl/etcdutl/printer.go; github.com/dustin/go-humanize (bytes.go),
github.com/olekukonko/tablewriter.
"""

from __future__ import annotations

import json

from actors.bolt.snapshot_file import Status

FORMATS = ("fields", "json", "protobuf", "simple", "table")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_COLUMNS = ("hash", "revision", "total keys", "total size", "version")


class UnsupportedFormat(Exception):
    """A format that is not for this."""


def show_status(status: Status, style: str) -> str:
    """Raises UnsupportedFormat."""
    match style:
        case "json":
            shown = {
                "hash": status.hash,
                "revision": status.revision,
                "totalKey": status.keys,
                "totalSize": status.size,
                "version": status.version,
            }
            return json.dumps(shown, separators=(",", ":")) + "\n"
        case "fields":
            return (
                f'"Hash" : {status.hash}\n"Revision" : {status.revision}\n'
                f'"Keys" : {status.keys}\n"Size" : {status.size}\n"Version" : {status.version}\n'
            )
        case "table":
            return _table(_COLUMNS, _row(status))
        case "simple":
            return ", ".join(_row(status)) + "\n"
    raise UnsupportedFormat(f"{style} not supported as output format")


def _row(status: Status) -> tuple[str, ...]:
    return (
        f"{status.hash:x}",
        str(status.revision),
        str(status.keys),
        show_size(status.size),
        status.version,
    )


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


def _table(header: tuple[str, ...], row: tuple[str, ...]) -> str:
    widths = [max(map(len, column)) for column in zip(header, row, strict=True)]
    line = "+" + "".join("-" * (width + 2) + "+" for width in widths)
    columns = zip(header, row, widths, strict=True)
    titles, cells = "|", "|"
    for title, cell, width in columns:
        before = (width - len(title)) // 2
        titles += f" {' ' * before + title.upper():<{width}} |"
        cells += f" {cell:>{width}} |"
    return "\n".join((line, titles, line, cells, line)) + "\n"
