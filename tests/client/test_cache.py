"""A prefix that is kept at hand, on every server; how it tells of changes, as plain values."""

from __future__ import annotations

import pytest
import trio

from trioetcd.client import Batch, Cache, Event, KeyValue, Listing, delete, put


async def test_it_has_what_is_there_and_follows(client):
    await client.put("c/a", "1")
    await client.put("d", "not in it")
    async with client.cache("c/") as cache:
        assert [kv.key for kv in cache] == [b"c/a"]
        changes = cache.changes()
        done = await client.txn(then=[put("c/b", "2"), put("c/0", "3"), delete("c/a")])
        with trio.fail_after(20):
            await cache.wait_revision(done.revision)
        assert [(kv.key, kv.text) for kv in cache] == [(b"c/0", "3"), (b"c/b", "2")]
        assert (len(cache), "c/a" in cache, cache.text("c/b"), cache.text("c/a", "no")) == (
            *(2, False, "2", "no"),
        )
        assert cache["c/0"].version == 1
        with pytest.raises(KeyError):
            cache["c/a"]
        with trio.fail_after(20):
            told = [await anext(changes) for _ in range(3)]
        assert {(one.key, one.is_delete) for one in told} == {
            *((b"c/a", True), (b"c/b", False), (b"c/0", False)),
        }


async def test_what_the_block_raises_comes_out_as_it_is(client):
    with pytest.raises(KeyError):
        async with client.cache("c/"):
            raise KeyError


def kv(key: bytes, value: bytes, revision: int) -> KeyValue:
    return KeyValue(key, value, revision, revision, 1, 0)


def change(kind: str, found: KeyValue) -> Batch:
    event = Event(kind, found.key, found.value, found.mod_revision, found, None)
    return Batch(found.mod_revision, (event,))


def listing(revision: int, *items: KeyValue) -> Batch:
    return Batch(revision, listing=Listing(items, len(items), False, revision))


async def test_a_new_listing_is_told_as_the_difference():
    cache = Cache(b"")
    cache.take(listing(3, kv(b"a", b"1", 2), kv(b"b", b"1", 3)))
    changes = cache.changes()
    cache.take(listing(9, kv(b"b", b"1", 3), kv(b"c", b"1", 8)))
    told = [await anext(changes) for _ in range(2)]
    assert [(one.key, one.is_delete) for one in told] == [(b"a", True), (b"c", False)]
    assert cache.revision == 9


async def test_a_slow_reader_hears_the_last_of_each_key():
    cache = Cache(b"")
    cache.take(listing(1))
    slow = cache.changes()
    for revision in range(2, 1000):
        cache.take(change("put", kv(b"%d" % (revision % 2), b"%d" % revision, revision)))
    cache.take(change("put", kv(b"short", b"", 1000)))
    cache.take(change("delete", kv(b"short", b"", 1001)))
    told = [await anext(slow) for _ in range(2)]
    assert [(one.before, one.after.value) for one in told] == [(None, b"998"), (None, b"999")]
    with trio.move_on_after(0) as nothing_more:
        await anext(slow)
    assert nothing_more.cancelled_caught


async def test_readers_who_have_gone_are_forgotten():
    cache = Cache(b"")
    cache.take(listing(1))
    reader = cache.changes()
    assert len(cache._readers) == 1
    del reader
    assert len(cache._readers) == 0
