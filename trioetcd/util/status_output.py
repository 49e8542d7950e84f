"""How a snapshot's status is shown.

Source: etcd etcdutl/etcdutl/printer.go.
"""

from __future__ import annotations

import json

from actors.bolt.snapshot_file import Status
from trioetcd.cli.shown import Table, show_size

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
            return Table(_COLUMNS, [_row(status)]).draw()
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
