"""Locks and elections, called as a connection calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from tests.node.caller import Caller
from trioetcd.api.local import Caller as LocalCaller
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import EtcdError, LeaseNotFound
from wire.grpc.service import Context, Peer
from wire.pb import etcdserverpb, v3electionpb, v3lockpb

LOCK, UNLOCK = "/v3lockpb.Lock/Lock", "/v3lockpb.Lock/Unlock"
CAMPAIGN, PROCLAIM, LEADER, OBSERVE, RESIGN = (
    f"/v3electionpb.Election/{name}"
    for name in ("Campaign", "Proclaim", "Leader", "Observe", "Resign")
)
DEADLINE = 100.0  # seconds of the test's clock


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with open_node(NodeSettings()) as node:
        yield node


@pytest.fixture
async def held(node: Node) -> v3lockpb.LockResponse:
    """The lock of session 1; there is a session 2."""
    await grant(node, 1)
    await grant(node, 2)
    return await lock(node, 1)


async def grant(node: Node, lease: int, ttl: int = 600) -> int:
    request = etcdserverpb.LeaseGrantRequest(TTL=ttl, ID=lease)
    await Caller(node).call(
        "/etcdserverpb.Lease/LeaseGrant", request, etcdserverpb.LeaseGrantResponse
    )
    return lease


async def revoke(node: Node, lease: int) -> None:
    request = etcdserverpb.LeaseRevokeRequest(ID=lease)
    await Caller(node).call(
        "/etcdserverpb.Lease/LeaseRevoke", request, etcdserverpb.LeaseRevokeResponse
    )


async def call(node: Node, path: str, request, response):
    """Raises EtcdError."""
    caller = LocalCaller(node.registry, Context(path, {}, Peer()))
    return response.FromString(await caller.unary(path, request))


async def lock(node: Node, lease: int) -> v3lockpb.LockResponse:
    return await call(
        node, LOCK, v3lockpb.LockRequest(name=b"n", lease=lease), v3lockpb.LockResponse
    )


async def keys(node: Node) -> list[bytes]:
    response = await Caller(node).get(b"\0", b"\0")
    return [kv.key for kv in response.kvs]


class Later:
    """Something that waits, in a task of its own."""

    def __init__(self, nursery: trio.Nursery, function, *args) -> None:
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        self.value = None
        self.error: EtcdError | None = None
        nursery.start_soon(self._run, function, args)

    async def _run(self, function, args) -> None:
        with self.scope:
            try:
                self.value = await function(*args)
            except EtcdError as error:
                self.error = error
        self.done.set()


async def test_a_lock_is_a_key_with_the_lease_in_its_name(node: Node):
    await grant(node, 0xABC)
    held = await lock(node, 0xABC)
    assert held.key == b"n/abc"
    again = await lock(node, 0xABC)  # by the same session
    assert again.key == held.key


async def test_a_lock_without_a_lease_is_granted_one_of_a_minute(autojump_clock, node: Node):
    held = await lock(node, 0)
    assert await keys(node) == [held.key]
    await trio.sleep(62)
    assert await keys(node) == []


async def test_locks_are_held_in_the_order_they_were_asked_for(node: Node):
    for lease in (1, 2, 3):
        await grant(node, lease)
    await lock(node, 1)
    async with trio.open_nursery() as nursery:
        waiting = []
        for lease in (2, 3):
            waiting.append(Later(nursery, lock, node, lease))
            await trio.testing.wait_all_tasks_blocked()
        unlock = v3lockpb.UnlockRequest(key=b"n/1")
        await call(node, UNLOCK, unlock, v3lockpb.UnlockResponse)
        with trio.fail_after(DEADLINE):
            await waiting[0].done.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert not waiting[1].done.is_set()
        await revoke(node, 2)
        with trio.fail_after(DEADLINE):
            await waiting[1].done.wait()
        assert waiting[1].value.key == b"n/3"


async def test_who_stops_waiting_leaves_no_key_behind(node: Node, held):
    async with trio.open_nursery() as nursery:
        waiting = Later(nursery, lock, node, 2)
        await trio.testing.wait_all_tasks_blocked()
        assert await keys(node) == [b"n/1", b"n/2"]
        waiting.scope.cancel()
        await waiting.done.wait()
    assert await keys(node) == [b"n/1"]


async def test_a_session_that_ends_while_it_waits_gets_no_lock(node: Node, held):
    async with trio.open_nursery() as nursery:
        waiting = Later(nursery, lock, node, 2)
        await trio.testing.wait_all_tasks_blocked()
        await revoke(node, 2)
        await revoke(node, 1)
        with trio.fail_after(DEADLINE):
            await waiting.done.wait()
    assert str(waiting.error) == "mutex: session is expired"


async def test_a_lock_for_a_lease_that_is_not_there_is_refused(node: Node):
    with pytest.raises(EtcdError) as refused:
        await lock(node, 77)
    assert str(refused.value) == LeaseNotFound.text


# -- Elections


async def campaign(node: Node, lease: int, value: bytes) -> v3electionpb.LeaderKey:
    request = v3electionpb.CampaignRequest(name=b"e", lease=lease, value=value)
    return (await call(node, CAMPAIGN, request, v3electionpb.CampaignResponse)).leader


async def leader(node: Node) -> bytes:
    request = v3electionpb.LeaderRequest(name=b"e")
    return (await call(node, LEADER, request, v3electionpb.LeaderResponse)).kv.value


async def resign(node: Node, key: v3electionpb.LeaderKey) -> None:
    request = v3electionpb.ResignRequest(leader=key)
    await call(node, RESIGN, request, v3electionpb.ResignResponse)


async def test_the_next_in_line_leads_when_a_leader_resigns(node: Node):
    await grant(node, 1)
    await grant(node, 2)
    first = await campaign(node, 1, b"one")
    assert (first.key, await leader(node)) == (b"e/1", b"one")
    async with trio.open_nursery() as nursery:
        waiting = Later(nursery, campaign, node, 2, b"two")
        await trio.testing.wait_all_tasks_blocked()
        await resign(node, first)
        with trio.fail_after(DEADLINE):
            await waiting.done.wait()
    assert await leader(node) == b"two"


async def test_nobody_leads_an_election_without_candidates(node: Node):
    with pytest.raises(EtcdError, match=r"^election: no leader$"):
        await leader(node)


async def test_only_the_leader_proclaims(node: Node):
    await grant(node, 1)
    key = await campaign(node, 1, b"one")
    request = v3electionpb.ProclaimRequest(leader=key, value=b"more")
    await call(node, PROCLAIM, request, v3electionpb.ProclaimResponse)
    assert await leader(node) == b"more"
    await resign(node, key)
    with pytest.raises(EtcdError, match=r"^election: not leader$"):
        await call(node, PROCLAIM, request, v3electionpb.ProclaimResponse)


async def test_a_candidate_that_goes_away_stands_no_longer(node: Node):
    await grant(node, 1)
    await grant(node, 2)
    await campaign(node, 1, b"one")
    async with trio.open_nursery() as nursery:
        waiting = Later(nursery, campaign, node, 2, b"two")
        await trio.testing.wait_all_tasks_blocked()
        waiting.scope.cancel()
        await waiting.done.wait()
    assert await keys(node) == [b"e/1"]


async def test_an_observer_sees_every_leader_and_what_it_proclaims(node: Node):
    await grant(node, 1)
    await grant(node, 2)
    caller = LocalCaller(node.registry, Context(OBSERVE, {}, Peer()))
    async with caller.stream(OBSERVE, v3electionpb.LeaderRequest(name=b"e")) as stream:

        async def seen() -> bytes:
            with trio.fail_after(DEADLINE):
                message = await stream.next()
            assert message is not None
            return v3electionpb.LeaderResponse.FromString(message).kv.value

        first = await campaign(node, 1, b"one")
        assert await seen() == b"one"
        request = v3electionpb.ProclaimRequest(leader=first, value=b"more")
        await call(node, PROCLAIM, request, v3electionpb.ProclaimResponse)
        assert await seen() == b"more"
        await resign(node, first)
        await campaign(node, 2, b"two")
        assert await seen() == b"two"


async def test_calls_are_made_in_the_callers_name(node: Node):
    context = replace(Context(LOCK, {"token": (b"t",)}, Peer("1.2.3.4:5", "cn")), timeout=3.0)
    _, inner = LocalCaller(node.registry, context)._method("/etcdserverpb.KV/Txn")
    assert (inner.metadata, inner.peer, inner.timeout) == (context.metadata, context.peer, None)
