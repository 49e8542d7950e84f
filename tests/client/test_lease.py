"""Leases, locks and leaderships, on every server."""

from __future__ import annotations

import pytest
import trio

from trioetcd import open_client
from trioetcd.client import LeaseLost


async def test_a_lease_lives_as_long_as_its_block(client):
    async with client.lease(ttl=60) as lease:
        await client.put("l", "x", lease_id=lease.id)
        found = await client.time_to_live(lease.id, keys=True)
        assert (found.granted, found.keys) == (60, (b"l",))
        assert await client.leases() == [lease.id]
        assert await client.keep_alive_once(lease.id) == 60
    assert await client.get("l") is None
    assert await client.keep_alive_once(lease.id) == 0


async def test_a_lease_revoked_by_others_ends_the_block(client):
    async def work():
        async with client.lease(ttl=2) as lease:
            await client.revoke_lease(lease.id)
            await trio.sleep_forever()

    with pytest.raises(LeaseLost), trio.fail_after(20):
        await work()


async def test_locks_are_held_one_after_the_other_with_growing_tokens(client):
    held = []

    async def worker():
        async with client.lock("lock", ttl=30) as lock:
            held.append(("in", lock.token))
            await trio.lowlevel.checkpoint()
            held.append(("out", lock.token))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(worker)
    assert [word for word, _ in held] == ["in", "out"] * 4
    tokens = [token for _, token in held]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 4


async def test_a_lock_whose_key_is_deleted_cancels_its_block_at_once(client):
    async def work():
        async with client.lock("lock", ttl=60) as lock:
            assert lock.key == b"lock/%x" % lock.lease.id
            await client.delete(lock.key)
            await trio.sleep_forever()

    with pytest.raises(LeaseLost), trio.fail_after(10):
        await work()


async def test_a_leader_is_observed_from_its_campaign_to_its_end(client):
    async with client.leadership("vote", "me") as term:
        observing = client.observe("vote")
        assert (await anext(observing)).text == "me"
        await term.proclaim("still me")
        assert (await anext(observing)).text == "still me"
        await observing.aclose()
        assert (await client.leader("vote")).key == term.key
    assert await client.leader("vote") is None


async def test_what_a_block_raises_comes_out_as_it_is(client):
    with pytest.raises(KeyError):
        async with client.lock("lock"):
            raise KeyError


async def test_a_program_that_is_cancelled_gives_its_locks_back(url):
    held = trio.Event()

    async def program() -> None:
        async with open_client(url) as client, client.lock("l", ttl=600):
            held.set()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(program)
        await held.wait()
        nursery.cancel_scope.cancel()
    async with open_client(url) as client:
        assert await client.leases() == []
        with trio.fail_after(5):
            async with client.lock("l"):
                pass
