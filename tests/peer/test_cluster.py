"""Three whole members: what one has acknowledged, all have, whoever leads."""

from __future__ import annotations

from tests.peer.cluster import three_members


async def test_three_members_elect_a_leader_and_apply_the_same(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        for number, member in enumerate(cluster.running):
            put = await member.caller.put(b"key", b"%d" % number)
            assert put.header.revision == number + 2
            assert put.header.raft_term == leader.node.parts.raft.status.term
        for member in cluster.running:
            got = await member.caller.get(b"key")
            assert got.kvs[0].value == b"2"
        await cluster.settled()
        assert len(await cluster.hashes()) == 1


async def test_the_cluster_outlives_its_leader(autojump_clock):
    async with three_members() as cluster:
        first = await cluster.leader()
        await first.caller.put(b"before", b"1")
        await first.kill()
        second = await cluster.leader()
        assert second is not first
        for member in cluster.running:
            assert (await member.caller.get(b"before")).count == 1
        await second.caller.put(b"after", b"2")
        await first.start()
        assert (await first.caller.get(b"after")).count == 1
        await cluster.settled()
        assert len(await cluster.hashes()) == 1
