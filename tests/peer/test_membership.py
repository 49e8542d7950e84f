"""Members come and go while the cluster serves."""

from __future__ import annotations

import trio

from tests.peer.cluster import PATIENCE, Cluster, Member, three_members
from wire.pb import etcdserverpb

ADD = "/etcdserverpb.Cluster/MemberAdd"
REMOVE = "/etcdserverpb.Cluster/MemberRemove"
PROMOTE = "/etcdserverpb.Cluster/MemberPromote"


async def add_member(cluster: Cluster, name: str, *, learner: bool = False) -> Member:
    """Have it added, and start it."""
    await trio.sleep(6)  # connections count once they are five seconds old
    through = cluster.running[0]
    request = etcdserverpb.MemberAddRequest(peerURLs=[f"http://{name}:2380"], isLearner=learner)
    added = await through.caller.call(ADD, request, etcdserverpb.MemberAddResponse)
    assert not isinstance(added, str), added
    member = cluster.add(cluster.settings(name, [*cluster.members, name], joins=True))
    with trio.fail_after(PATIENCE):
        await member.start()
    assert member.node is not None
    assert member.node.member_id == added.member.ID
    return member


async def test_a_learner_joins_follows_and_is_promoted(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        await leader.caller.put(b"old", b"1")
        learner = await add_member(cluster, "d", learner=True)
        refused = await learner.caller.put(b"x")
        assert refused == "etcdserver: rpc not supported for learner"
        await leader.caller.put(b"new", b"2")
        await cluster.settled()
        assert len(await cluster.hashes()) == 1

        request = etcdserverpb.MemberPromoteRequest(ID=learner.node.member_id)
        follower = next(one for one in cluster.running if one not in (leader, learner))
        promoted = await follower.caller.call(PROMOTE, request, etcdserverpb.MemberPromoteResponse)
        assert not isinstance(promoted, str), promoted
        await cluster.settled()
        assert (await learner.caller.put(b"x")).header.revision == 4


async def test_a_member_that_is_removed_stops_by_itself(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        leaving = next(one for one in cluster.running if one is not leader)
        await trio.sleep(6)
        node = leaving.node
        request = etcdserverpb.MemberRemoveRequest(ID=node.member_id)
        removed = await leader.caller.call(REMOVE, request, etcdserverpb.MemberRemoveResponse)
        assert len(removed.members) == 2
        with trio.fail_after(PATIENCE):
            await node.stopped.wait()
        assert (await leader.caller.put(b"x")).header.revision == 2


async def test_a_member_that_is_removed_keeps_no_client_waiting(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        leaving = next(one for one in cluster.running if one is not leader)
        node = leaving.node
        caller = leaving.caller
        await trio.sleep(6)
        request = etcdserverpb.MemberRemoveRequest(ID=node.member_id)
        await leader.caller.call(REMOVE, request, etcdserverpb.MemberRemoveResponse)
        with trio.fail_after(PATIENCE):
            await node.parts.removed.wait()
        began = trio.current_time()
        assert await caller.put(b"x") == "etcdserver: no leader"
        assert await caller.get(b"x") == "etcdserver: no leader"
        assert trio.current_time() == began
        assert not node.stopped.is_set(), "other members may need its answers yet"


async def test_a_leader_that_is_removed_leaves_a_cluster_that_goes_on(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        node = leader.node
        await trio.sleep(6)
        other = next(one for one in cluster.running if one is not leader)
        request = etcdserverpb.MemberRemoveRequest(ID=node.member_id)
        removed = await other.caller.call(REMOVE, request, etcdserverpb.MemberRemoveResponse)
        assert not isinstance(removed, str), removed
        with trio.fail_after(PATIENCE):
            await node.stopped.wait()
        await leader.kill()
        await cluster.leader()
        assert (await other.caller.put(b"x")).header.revision == 2
