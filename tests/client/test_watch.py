"""Watches, on every server."""

from __future__ import annotations

import pytest
import trio

from trioetcd.client import WatchCompacted, put


async def take(watch, count: int) -> list:
    with trio.fail_after(20):
        return [await anext(watch) for _ in range(count)]


async def test_events_come_by_revision(client):
    async with client.watch(prefix="w/", previous=True) as watch:
        await client.put("w/1", "a")
        both = await client.txn(then=[put("w/1", "b"), put("w/2", "c")])
        await client.put("x", "not watched")
        await client.delete("w/1")
        first, second, third = await take(watch, 3)
    assert [event.value for event in first.events] == [b"a"]
    assert second.revision == both.revision
    assert [(event.key, event.value) for event in second.events] == [(b"w/1", b"b"), (b"w/2", b"c")]
    assert second.events[0].previous.value == b"a"
    assert third.events[0].is_delete


async def test_history_is_watched_from_any_revision(client):
    first = await client.put("w", "0")
    for number in range(1, 50):
        await client.put("w", str(number))
    async with client.watch("w", start_revision=first.revision) as watch:
        batches = await take(watch, 50)
    assert [batch.events[0].value for batch in batches] == [b"%d" % n for n in range(50)]


async def test_a_compacted_start_is_refused_or_listed_again(client):
    for number in range(5):
        last = await client.put("w", str(number))
    await client.compact(last.revision)
    with pytest.raises(WatchCompacted) as refused:
        async with client.watch("w", start_revision=2) as watch:
            await take(watch, 1)
    assert refused.value.compact_revision == last.revision
    async with client.watch("w", start_revision=2, relist=True) as watch:
        (listed,) = await take(watch, 1)
        assert listed.listing.items[0].value == b"4"
        await client.put("w", "5")
        (batch,) = await take(watch, 1)
        assert batch.events[0].value == b"5"


async def test_a_listing_and_what_follows_are_one(client):
    await client.put("w/1", "a")
    async with client.watch(prefix="w/", relist=True) as watch:
        await client.put("w/2", "b")
        listed, batch = await take(watch, 2)
    assert [kv.key for kv in listed.listing.items] == [b"w/1"]
    assert [event.key for event in batch.events] == [b"w/2"]


async def test_filters_leave_out_what_they_say(client):
    async with client.watch("w", puts=False) as watch:
        await client.put("w", "a")
        await client.delete("w")
        (batch,) = await take(watch, 1)
    assert [event.kind for event in batch.events] == ["delete"]
