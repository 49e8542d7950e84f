"""Keys, ranges and transactions, on every server."""

from __future__ import annotations

import pytest

from trioetcd.client import delete, get, key, keys, put
from wire.errors import Compacted, KeyNotProvided


async def test_what_was_put_is_got_with_its_history(client):
    first = await client.put("a", "1")
    second = await client.put(b"a", b"2", previous=True)
    assert second.previous.value == b"1"
    found = await client.get("a")
    assert (found.key, found.text, found.version) == (b"a", "2", 2)
    assert (found.create_revision, found.mod_revision) == (first.revision, second.revision)
    assert (await client.get("a", revision=first.revision)).text == "1"
    assert await client.get("b") is None


async def test_a_prefix_is_listed_paged_counted_and_deleted(client):
    for number in range(25):
        await client.put(f"p/{number:02d}", str(number))
    await client.put("q", "not in it")
    listing = await client.get_prefix("p/", limit=10)
    assert (len(listing.items), listing.count, listing.more) == (10, 25, True)
    pages = [len(page.items) async for page in client.pages("p/", page_keys=10)]
    assert pages == [10, 10, 5]
    assert await client.count("p/") == 25
    assert len((await client.get_prefix("")).items) == 26
    assert [kv.key for kv in (await client.get_from("p/24")).items] == [b"p/24", b"q"]
    assert (await client.delete_prefix("p/")).count == 25
    assert await client.count("p/") == 0


async def test_pages_are_of_one_revision(client):
    for number in range(4):
        await client.put(f"p/{number}", "old")
    seen = []
    async for page in client.pages("p/", page_keys=2):
        seen += [kv.text for kv in page.items]
        await client.put("p/3", "new")
        await client.put("p/4", "new")
    assert seen == ["old"] * 4


async def test_a_transaction_takes_one_branch_whole(client):
    ask = {
        "when": [key("a").is_absent, keys("b/").version == 1],
        "then": [put("a", "1"), delete("c")],
        "otherwise": [get("a")],
    }
    await client.put("b/1", "x")
    done = await client.txn(**ask)
    assert done.succeeded
    assert done.results[1].count == 0
    done = await client.txn(**ask)
    assert not done.succeeded
    assert done.results[0].items[0].text == "1"
    assert (await client.txn(when=[key("a").value != "2", key("a").version < 2])).succeeded
    assert not (await client.txn(when=[key("a").mod_revision > done.revision])).succeeded


async def test_compacted_revisions_are_refused_by_name(client):
    for number in range(5):
        last = await client.put("a", str(number))
    await client.compact(last.revision, physical=True)
    with pytest.raises(Compacted):
        await client.get("a", revision=last.revision - 2)


async def test_refusals_are_the_servers_own(client):
    with pytest.raises(KeyNotProvided, match="etcdserver: key is not provided"):
        await client.put("", "x")


async def test_a_large_prefix_comes_in_pages_however_the_server_sends_them(client):
    for first in range(0, 3000, 100):
        await client.txn(then=[put(f"p/{n:04d}", str(n)) for n in range(first, first + 100)])
    pages = [page async for page in client.pages("p/", page_keys=100)]
    assert [kv.text for page in pages for kv in page.items] == [str(n) for n in range(3000)]
    assert len({page.revision for page in pages}) == 1
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    left = 3000
    for page in pages:
        assert page.count == left
        left -= len(page.items)


async def test_ranges_come_in_any_order_and_within_bounds(client):
    for key_, value in (("a", "3"), ("b", "1"), ("c", "2")):
        last = await client.put(key_, value)
    await client.put("a", "4")
    by_value = await client.get_prefix("", order_by="value")
    assert [kv.key for kv in by_value.items] == [b"b", b"c", b"a"]
    newest = await client.get_prefix("", order_by="mod", descending=True, limit=1)
    assert [kv.key for kv in newest.items] == [b"a"]
    older = await client.range("a", "z", max_mod_revision=last.revision)
    assert [kv.key for kv in older.items] == [b"b", b"c"]
