"""Authentication in a cluster: any member tells who somebody is, and all judge alike."""

from __future__ import annotations

import trio

from actors.snapshot.actor import Retention
from tests.api.authentic import PASSWORDS, auth, done, enable, log_in, with_token
from tests.node.caller import Caller
from tests.peer.cluster import three_members
from wire.errors import InvalidAuthToken, PermissionDenied, UserEmpty

CHEAP = 4  # cost of passwords


async def test_a_token_from_a_follower_is_good_everywhere(autojump_clock):
    async with three_members(bcrypt_cost=CHEAP) as cluster:
        leader = await cluster.leader()
        await enable(leader.caller)
        await cluster.settled()
        followers = [one for one in cluster.running if one is not leader]
        alice = await log_in(followers[0].node, "alice")
        token = alice.metadata["token"][0].decode()
        for member in cluster.running:
            caller = with_token(member.node, token)
            assert not isinstance(await caller.put(b"a"), str)
            assert await caller.put(b"z") == PermissionDenied.text
            assert (await caller.get(b"a")).count == 1
            assert await Caller(member.node).get(b"a") == UserEmpty.text


async def test_a_member_that_has_not_heard_of_a_token_yet_waits_until_it_has(autojump_clock):
    async with three_members(bcrypt_cost=CHEAP) as cluster:
        leader = await cluster.leader()
        await enable(leader.caller)
        await cluster.settled()
        late = next(one for one in cluster.running if one is not leader)
        # The token is made of an entry that this member gets only as its call waits.
        token = f"abcdefghijklmnop.{late.node.parts.rows.applied_index + 2}"
        answers = []

        async def ask() -> None:
            answers.append(await with_token(late.node, token).put(b"a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            assert not answers
            for _ in range(3):
                await (await log_in(leader.node, "root")).put(b"z")
        assert answers == [InvalidAuthToken.text]  # it exists no more than before


async def test_changes_are_judged_alike_by_all(autojump_clock):
    async with three_members(bcrypt_cost=CHEAP) as cluster:
        leader = await cluster.leader()
        await enable(leader.caller)
        callers = [await log_in(one.node, "root") for one in cluster.running]
        for number, caller in enumerate(callers * 4):
            await done(caller, "RoleAdd", name=f"role{number}")
            await done(caller, "UserGrantRole", user="bob", role=f"role{number}")
            assert await auth(caller, "RoleAdd", name="r") == "etcdserver: role name already exists"
        await cluster.settled()
        stores = [one.node.parts.auth for one in cluster.running]
        assert len({store.revision for store in stores}) == 1
        assert stores[0].users == stores[1].users == stores[2].users
        assert stores[0].roles == stores[1].roles == stores[2].roles


async def test_who_joins_by_a_snapshot_knows_the_users(autojump_clock):
    retention = Retention(snapshot_count=20, catchup_entries=5)
    async with three_members(bcrypt_cost=CHEAP, retention=retention) as cluster:
        leader = await cluster.leader()
        behind = next(one for one in cluster.running if one is not leader)
        await behind.kill()
        leader = await cluster.leader()
        await enable(leader.caller)
        root = await log_in(leader.node, "root")
        for number in range(60):
            await root.put(b"a%d" % number)
        await behind.start()
        await cluster.settled()
        assert behind.node.parts.auth.enabled
        assert behind.node.parts.auth.users == leader.node.parts.auth.users
        alice = await log_in(behind.node, "alice", PASSWORDS["alice"])
        assert (await alice.get(b"a1")).count == 1
        assert await alice.put(b"z") == PermissionDenied.text
