"""Three whole members: what one has acknowledged, all have, whoever leads."""

from __future__ import annotations

import trio

from actors.snapshot.actor import Retention
from tests.peer.cluster import three_members
from wire.pb import etcdserverpb


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


async def test_a_member_that_is_far_behind_gets_a_snapshot(
    autojump_clock,
):
    retention = Retention(snapshot_count=50, catchup_entries=10)
    async with three_members(retention=retention) as cluster:
        leader = await cluster.leader()
        late = next(one for one in cluster.running if not one.is_leader)
        lease = etcdserverpb.LeaseGrantRequest(ID=7, TTL=1000)
        await leader.caller.call(
            "/etcdserverpb.Lease/LeaseGrant", lease, etcdserverpb.LeaseGrantResponse
        )
        await late.kill()
        for number in range(200):
            await leader.caller.put(b"key", b"%d" % number, lease=7)
        await late.start()
        assert late.node.parts.core.log.offset >= 200  # what it has begins with a snapshot
        got = await late.caller.get(b"key")
        assert got.kvs[0].value == b"199"
        assert got.kvs[0].lease == 7
        await cluster.settled()
        assert len(await cluster.hashes()) == 1

        await late.kill()
        await late.start()
        assert (await late.caller.get(b"key")).kvs[0].version == 200


async def test_without_a_quorum_nothing_is_acknowledged_and_with_one_again_all_is(autojump_clock):
    async with three_members() as cluster:
        left = await cluster.leader()
        others = [one for one in cluster.running if one is not left]
        for one in others:
            await one.kill()
        refused = await left.caller.put(b"a")
        assert refused.startswith("etcdserver: request timed out")
        assert await left.caller.get(b"a") == "etcdserver: request timed out"
        await others[0].start()
        await cluster.leader()
        answer = await left.caller.put(b"b")
        assert not isinstance(answer, str), (answer, trio.current_time(), left.is_leader)
        assert (await others[0].caller.get(b"b")).count == 1


async def test_a_lease_is_renewed_through_any_member_and_lives_on_under_another_leader(
    autojump_clock,
):
    async with three_members() as cluster:
        leader = await cluster.leader()
        path, request = (
            "/etcdserverpb.Lease/LeaseGrant",
            etcdserverpb.LeaseGrantRequest(ID=9, TTL=60),
        )
        await leader.caller.call(path, request, etcdserverpb.LeaseGrantResponse)
        for member in cluster.running:
            asked = etcdserverpb.LeaseTimeToLiveRequest(ID=9)
            left = await member.caller.call(
                "/etcdserverpb.Lease/LeaseTimeToLive", asked, etcdserverpb.LeaseTimeToLiveResponse
            )
            assert 55 <= left.TTL <= 60
            renewed = await member.caller.stream(
                "/etcdserverpb.Lease/LeaseKeepAlive", etcdserverpb.LeaseKeepAliveRequest(ID=9)
            )
            assert etcdserverpb.LeaseKeepAliveResponse.FromString(renewed.sent[0]).TTL == 60
        await trio.sleep(30)
        await leader.kill()
        other = await cluster.leader()
        left = await other.caller.call(
            "/etcdserverpb.Lease/LeaseTimeToLive", asked, etcdserverpb.LeaseTimeToLiveResponse
        )
        assert left.TTL >= 55  # a new leader gives every lease its whole time
        await trio.sleep(70)
        left = await other.caller.call(
            "/etcdserverpb.Lease/LeaseTimeToLive", asked, etcdserverpb.LeaseTimeToLiveResponse
        )
        assert left.TTL == -1
