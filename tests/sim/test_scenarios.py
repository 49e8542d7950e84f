"""Named misfortunes of three whole members, and what must come of them."""

from __future__ import annotations

from statistics import median

import trio

from trioetcd.testing.checker import check_keys
from trioetcd.testing.cluster import Cluster, run_cluster, simple_settings
from trioetcd.testing.history import Delete, Found, Get, Put, Written
from trioetcd.testing.workload import Client

ELECTION_TIMEOUT = simple_settings(3)[0].election_timeout
KEY = b"key"


def play(seed: int, what) -> None:
    async def after_start(cluster: Cluster) -> None:
        await cluster.until_serving(10.0)
        await what(cluster)

    run_cluster(seed, after_start, lambda rng: simple_settings(3))


def term_of(member) -> int:
    return member.node.parts.raft.status.term


def test_a_follower_cut_off_for_a_minute_returns_to_the_same_leader_and_term():
    async def what(cluster: Cluster) -> None:
        leader = await cluster.leader()
        term = term_of(leader)
        follower = next(one for one in cluster.members if one is not leader)
        others = [one.name for one in cluster.members if one is not follower]
        cluster.network.cut([follower.name], others)
        await trio.sleep(60)
        cluster.network.heal()
        async with cluster.client(1, follower) as client:
            await trio.sleep(5)
            assert isinstance((await client.do(Get(KEY))).result, Found)
        assert await cluster.leader() is leader
        assert term_of(leader) == term_of(follower) == term

    play(1, what)


def test_a_leader_that_cannot_be_heard_is_replaced_and_steps_down():
    async def what(cluster: Cluster) -> None:
        old = await cluster.leader()
        others = [one for one in cluster.members if one is not old]
        cluster.network.cut([old.name], [one.name for one in others], one_way=True)
        await trio.sleep(3 * ELECTION_TIMEOUT)
        new = await cluster.leader()
        assert new is not old
        assert not old.node.parts.raft.status.is_leader
        async with cluster.client(1, new) as client:
            assert isinstance((await client.do(Put(KEY, b"1"))).result, Written)
        cluster.network.heal()
        async with cluster.client(2, old) as client:
            await trio.sleep(5)
            assert (await client.do(Get(KEY))).result.value == b"1"

    play(2, what)


def test_without_a_majority_nothing_is_acknowledged_and_old_reads_are_answered():
    async def what(cluster: Cluster) -> None:
        last, *others = cluster.members
        async with cluster.client(1, last) as client:
            put = await client.do(Put(KEY, b"1"))
            assert put.is_known
            for member in others:
                member.lose_power()
            await trio.sleep(5 * ELECTION_TIMEOUT)
            old = await client.do(Get(KEY, serializable=True))
            assert old.result.value == b"1"
            for request in (Get(KEY), Put(KEY, b"2"), Delete(KEY)):
                done = await client.do(request)
                assert done is None or not done.is_known
            for member in others:
                await member.ended()
                member.boot()
            await cluster.until_serving(10.0)
            assert isinstance((await client.do(Get(KEY))).result, Found)
        check_keys(cluster.notes.operations)

    play(3, what)


def test_writes_resume_soon_after_a_leader_has_lost_power():
    """As new requests see it: one that was on its way to the dead leader waits out its time."""
    pauses: list[float] = []

    async def what(cluster: Cluster) -> None:
        leader = await cluster.leader()
        others = [one for one in cluster.members if one is not leader]
        leader.lose_power()
        began = trio.current_time()

        async def ask(client: Client, scope: trio.CancelScope) -> None:
            done = await client.do(Put(KEY, client.value()))
            if done is not None and done.is_known:
                scope.cancel()

        async with cluster.client(1, *others) as client, trio.open_nursery() as nursery:
            while not nursery.cancel_scope.cancel_called:
                nursery.start_soon(ask, client, nursery.cancel_scope)
                await trio.sleep(0.05)
        pauses.append(trio.current_time() - began)

    for seed in range(15):
        play(seed, what)
    assert median(pauses) < 1.5 * ELECTION_TIMEOUT, pauses


def test_all_members_that_lose_power_together_keep_what_they_acknowledged():
    async def what(cluster: Cluster) -> None:
        async with cluster.client(1) as client:
            for number in range(20):
                await client.do(Put(KEY, b"%d" % number))
            for _ in range(3):
                for member in cluster.members:
                    member.lose_power()
                for member in cluster.members:
                    await member.ended()
                    member.boot()
                await cluster.until_serving(10.0)
                await trio.sleep(2)
                await client.do(Get(KEY))
                await client.do(Put(KEY, client.value()))
        check_keys(cluster.notes.operations)
        assert sum(one.is_known for one in cluster.notes.operations) > 20

    for seed in range(4):
        play(seed, what)
