"""How a member begins: for the first time, again without its data, alone, or elsewhere."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio

from actors.backend.engine import MemoryEngine
from actors.raft.types import Entry, EntryType
from tests.peer.cluster import PATIENCE, Cluster, Member, three_members
from trioetcd.node.recovery import StartError, open_storage
from trioetcd.node.settings import NodeSettings
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


def test_one_that_goes_on_alone_keeps_what_it_did_not_know_to_be_committed():
    disk = SimulatedDisk(random.Random(1))
    names = ("a", "b", "c")
    settings = NodeSettings(
        name="a",
        peer_urls=("http://a:2380",),
        initial_cluster={name: (f"http://{name}:2380",) for name in names},
    )
    storage = open_storage(settings, disk, lambda _: MemoryEngine())
    committed = storage.hard_state.commit
    acknowledged = Entry(EntryType.NORMAL, 1, committed + 1, b"perhaps")
    storage.log.append([acknowledged], storage.hard_state)
    storage.log.write()
    storage.log.sync()
    storage.lock.release()
    alone = open_storage(replace(settings, force_new_cluster=True), disk, lambda _: MemoryEngine())
    assert acknowledged in alone.entries
    assert alone.hard_state.commit == alone.entries[-1].index == committed + 1 + 2  # two removed
