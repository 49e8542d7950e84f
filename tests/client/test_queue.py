"""Queues, on every server."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from trioetcd.client import LeaseLost

ITEMS, CONSUMERS = 30, 5


async def test_each_item_is_got_once_and_in_order(client):
    queue = client.queue("jobs")
    for number in range(5):
        await queue.put(str(number))
    assert [await queue.get() for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert await client.count("jobs/") == 0


async def test_many_who_get_share_the_items(client):
    got: Counter[bytes] = Counter()

    async def consumer(nursery: trio.Nursery) -> None:
        while True:
            got[await client.queue("jobs").get()] += 1
            if got.total() == ITEMS:
                nursery.cancel_scope.cancel()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(CONSUMERS):
                nursery.start_soon(consumer, nursery)
            for number in range(ITEMS):
                await client.queue("jobs").put(str(number))
    assert got == Counter(b"%d" % number for number in range(ITEMS))


async def test_the_lowest_number_comes_first(client):
    queue = client.priority_queue("jobs")
    for value, priority in (("late", 9), ("first", 1), ("second", 1), ("soon", 2), ("now", 0)):
        await queue.put(value, priority)
    assert [await queue.get() for _ in range(5)] == [b"now", b"first", b"second", b"soon", b"late"]
    with pytest.raises(ValueError, match="from 0 to 65535"):
        await queue.put("x", 65_536)


async def test_many_who_put_keep_their_order(client):
    queue = client.priority_queue("jobs")

    async def producer(name: str) -> None:
        for number in range(4):
            await queue.put(f"{name}{number}", 7)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(producer, name)
    got = [(await queue.get()).decode() for _ in range(12)]
    for name in "abc":
        assert [one for one in got if one[0] == name] == [f"{name}{number}" for number in range(4)]


async def test_what_is_taken_is_gone_when_the_work_is_done(client):
    queue = client.queue("jobs")
    await queue.put("a")
    await queue.put("b")
    async with queue.take() as first, queue.take() as second:
        assert (first.text, second.text) == ("a", "b")
        assert first.token < second.token
        assert await client.count("jobs/") == 2
    assert await client.count("jobs/") == 0
    assert await client.count("__claims/") == 0


async def test_what_is_not_done_is_given_to_another(client):
    queue = client.queue("jobs")
    await queue.put("a")
    tokens = []

    async def fail() -> None:
        async with queue.take() as job:
            tokens.append(job.token)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await fail()
    async with queue.take() as job:
        assert job.text == "a"
        assert job.token > tokens[0]


async def test_a_waiting_worker_gets_what_another_gives_up(client):
    queue = client.queue("jobs")
    await queue.put("a")
    got = trio.Event()

    async def second() -> None:
        async with queue.take() as job:
            assert job.text == "a"
            got.set()

    async def first(nursery: trio.Nursery) -> None:
        async with queue.take() as job:
            nursery.start_soon(second)
            await client.revoke_lease(job.lease.id)
            await trio.sleep_forever()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            with pytest.raises(LeaseLost):
                await first(nursery)
    assert got.is_set()


async def test_workers_share_what_there_is(client):
    queue = client.queue("jobs")
    done: Counter[str] = Counter()

    async def worker(nursery: trio.Nursery) -> None:
        while True:
            async with queue.take() as job:
                done[job.text] += 1
            if done.total() == ITEMS:
                nursery.cancel_scope.cancel()

    for number in range(ITEMS):
        await queue.put(str(number))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(CONSUMERS):
                nursery.start_soon(worker, nursery)
    assert done == Counter(str(number) for number in range(ITEMS))
