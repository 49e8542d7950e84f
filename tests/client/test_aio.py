"""asyncio programs inside Trio: the same client."""

from __future__ import annotations

import asyncio

import pytest
import trio_asyncio
from trio_asyncio import aio_as_trio

import trioetcd.aio
from trioetcd import STM, LeaseLost, open_client
from trioetcd.client import put
from wire.errors import KeyNotProvided


@pytest.fixture
async def program(url):
    """Runs a function of an asyncio client, in asyncio."""

    async def run(function):
        async def main():
            async with trioetcd.aio.open_client(url) as client:
                return await asyncio.wait_for(function(client), 20)

        async with trio_asyncio.open_loop():
            return await aio_as_trio(main)()

    return run


async def test_calls_are_awaited(program):
    async def main(client):
        first = await client.put("a", "1")
        done = await client.txn(then=[put("b", "2")])
        assert done.revision == first.revision + 1
        assert [kv.text async for page in client.pages("") for kv in page.items] == ["1", "2"]
        assert (await client.maintenance.status()).is_leader
        with pytest.raises(KeyNotProvided):
            await client.put("", "x")
        return (await client.get("b")).text

    assert await program(main) == "2"


async def test_many_calls_are_under_way_at_once(program):
    async def main(client):
        await asyncio.gather(*(client.put(f"k{number}", "x") for number in range(100)))
        return await client.count("k")

    assert await program(main) == 100


async def test_a_watch_is_a_block_and_is_iterated_over(program):
    async def main(client):
        async with client.watch(prefix="w") as batches:
            await client.put("w1", "a")
            await client.put("w2", "b")
            seen = []
            async for batch in batches:
                seen += [event.key for event in batch.events]
                if len(seen) == 2:
                    return seen

    assert await program(main) == [b"w1", b"w2"]


async def test_leases_and_locks_are_blocks(program):
    async def main(client):
        async with client.lease(ttl=30) as lease:
            await client.put("l", "x", lease_id=lease.id)
        assert await client.get("l") is None
        async with client.leadership("vote", "me") as term:
            await term.proclaim("still me")
            assert (await client.leader("vote")).text == "still me"
        async with client.lock("a") as first:
            token = first.token
        async with client.lock("a") as second:
            assert second.token > token

    await program(main)


async def test_a_lock_that_is_lost_cancels_the_task_in_it(program):
    async def main(client):
        with pytest.raises(LeaseLost):
            await hold(client)
        return asyncio.current_task().cancelling()

    async def hold(client):
        async with client.lock("a") as lock:
            await client.delete(lock.key)
            await asyncio.sleep(3600)

    assert await program(main) == 0


async def test_what_a_block_raises_comes_out_as_it_is(program):
    async def main(client):
        with pytest.raises(KeyError):
            async with client.lock("a"):
                raise KeyError
        async with client.lock("a"):  # it was given back
            pass

    await program(main)


async def test_a_task_that_is_cancelled_gives_its_lock_back(program):
    async def main(client):
        inside = asyncio.Event()

        async def hold():
            async with client.lock("a"):
                inside.set()
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(hold())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with client.lock("a"):
            pass

    await program(main)


async def test_functions_of_an_stm_are_asyncios(program):
    async def main(client):
        async def work(stm: STM):
            seen = await stm.text("a", "0")
            await asyncio.sleep(0)
            stm.put("a", str(int(seen) + 1))
            return seen

        assert await client.stm(work) == "0"
        queue = client.queue("jobs")
        await queue.put("job")
        async with queue.take() as job:
            assert job.text == "job"
        return (await client.get("a")).text

    assert await program(main) == "1"


async def test_both_kinds_of_program_may_share_a_server(program, url):
    async with open_client(url) as client:
        await client.put("a", "from Trio")

        async def main(other):
            return (await other.get("a")).text

        assert await program(main) == "from Trio"


def test_trios_client_says_whose_it_is():
    async def program():
        async with trioetcd.open_client("http://127.0.0.1:1"):
            pass

    with pytest.raises(RuntimeError, match=r"trioetcd\.aio"):
        program().send(None)  # in nobody's loop
