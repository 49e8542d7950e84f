"""How a member begins: for the first time, again without its data, alone, or elsewhere."""

from __future__ import annotations

import random

import pytest
import trio

from actors.backend.engine import MemoryEngine
from tests.peer.cluster import PATIENCE, Cluster, Member, three_members
from trioetcd.node.recovery import StartError
from trioetcd.testing.disk import SimulatedDisk


def wipe(member: Member) -> None:
    member.disk = SimulatedDisk(random.Random(99))
    member.engine = MemoryEngine()


async def follower_of(cluster: Cluster) -> Member:
    leader = await cluster.leader()
    return next(one for one in cluster.running if one is not leader)


async def test_a_member_that_has_lost_its_data_does_not_begin_anew_under_its_old_id(autojump_clock):
    async with three_members() as cluster:
        wiped = await follower_of(cluster)
        member_id = wiped.node.member_id
        await wiped.kill()
        wipe(wiped)
        with pytest.raises(StartError, match=f"^member {member_id:x} has already been bootstrap"):
            await wiped.start()


async def test_a_wiped_member_and_one_that_is_behind_do_not_forget_what_was_acknowledged(
    autojump_clock,
):
    async with three_members() as cluster:
        leader = await cluster.leader()
        wiped, behind = (one for one in cluster.running if one is not leader)
        await behind.kill()
        await leader.caller.put(b"acknowledged")  # by the leader and the one that will be wiped
        await wiped.kill()
        await leader.kill()
        wipe(wiped)
        behind.begin()
        await trio.sleep(1)  # it answers questions, but does not lead alone
        with pytest.raises(StartError, match="already been bootstrapped"):
            await wiped.start()
        await leader.start()
        with trio.fail_after(PATIENCE):
            while behind.node is None:  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert (await behind.caller.get(b"acknowledged")).count == 1
