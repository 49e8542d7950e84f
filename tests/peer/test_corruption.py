"""A member that holds something else than the others is found out."""

from __future__ import annotations

import pytest
import trio

from tests.peer.cluster import Member, three_members
from trioetcd.node.corruption import Inconsistent
from wire.pb import etcdserverpb


def falsify(member: Member) -> None:
    """Change a value in the database, behind everybody's back."""
    rows = member.node.parts.rows
    [(key, value)] = rows.scan("key")
    rows.put_row(key, value.replace(b"right", b"wrong"))


async def alarms(member: Member) -> list[tuple[int, int]]:
    request = etcdserverpb.AlarmRequest()
    path = "/etcdserverpb.Maintenance/Alarm"
    answer = await member.caller.call(path, request, etcdserverpb.AlarmResponse)
    return [(one.memberID, one.alarm) for one in answer.alarms]


@pytest.mark.parametrize("settings", [{"corrupt_check_interval": 10.0}])
async def test_the_leader_finds_who_differs(settings, autojump_clock):
    async with three_members(**settings) as cluster:
        leader = await cluster.leader()
        await leader.caller.put(b"key", b"right")
        await cluster.settled()
        await trio.sleep(25)
        assert await alarms(leader) == []

        follower = next(one for one in cluster.running if one is not leader)
        falsify(follower)
        await trio.sleep(25)
        expected = [(follower.node.member_id, etcdserverpb.CORRUPT)]
        assert await alarms(leader) == expected
        assert await leader.caller.put(b"key", b"more") == "etcdserver: corrupt cluster"


async def test_what_is_left_after_a_compaction_is_compared(autojump_clock):
    async with three_members(compact_hash_check_interval=10.0) as cluster:
        leader = await cluster.leader()
        await leader.caller.put(b"key", b"right")
        await cluster.settled()
        follower = next(one for one in cluster.running if one is not leader)
        falsify(follower)
        await trio.sleep(25)
        assert await alarms(leader) == []  # nothing was compacted

        request = etcdserverpb.CompactionRequest(revision=2, physical=True)
        await leader.caller.call(
            "/etcdserverpb.KV/Compact", request, etcdserverpb.CompactionResponse
        )
        await trio.sleep(25)
        assert await alarms(leader) == [(follower.node.member_id, etcdserverpb.CORRUPT)]


async def test_a_member_that_differs_does_not_begin_to_serve(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        await leader.caller.put(b"key", b"right")
        await cluster.settled()
        follower = next(one for one in cluster.running if one is not leader)
        await follower.node.parts.corruption.check_initially()
        falsify(follower)
        with pytest.raises(Inconsistent, match="found data inconsistency with peers"):
            await follower.node.parts.corruption.check_initially()
