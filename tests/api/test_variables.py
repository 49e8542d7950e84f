"""/debug/vars."""

from __future__ import annotations

import json

from tests.peer.cluster import three_members
from trioetcd.api.variables import without_secrets
from trioetcd.node.node import Node
from wire.http import HTTPRequest


async def raft_of(node: Node) -> dict:
    response = await node.web.handle(HTTPRequest("GET", "/debug/vars"))
    shown = json.loads(response.body)
    assert response.status == 200
    assert set(shown) == {"cmdline", "file_descriptor_limit", "raft.status"}
    return shown["raft.status"]


async def test_rafts_status_is_shown_with_etcds_names(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        follower = next(one for one in cluster.running if one is not leader)
        found, other = await raft_of(leader.node), await raft_of(follower.node)
        own = f"{leader.node.member_id:x}"
        ids = {f"{one.node.member_id:x}" for one in cluster.running}
        assert (found["id"], found["lead"], found["raftState"]) == (own, own, "StateLeader")
        assert set(found["progress"]) == ids
        assert found["progress"][own] == {
            "match": found["commit"],
            "next": found["commit"] + 1,
            "state": "StateReplicate",
        }
        assert (other["lead"], other["raftState"]) == (own, "StateFollower")
        assert (other["progress"], other["leadtransferee"]) == ({}, "0")


def test_passwords_of_a_command_line_are_not_shown():
    given = ["e", "--discovery-password=a=b", "--discovery-password", "c", "--name", "password=d"]
    shown = ["e", "--discovery-password=...", "--discovery-password", "...", "--name"]
    assert without_secrets(given) == [*shown, "password=..."]
