"""export, import: keys as lines of JSON, of one revision; and what changed after one.

What was imported is noted at the target under `MARK`, with the revision that the file shows: a
file of changes is taken only after the one that it follows, and one that was broken off can be
imported again from its beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress

from trioetcd.cli.pflag import Flag
from trioetcd.client import Client, KeyValue, Listing, WatchCompacted, delete, get, put
from trioetcd.client.txn import Operation
from trioetcd.client.values import to_bytes
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.console import Console
from trioetcd.ctl.errors import CommandFailed, Misused
from trioetcd.ctl.json_lines import Head, Item, Unreadable, read, tail
from trioetcd.ctl.progress import Bar
from wire.errors import LeaseExists
from wire.network import reason

MARK = b"\0trioetcd/import/"  # and the prefix; its value is the revision, in decimal
TXN_ITEMS, TXN_BYTES = 100, 512 * 1024  # in a transaction; servers take 128 and 1.5 MiB


# export


async def export(said: Invocation) -> None:
    """Everything is of one revision, however long it takes."""
    if len(said.arguments) > 1:
        raise Misused("export takes one argument at most, a prefix")
    prefix = encoded(said.arguments[0]) if said.arguments else b""
    since, revision = said.parsed.number("since"), said.parsed.number("rev")
    client, console = await said.session.client(), said.session.console
    revision = revision or (await client.range(b"\0", b"")).revision
    if since > revision:
        raise CommandFailed(f"--since {since} is later than revision {revision}")
    items = _changes(client, prefix, since, revision) if since else _keys(client, prefix, revision)
    console.print(Head(prefix, revision, since).line())
    count = 0
    async for item in items:
        console.print(item.line())
        count += 1
    console.print(tail(count))
    console.complain(f"{count} keys at revision {revision}; next: --since {revision}")


async def _keys(client: Client, prefix: bytes, revision: int) -> AsyncIterator[Item]:
    left = _TTLs(client)
    async for page in client.pages(prefix, revision=revision):
        for kv in page.items:
            if not kv.key.startswith(MARK):
                yield await _item(kv, left)


async def _changes(client: Client, prefix: bytes, since: int, revision: int) -> AsyncIterator[Item]:
    """The last change of each key after `since`, in the order of the changes.

    All keys are watched, since every revision has a change of some key: so the end is seen.
    """
    last: dict[bytes, Item] = {}
    left = _TTLs(client)
    if since < revision:
        try:
            async with client.watch(prefix="", start_revision=since + 1) as batches:
                async for batch in batches:
                    for event in batch.events:
                        if not event.key.startswith(prefix) or event.key.startswith(MARK):
                            continue
                        if event.revision > revision:
                            break
                        last.pop(event.key, None)
                        last[event.key] = (
                            Item(event.key, None, event.revision)
                            if event.is_delete
                            else await _item(event.kv, left)
                        )
                    if batch.revision >= revision:
                        break
        except WatchCompacted as error:
            raise CommandFailed(
                f"what changed after revision {since} is compacted, up to "
                f"{error.compact_revision}: export everything again"
            ) from error
    for item in last.values():
        yield item


class _TTLs:
    """What leases have left, asked for once each."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[int, int] = {}

    async def of(self, lease_id: int) -> int:
        if lease_id not in self._known:
            found = await self._client.time_to_live(lease_id)
            self._known[lease_id] = max(found.remaining, 1)
        return self._known[lease_id]


async def _item(kv: KeyValue, left: _TTLs) -> Item:
    ttl = await left.of(kv.lease_id) if kv.lease_id else 0
    return Item(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version, kv.lease_id, ttl)


# import


async def import_file(said: Invocation) -> None:
    """Read twice: nothing is written before the whole file has been found good."""
    path = said.only_argument("import needs one argument, a file")
    lines = _Lines(path, said.session.console)
    try:
        found = read(iter(lines))
        head = next(found)
        assert isinstance(head, Head)
        count = sum(1 for _ in found)
    except Unreadable as error:
        raise CommandFailed(f"{path}: {error}") from error
    client, console = await said.session.client(), said.session.console
    mark = MARK + head.prefix
    known = await client.get(mark)
    at = int(known.value) if known is not None and known.value.isdigit() else 0
    if head.since and at != head.since and at != head.revision and not said.parsed.is_on("force"):
        raise CommandFailed(
            f"{path} has what changed after revision {head.since}, and here is revision {at}: "
            "import the files in their order (--force takes it all the same)"
        )
    if said.parsed.is_on("dry-run"):
        console.print(f"{path} is whole: {count} keys at revision {head.revision}\n")
        return
    with Bar(console, count) as bar:
        await _write(client, _items(iter(lines)), bar)
    await client.put(mark, str(head.revision))
    console.print(f"{count} keys imported; they are those of revision {head.revision}\n")


class _Lines:
    """Of a file, which can be read again; of standard input, which is kept."""

    def __init__(self, path: str, console: Console) -> None:
        self._path = path
        self._kept = console.read().splitlines(keepends=True) if path == "-" else None

    def __iter__(self) -> Iterator[bytes]:
        """Raises CommandFailed."""
        if self._kept is not None:
            yield from self._kept
            return
        try:
            with open(self._path, "rb") as file:
                yield from file
        except OSError as error:
            raise CommandFailed(f"open {self._path}: {reason(error)}") from error


def _items(lines: Iterator[bytes]) -> Iterator[Item]:
    return (one for one in read(lines) if isinstance(one, Item))


async def _write(client: Client, items: Iterable[Item], bar: Bar) -> None:
    """What is there already, with the same value and lease, is left as it is."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.key) + len(item.value or b"")
        if len(batch) >= TXN_ITEMS or size >= TXN_BYTES:
            await _write_batch(client, batch, bar)
            batch, size = [], 0
    if batch:
        await _write_batch(client, batch, bar)


async def _write_batch(client: Client, batch: list[Item], bar: Bar) -> None:
    present = await client.txn(then=[get(item.key) for item in batch])
    operations: list[Operation] = []
    for item, found in zip(batch, present.results, strict=True):
        assert isinstance(found, Listing)
        kv = found.items[0] if found.items else None
        if item.value is None:
            if kv is not None:
                operations.append(delete(item.key))
        elif kv is None or kv.value != item.value or kv.lease_id != item.lease_id:
            if item.lease_id:
                await _grant(client, item)
            operations.append(put(item.key, to_bytes(item.value), lease_id=item.lease_id))
    if operations:
        await client.txn(then=operations)
    for _ in batch:
        bar.advance()


async def _grant(client: Client, item: Item) -> None:
    with suppress(LeaseExists):
        await client.grant_lease(item.ttl, item.lease_id)


COMMANDS = [
    Command(
        ("export",),
        "Writes keys as lines of JSON, all of one revision",
        export,
        "[prefix]",
        flags={
            "rev": Flag(0, "the revision (0: the present one)"),
            "since": Flag(0, "only what changed after this revision"),
        },
    ),
    Command(
        ("import",),
        "Reads what export has written",
        import_file,
        "<file or ->",
        flags={
            "dry-run": Flag(False, "only look whether the file is whole"),
            "force": Flag(False, "take changes also if others are missing before them"),
        },
    ),
]
