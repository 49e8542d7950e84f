"""Keys as lines of JSON, and back: what `export` writes and `import` reads.

The first line says what the file is, the last one how many lines are between: a file that was
cut short is found out.  A key and a value are text if they are UTF-8, else base64 under another
name.  A deletion, in a file of changes, has no value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FORMAT = "trioetcd-export"
VERSION = 1


class Unreadable(Exception):
    """A line that is none of ours; the message says which."""


@dataclass(frozen=True)
class Head:
    """What the file is."""

    prefix: bytes
    revision: int  # that it shows
    since: int = 0  # of changes: those after this revision; 0: all keys

    def line(self) -> str:
        shown = {"format": FORMAT, "version": VERSION, **_data("prefix", self.prefix)}
        return _line({**shown, "revision": self.revision, "since": self.since})


@dataclass(frozen=True)
class Item:
    """A key as it is to be; without a value it is to be deleted."""

    key: bytes
    value: bytes | None
    mod_revision: int
    create_revision: int = 0
    key_version: int = 0
    lease_id: int = 0
    ttl: int = 0  # seconds that the lease had left

    def line(self) -> str:
        shown: dict[str, Any] = {**_data("key", self.key), "mod_revision": self.mod_revision}
        if self.value is None:
            return _line({**shown, "deleted": True})
        shown |= _data("value", self.value)
        shown |= {"create_revision": self.create_revision, "version": self.key_version}
        if self.lease_id:
            shown |= {"lease": f"{self.lease_id:x}", "ttl": self.ttl}
        return _line(shown)


def tail(count: int) -> str:
    return _line({"end": True, "count": count})


def read(lines: Iterator[bytes]) -> Iterator[Head | Item]:
    """The head, then the items.

    Raises:
        Unreadable: a line is none of ours, or the end is missing.
    """
    count, number = 0, 0
    for number, line in enumerate(lines, 1):
        row = _parse(line, number)
        if number == 1:
            yield _head(row)
        elif row.get("end"):
            if row.get("count") != count:
                raise Unreadable(f"line {number}: {count} lines before it, not {row.get('count')}")
            if next(lines, None) is not None:
                raise Unreadable(f"line {number + 1}: something comes after the end")
            return
        else:
            yield _item(row, number)
            count += 1
    raise Unreadable(f"line {number + 1}: the end is missing; the file was cut short")


def _parse(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"line {number}: no JSON ({error})") from error
    if not isinstance(row, dict):
        raise Unreadable(f"line {number}: no object")
    return row


def _head(row: dict[str, Any]) -> Head:
    if row.get("format") != FORMAT or row.get("version") != VERSION:
        raise Unreadable("line 1: not a file that `trioetcd ctl export` has written")
    return Head(_bytes(row, "prefix", 1), _number(row, "revision", 1), _number(row, "since", 1))


def _item(row: dict[str, Any], number: int) -> Item:
    key, mod = _bytes(row, "key", number), _number(row, "mod_revision", number)
    if row.get("deleted") is True:
        return Item(key, None, mod)
    lease = row.get("lease", "0")
    try:
        lease_id = int(lease, 16)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"line {number}: no lease: {lease!r}") from error
    return Item(
        key,
        _bytes(row, "value", number),
        mod,
        _number(row, "create_revision", number),
        _number(row, "version", number),
        lease_id,
        _number(row, "ttl", number) if lease_id else 0,
    )


def _number(row: dict[str, Any], name: str, number: int) -> int:
    found = row.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise Unreadable(f"line {number}: {name} is no number: {found!r}")
    return found


def _data(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _bytes(row: dict[str, Any], name: str, number: int) -> bytes:
    text, coded = row.get(name), row.get(f"{name}_base64")
    if isinstance(text, str) and coded is None:
        return text.encode("utf-8", "surrogatepass")
    if isinstance(coded, str) and text is None:
        try:
            return base64.b64decode(coded, validate=True)
        except ValueError as error:
            raise Unreadable(f"line {number}: {name}_base64: {error}") from error
    raise Unreadable(f"line {number}: no {name}")


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n"
