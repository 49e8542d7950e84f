"""How much of a lease is left is the leader's knowledge; a checkpoint tells the next leader."""

from __future__ import annotations

import pytest
import trio

from tests.peer.cluster import Cluster, Member, three_members
from trioetcd.node.parts import CHECKPOINT_SECONDS
from wire.pb import etcdserverpb

TTL = 700
PASSED = CHECKPOINT_SECONDS + 10.0  # when one checkpoint has been written
SLOW = {"heartbeat_interval": 1.0, "election_timeout": 10.0}  # seconds; fewer steps to simulate


async def grant(cluster: Cluster) -> Member:
    leader = await cluster.leader()
    request = etcdserverpb.LeaseGrantRequest(ID=7, TTL=TTL)
    path = "/etcdserverpb.Lease/LeaseGrant"
    answer = await leader.caller.call(path, request, etcdserverpb.LeaseGrantResponse)
    assert answer.TTL == TTL
    return leader


async def left(cluster: Cluster) -> int:
    """Seconds, as the leader of now has it."""
    leader = await cluster.leader()
    request = etcdserverpb.LeaseTimeToLiveRequest(ID=7)
    path = "/etcdserverpb.Lease/LeaseTimeToLive"
    answer = await leader.caller.call(path, request, etcdserverpb.LeaseTimeToLiveResponse)
    assert answer.grantedTTL == TTL
    return int(answer.TTL)


@pytest.mark.parametrize("checkpoints", [True, False])
@pytest.mark.parametrize("killed", [True, False])
async def test_what_is_left_of_a_lease_outlives_its_leader_by_checkpoints_alone(
    autojump_clock, killed: bool, checkpoints: bool
):
    async with three_members(lease_checkpoints=checkpoints, **SLOW) as cluster:
        old = await grant(cluster)
        await trio.sleep(PASSED)
        assert TTL - PASSED - 5 <= await left(cluster) <= TTL - PASSED
        if killed:
            await old.kill()
        else:
            heir = next(one for one in cluster.running if one is not old)
            await old.node.parts.raft.transfer_leadership(heir.node.member_id)
        await trio.sleep(30)  # for elections
        assert await cluster.leader() is not old
        rest = TTL - CHECKPOINT_SECONDS if checkpoints else TTL
        assert rest - 35 <= await left(cluster) <= rest + SLOW["election_timeout"]


async def test_a_renewal_takes_a_checkpoint_back(autojump_clock):
    """Or the next leader would let the lease run out too soon."""
    async with three_members(lease_checkpoints=True, **SLOW) as cluster:
        old = await grant(cluster)
        await trio.sleep(PASSED)
        renewal = etcdserverpb.LeaseKeepAliveRequest(ID=7)
        await old.caller.stream("/etcdserverpb.Lease/LeaseKeepAlive", renewal)
        await trio.sleep(5)
        await old.kill()
        await trio.sleep(30)
        assert TTL - 35 <= await left(cluster) <= TTL + SLOW["election_timeout"]
