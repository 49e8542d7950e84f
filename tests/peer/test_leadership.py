"""A leadership is a nursery: what only a leader may do ends with it."""

from __future__ import annotations

import trio
import trio.testing

from tests.peer.cluster import Cluster, Member, three_members
from wire.errors import TimeoutLeaderTransfer
from wire.pb import etcdserverpb


class Probe:
    """A duty that notes when it runs."""

    def __init__(self) -> None:
        self.running: list[tuple[str, int]] = []  # member and term
        self.begun: list[tuple[str, int]] = []

    def join(self, cluster: Cluster) -> None:
        for member in cluster.running:
            assert member.node is not None
            member.node.parts.duties.append(self._duty_of(member))

    def _duty_of(self, member: Member):
        async def duty(term: int) -> None:
            own = member.settings.name, term
            self.begun.append(own)
            self.running.append(own)
            try:
                await trio.sleep_forever()
            finally:
                self.running.remove(own)

        return duty


def term_of(member: Member) -> int:
    assert member.node is not None
    return member.node.parts.raft.status.term


async def test_nothing_of_a_leadership_outlives_it(autojump_clock):
    async with three_members() as cluster:
        probe = Probe()
        probe.join(cluster)
        for _ in range(6):
            old = await cluster.leader()
            heir = next(one for one in cluster.running if one is not old)
            await old.node.parts.raft.transfer_leadership(heir.node.member_id)
            new = await cluster.leader()
            assert new is heir
            assert probe.running == [(new.settings.name, term_of(new))]
        assert len(set(probe.begun)) == len(probe.begun) == 6


async def test_who_would_move_the_lead_to_a_lost_member_does_not_wait_for_ever(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        lost = next(one for one in cluster.running if one is not leader)
        target = lost.node.member_id
        await lost.kill()
        request = etcdserverpb.MoveLeaderRequest(targetID=target)
        path = "/etcdserverpb.Maintenance/MoveLeader"
        with trio.fail_after(60):
            answer = await leader.caller.call(path, request, etcdserverpb.MoveLeaderResponse)
        assert answer == TimeoutLeaderTransfer.text
        assert (await leader.caller.put(b"a")).header.revision == 2


async def test_a_leader_that_hears_no_quorum_gives_up_its_duties(autojump_clock):
    async with three_members() as cluster:
        probe = Probe()
        probe.join(cluster)
        old = await cluster.leader()
        heir = next(one for one in cluster.running if one is not old)
        await old.node.parts.raft.transfer_leadership(heir.node.member_id)
        leader = await cluster.leader()
        assert leader.node.parts.lessor.term == term_of(leader)
        for one in cluster.running:
            if one is not leader:
                await one.kill()
        await trio.sleep(3)
        assert not leader.is_leader
        assert probe.running == []
        assert leader.node.parts.lessor.term is None
