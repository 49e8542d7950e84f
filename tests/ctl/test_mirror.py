"""make-mirror between nodes in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.ctl.terminal import Terminal
from trioetcd import Client, NodeSettings, open_client, open_node
from trioetcd.client.txn import delete, put
from trioetcd.ctl.mirror import Mirror, Plan
from trioetcd.node.embedding import serve_clients
from wire.memory_network import MemoryNetwork

SOURCE, COPY = "http://127.0.0.1:2379", "http://127.0.0.1:22379"


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[Terminal, Client, Client]]:
    """A terminal at the first, and clients of both."""
    network = MemoryNetwork()
    async with (
        open_node(NodeSettings()) as one,
        open_node(NodeSettings()) as other,
        serve_clients(one, SOURCE, network=network),
        serve_clients(other, COPY, network=network),
        open_client(SOURCE, network=network) as source,
        open_client(COPY, network=network) as copy,
    ):
        yield Terminal(network), source, copy


async def keys_of(client: Client) -> dict[bytes, bytes]:
    return {kv.key: kv.value for kv in (await client.get_prefix("")).items}


async def until_marked(source: Client, copy: Client, key: str, marked: str) -> None:
    """Until a change that is made now has arrived."""
    async with copy.watch(marked) as batches:
        await source.put(key, "the end")
        async for _ in batches:
            return


async def test_what_is_there_and_what_comes_is_mirrored(autojump_clock):
    async with two_nodes() as (terminal, source, copy), trio.open_nursery() as nursery:
        for number in range(0, 2500, 100):  # more than two pages
            await source.txn(then=[put(f"a/{n:04}", f"{n}") for n in range(number, number + 100)])
        await source.put("b", "not mirrored")
        nursery.start_soon(terminal.run, "make-mirror", "--prefix=a/", COPY)
        await until_marked(source, copy, "a/mark", "a/mark")
        await source.txn(then=[put("a/x", "new"), delete("a/0000")])
        await source.delete_prefix("a/1")
        await until_marked(source, copy, "a/mark", "a/mark")
        wanted = await keys_of(source)
        del wanted[b"b"]
        assert await keys_of(copy) == wanted
        assert len(wanted) == 1501
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--prefix=a/",), {b"a/1", b"a/2"}),
        (("--prefix=a/", "--dest-prefix=copy/"), {b"copy/1", b"copy/2"}),
        (("--prefix=a/", "--no-dest-prefix"), {b"1", b"2"}),
        (("--dest-prefix=all/",), {b"all/a/1", b"all/a/2", b"all/b"}),
        ((), {b"a/1", b"a/2", b"b"}),
    ],
)
async def test_keys_are_renamed(flags: tuple[str, ...], names: set[bytes], autojump_clock):
    async with two_nodes() as (terminal, source, copy), trio.open_nursery() as nursery:
        await source.put("a/1", "1")
        await source.put("b", "2")
        nursery.start_soon(terminal.run, "make-mirror", *flags, COPY)
        last = max(names - {b"b", b"all/b"}).decode()
        await until_marked(source, copy, "a/2", last)
        assert set(await keys_of(copy)) == names
        nursery.cancel_scope.cancel()


async def test_only_what_comes_from_a_revision_on_is_mirrored(autojump_clock):
    async with two_nodes() as (terminal, source, copy), trio.open_nursery() as nursery:
        await source.put("a/old", "1")
        since = (await source.put("a/new", "2")).revision
        nursery.start_soon(terminal.run, "make-mirror", "--prefix=a/", f"--rev={since}", COPY)
        await until_marked(source, copy, "a/mark", "a/mark")
        assert set(await keys_of(copy)) == {b"a/new", b"a/mark"}
        nursery.cancel_scope.cancel()


async def test_a_revision_is_one_at_the_destination_too_unless_it_is_too_large(autojump_clock):
    async with two_nodes() as (_, source, copy), trio.open_nursery() as nursery:
        mirror = Mirror(source, copy, Plan(b"", b"", most_operations=4))
        nursery.start_soon(mirror.run)
        await until_marked(source, copy, "mark", "mark")
        before = (await copy.get_prefix("")).revision
        await source.txn(then=[put(f"{n}", "small") for n in range(4)])
        await source.txn(then=[put(f"{n}", "large") for n in range(9)])
        await until_marked(source, copy, "mark", "mark")
        assert (await copy.get_prefix("")).revision == before + 1 + 3 + 1
        assert mirror.total == 4 + 9 + 2
        nursery.cancel_scope.cancel()


async def test_it_ends_when_changes_are_lost(autojump_clock):
    async with two_nodes() as (terminal, source, _):
        for number in range(5):
            await source.put("a", f"{number}")
        await source.compact(5)
        done = await terminal.run("make-mirror", "--rev=3", COPY)
        error = "Error: etcdserver: mvcc: required revision has been compacted\n"
        assert done == (1, "", error)


async def test_it_says_from_time_to_time_how_much_it_has_written(autojump_clock):
    async with two_nodes() as (terminal, source, _):
        await source.put("a", "1")
        await source.put("b", "1")
        with trio.move_on_after(65):
            await terminal.run("make-mirror", COPY)
        assert terminal.out.getvalue() == b"2\n2\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "make-mirror takes one destination argument"),
        (("a", "b"), "make-mirror takes one destination argument"),
        (
            ("a", "--dest-prefix=x", "--no-dest-prefix"),
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        ),
    ],
)
async def test_misuse_is_said(words: tuple[str, ...], why: str):
    done = await Terminal(MemoryNetwork()).run("make-mirror", *words)
    assert done == (128, "", f"Error: {why}\n")
