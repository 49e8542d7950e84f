"""history, diff: what became of keys, between revisions."""

from __future__ import annotations

import base64
import difflib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from trioetcd.cli.pflag import Flag
from trioetcd.client import Client, KeyValue
from trioetcd.client.values import prefix_range
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.errors import CommandFailed, Exit, Misused
from trioetcd.ctl.numbers import BadNumber, parse_signed
from trioetcd.ctl.output.answer import Answer, json_line
from wire.errors import Compacted

PAGE_KEYS = 500
SHOWN_VALUE = 120  # characters


@dataclass(frozen=True)
class Version:
    """One change of a key."""

    revision: int
    kv: KeyValue
    is_delete: bool


# history


async def history(said: Invocation) -> None:
    """From the last compaction on, or from --from-rev; the oldest first."""
    key = encoded(said.only_argument("history needs one argument, a key"))
    limit, parsed = said.parsed.number("limit"), said.parsed
    client = await said.session.client()
    with said.session.limit():
        found = [
            version
            async for version in versions(
                client, key, parsed.number("from-rev"), parsed.number("to-rev")
            )
        ]
    if limit:
        found = found[-limit:]
    said.session.show(
        Answer(
            None,
            "".join(_line(one) for one in found),
            has_fields=False,
            json=lambda: [_version_json(one) for one in found],
            is_message=False,
        )
    )


async def versions(client: Client, key: bytes, first: int, last: int) -> AsyncIterator[Version]:
    """All changes of a key that can still be known, up to `last` (0: now)."""
    present = (await client.range(key, b"", limit=1)).revision
    end = min(last or present, present)
    start = first or 1
    readable = await _first_readable(client, key, start, present)
    if readable > start:  # a compaction leaves a key as it was then
        kv = await client.get(key, revision=readable)
        if kv is not None and kv.mod_revision <= end:
            yield Version(kv.mod_revision, kv, False)
        start = readable + 1
    if start > end:
        return
    at_end = await client.get(key, revision=end)
    if at_end is None:  # deleted or never there: only all changes tell when there are no more
        watch, until = client.watch(prefix="", start_revision=start), end
    else:
        watch, until = client.watch(key, start_revision=start), at_end.mod_revision
    if until < start:
        return
    async with watch as batches:
        async for batch in batches:
            for event in batch.events:
                if event.key == key and event.revision <= end:
                    yield Version(event.revision, event.kv, event.is_delete)
            if batch.revision >= until:
                return


async def _first_readable(client: Client, key: bytes, low: int, high: int) -> int:
    """The first revision from `low` on that is not compacted; `high` is not."""
    while low < high:
        middle = (low + high) // 2
        try:
            await client.range(key, b"", revision=middle, keys_only=True)
            high = middle
        except Compacted:
            low = middle + 1
    return low


def _line(one: Version) -> str:
    if one.is_delete:
        return f"{one.revision:>10}  deleted\n"
    lease = f"  lease {one.kv.lease_id:x}" if one.kv.lease_id else ""
    value = _short(one.kv.value).replace("\n", "\\n")  # a version is a line
    return f"{one.revision:>10}  version {one.kv.version}{lease}  {value}\n"


def _version_json(one: Version) -> dict[str, Any]:
    if one.is_delete:
        return {"revision": one.revision, "type": "DELETE"}
    return {"revision": one.revision, "type": "PUT", **kv_json(one.kv)}


def kv_json(kv: KeyValue) -> dict[str, Any]:
    """As etcdctl's JSON has them."""
    found: dict[str, Any] = {
        "key": base64.b64encode(kv.key).decode(),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "value": base64.b64encode(kv.value).decode(),
    }
    if kv.lease_id:
        found["lease"] = kv.lease_id
    return found


def shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _short(value: bytes) -> str:
    text = shown(value)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}… ({len(value)} bytes)"


# diff


async def diff(said: Invocation) -> None:
    """With --exit-code the status is 1 if anything differs."""
    if len(said.arguments) != 3:
        raise Misused("diff needs three arguments: a prefix and two revisions")
    prefix = encoded(said.arguments[0])
    before, after = (_revision(word) for word in said.arguments[1:])
    client = await said.session.client()
    is_json = said.session.style.format == "json"
    if said.session.style.format not in ("simple", "json"):
        raise CommandFailed(
            f"{said.session.style.format} not supported as output format", Exit.BAD_FEATURE
        )
    differs = False
    async for old, new in differences(client, prefix, before, after):
        differs = True
        said.session.console.print(_pair_json(old, new) if is_json else _pair(old, new))
    if differs and said.parsed.is_on("exit-code"):
        raise CommandFailed("", Exit.ERROR)


def _revision(word: str) -> int:
    try:
        found = parse_signed(word)
    except BadNumber as error:
        raise CommandFailed(str(error)) from error
    if found < 0:
        raise CommandFailed(f"no revision: {word}")
    return found


async def differences(
    client: Client, prefix: bytes, before: int, after: int
) -> AsyncIterator[tuple[KeyValue | None, KeyValue | None]]:
    """Keys that are not the same at both, in order; two pages at most are kept."""
    old, new = (_Keys(client, prefix, revision) for revision in (before, after))
    left, right = await old.next(), await new.next()
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            yield left, None
            left = await old.next()
        elif left is None or right.key < left.key:
            yield None, right
            right = await new.next()
        else:
            if left.mod_revision != right.mod_revision:
                yield left, right
            left, right = await old.next(), await new.next()


class _Keys:
    """The keys with a prefix at a revision, one after the other."""

    def __init__(self, client: Client, prefix: bytes, revision: int) -> None:
        self._client = client
        self._start, self._end = prefix_range(prefix)
        self._revision = revision
        self._page: list[KeyValue] = []
        self._more = True

    async def next(self) -> KeyValue | None:
        if not self._page and self._more:
            found = await self._client.range(
                self._start, self._end, limit=PAGE_KEYS, revision=self._revision
            )
            self._page, self._more = list(reversed(found.items)), found.more
            if found.items:
                self._start = found.items[-1].key + b"\0"
        return self._page.pop() if self._page else None


def _pair(old: KeyValue | None, new: KeyValue | None) -> str:
    if old is None:
        assert new is not None
        return f"+ {shown(new.key)}\n" + _prefixed("  + ", new.value)
    if new is None:
        return f"- {shown(old.key)}\n" + _prefixed("  - ", old.value)
    try:
        lines = difflib.unified_diff(
            old.value.decode().splitlines(), new.value.decode().splitlines(), n=1, lineterm=""
        )
        changed = "".join(f"  {line}\n" for line in list(lines)[3:])
    except UnicodeDecodeError:
        changed = f"  {len(old.value)} bytes, now {len(new.value)} bytes\n"
    return f"~ {shown(new.key)}\n{changed}"


def _prefixed(mark: str, value: bytes) -> str:
    return "".join(f"{mark}{line}\n" for line in _short(value).splitlines())


def _pair_json(old: KeyValue | None, new: KeyValue | None) -> str:
    kind = "added" if old is None else "removed" if new is None else "changed"
    sides = {"before": old, "after": new}
    return json_line(
        {"type": kind, **{n: kv_json(kv) for n, kv in sides.items() if kv is not None}}
    )


COMMANDS = [
    Command(
        ("history",),
        "Shows every version of a key that is not compacted",
        history,
        "<key>",
        flags={
            "limit": Flag(0, "only the last so many"),
            "from-rev": Flag(0, "from this revision on"),
            "to-rev": Flag(0, "up to this revision"),
        },
    ),
    Command(
        ("diff",),
        "Shows which keys differ between two revisions",
        diff,
        "<prefix> <revision> <revision>",
        "A revision of 0 is the present one.",
        flags={"exit-code": Flag(False, "status 1 if anything differs")},
    ),
]
