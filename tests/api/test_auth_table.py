"""Every RPC, called by everybody: who is let in, who is not, and in which words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trio
from google.protobuf.message import Message

from actors.kernel import InlineWorker
from tests.api.authentic import PASSWORDS, enable, log_in, with_token
from tests.api.streams import FakeStream
from tests.node.caller import Caller
from trioetcd.api.permissions import RULES
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings, SimpleTokenSettings
from wire.errors import (
    AuthFailed,
    AuthOldRevision,
    EtcdError,
    InvalidAuthToken,
    PermissionDenied,
    UserEmpty,
)
from wire.grpc.service import Context, Peer
from wire.pb import authpb, etcdserverpb, healthpb, v3electionpb, v3lockpb

pb = etcdserverpb
CALLERS = ("no token", "bad token", "expired token", "bob", "alice", "root")
REFUSALS = {error.text for error in (UserEmpty, InvalidAuthToken, PermissionDenied, AuthFailed)} | {
    AuthOldRevision.text
}
TOKEN_SECONDS = 20.0  # less than the lease lives
PATIENCE = 3.0  # seconds of Trio's clock until a stream that says nothing is taken for let in

ALLOWED = ""
EMPTY, INVALID, DENIED = UserEmpty.text, InvalidAuthToken.text, PermissionDenied.text

Outcome = dict[str, str]


def outcome(nobody: str, wrong: str, bob: str, alice: str, root: str) -> Outcome:
    return dict(zip(CALLERS, (nobody, wrong, wrong, bob, alice, root), strict=True))


ANYBODY = outcome(ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
NO_LIAR = outcome(ALLOWED, INVALID, ALLOWED, ALLOWED, ALLOWED)
KNOWN = outcome(EMPTY, INVALID, ALLOWED, ALLOWED, ALLOWED)
BY_RIGHT = outcome(EMPTY, INVALID, DENIED, ALLOWED, ALLOWED)
ROOT = outcome(EMPTY, INVALID, DENIED, DENIED, ALLOWED)


@dataclass(frozen=True)
class Row:
    request: Message
    outcome: Outcome


KEY, LEASE = b"a1", 77
PERMISSION = authpb.Permission(key=b"z")
COMPARED = pb.Compare(key=KEY, target=pb.Compare.VERSION)
WRITING = [pb.RequestOp(request_put=pb.PutRequest(key=KEY))]

TABLE: dict[str, Row] = {
    "etcdserverpb.KV/Range": Row(pb.RangeRequest(key=KEY), BY_RIGHT),
    "etcdserverpb.KV/RangeStream": Row(pb.RangeRequest(key=KEY), BY_RIGHT),
    "etcdserverpb.KV/Put": Row(pb.PutRequest(key=KEY), BY_RIGHT),
    "etcdserverpb.KV/DeleteRange": Row(pb.DeleteRangeRequest(key=b"a9"), BY_RIGHT),
    "etcdserverpb.KV/Txn": Row(pb.TxnRequest(compare=[COMPARED], success=WRITING), BY_RIGHT),
    "etcdserverpb.KV/Compact": Row(pb.CompactionRequest(revision=1), ROOT),
    "etcdserverpb.Watch/Watch": Row(
        pb.WatchRequest(create_request=pb.WatchCreateRequest(key=KEY)), BY_RIGHT
    ),
    "etcdserverpb.Lease/LeaseGrant": Row(pb.LeaseGrantRequest(TTL=60), KNOWN),
    "etcdserverpb.Lease/LeaseRevoke": Row(pb.LeaseRevokeRequest(ID=LEASE), BY_RIGHT),
    "etcdserverpb.Lease/LeaseKeepAlive": Row(pb.LeaseKeepAliveRequest(ID=LEASE), BY_RIGHT),
    "etcdserverpb.Lease/LeaseTimeToLive": Row(
        pb.LeaseTimeToLiveRequest(ID=LEASE, keys=True), BY_RIGHT
    ),
    "etcdserverpb.Lease/LeaseLeases": Row(pb.LeaseLeasesRequest(), BY_RIGHT),
    "etcdserverpb.Cluster/MemberList": Row(pb.MemberListRequest(linearizable=True), KNOWN),
    "etcdserverpb.Cluster/MemberAdd": Row(pb.MemberAddRequest(peerURLs=["http://x:1"]), ROOT),
    "etcdserverpb.Cluster/MemberRemove": Row(pb.MemberRemoveRequest(ID=9), ROOT),
    "etcdserverpb.Cluster/MemberUpdate": Row(pb.MemberUpdateRequest(ID=9), ROOT),
    "etcdserverpb.Cluster/MemberPromote": Row(pb.MemberPromoteRequest(ID=9), ROOT),
    "etcdserverpb.Maintenance/Alarm": Row(pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE), ROOT),
    "etcdserverpb.Maintenance/Status": Row(pb.StatusRequest(), KNOWN),
    "etcdserverpb.Maintenance/Defragment": Row(pb.DefragmentRequest(), ROOT),
    "etcdserverpb.Maintenance/Hash": Row(pb.HashRequest(), ROOT),
    "etcdserverpb.Maintenance/HashKV": Row(pb.HashKVRequest(), ROOT),
    "etcdserverpb.Maintenance/Snapshot": Row(pb.SnapshotRequest(), ROOT),
    "etcdserverpb.Maintenance/MoveLeader": Row(pb.MoveLeaderRequest(targetID=9), ROOT),
    "etcdserverpb.Maintenance/Downgrade": Row(
        pb.DowngradeRequest(action=pb.DowngradeRequest.VALIDATE, version="3.5.0"), ROOT
    ),
    "etcdserverpb.Auth/Authenticate": Row(
        pb.AuthenticateRequest(name="bob", password=PASSWORDS["bob"]), ANYBODY
    ),
    "etcdserverpb.Auth/AuthStatus": Row(pb.AuthStatusRequest(), NO_LIAR),
    "etcdserverpb.Auth/AuthEnable": Row(pb.AuthEnableRequest(), ROOT),
    "etcdserverpb.Auth/AuthDisable": Row(pb.AuthDisableRequest(), ROOT),
    "etcdserverpb.Auth/UserAdd": Row(pb.AuthUserAddRequest(name="new", password="p"), ROOT),
    "etcdserverpb.Auth/UserGet": Row(pb.AuthUserGetRequest(name="alice"), BY_RIGHT),
    "etcdserverpb.Auth/UserList": Row(pb.AuthUserListRequest(), ROOT),
    "etcdserverpb.Auth/UserDelete": Row(pb.AuthUserDeleteRequest(name="alice"), ROOT),
    "etcdserverpb.Auth/UserChangePassword": Row(
        pb.AuthUserChangePasswordRequest(name="alice", password="p"), ROOT
    ),
    "etcdserverpb.Auth/UserGrantRole": Row(
        pb.AuthUserGrantRoleRequest(user="alice", role="root"), ROOT
    ),
    "etcdserverpb.Auth/UserRevokeRole": Row(
        pb.AuthUserRevokeRoleRequest(name="alice", role="r"), ROOT
    ),
    "etcdserverpb.Auth/RoleAdd": Row(pb.AuthRoleAddRequest(name="new"), ROOT),
    "etcdserverpb.Auth/RoleGet": Row(pb.AuthRoleGetRequest(role="r"), BY_RIGHT),
    "etcdserverpb.Auth/RoleList": Row(pb.AuthRoleListRequest(), ROOT),
    "etcdserverpb.Auth/RoleDelete": Row(pb.AuthRoleDeleteRequest(role="r"), ROOT),
    "etcdserverpb.Auth/RoleGrantPermission": Row(
        pb.AuthRoleGrantPermissionRequest(name="r", perm=PERMISSION), ROOT
    ),
    "etcdserverpb.Auth/RoleRevokePermission": Row(
        pb.AuthRoleRevokePermissionRequest(role="r", key=b"a", range_end=b"b"), ROOT
    ),
    # Made of puts, ranges and watches of keys under the given one.
    "v3lockpb.Lock/Lock": Row(v3lockpb.LockRequest(name=KEY, lease=LEASE), BY_RIGHT),
    "v3lockpb.Lock/Unlock": Row(v3lockpb.UnlockRequest(key=KEY), BY_RIGHT),
    "v3electionpb.Election/Campaign": Row(
        v3electionpb.CampaignRequest(name=KEY, lease=LEASE), BY_RIGHT
    ),
    "v3electionpb.Election/Proclaim": Row(
        v3electionpb.ProclaimRequest(leader=v3electionpb.LeaderKey(name=KEY, key=KEY)), BY_RIGHT
    ),
    "v3electionpb.Election/Leader": Row(v3electionpb.LeaderRequest(name=KEY), BY_RIGHT),
    "v3electionpb.Election/Observe": Row(v3electionpb.LeaderRequest(name=KEY), BY_RIGHT),
    "v3electionpb.Election/Resign": Row(
        v3electionpb.ResignRequest(leader=v3electionpb.LeaderKey(name=KEY, key=KEY)), BY_RIGHT
    ),
    "grpc.health.v1.Health/Check": Row(healthpb.HealthCheckRequest(), ANYBODY),
    "grpc.health.v1.Health/List": Row(healthpb.HealthListRequest(), ANYBODY),
    "grpc.health.v1.Health/Watch": Row(healthpb.HealthCheckRequest(), ANYBODY),
    # What can be asked of the server is no secret; it need not be asked anything here.
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Row(pb.StatusRequest(), ANYBODY),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Row(
        pb.StatusRequest(), ANYBODY
    ),
}


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    settings = NodeSettings(bcrypt_cost=4, tokens=SimpleTokenSettings(TOKEN_SECONDS))
    async with open_node(settings, password_worker=InlineWorker()) as node:
        yield node


async def test_every_rpc_has_a_row_and_a_rule(node: Node):
    registered = {path.decode() for path in node.registry.methods}
    assert registered <= set(RULES)
    assert {path[1:] for path in registered} <= set(TABLE)


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("name", sorted(TABLE))
async def test_who_may_call(node: Node, name: str, who: str, autojump_clock):
    path = "/" + name
    if path.encode() not in node.registry.methods:
        return  # a service that this build does not have
    open_to_all = Caller(node)
    await open_to_all.call(
        "/etcdserverpb.Lease/LeaseGrant",
        pb.LeaseGrantRequest(ID=LEASE, TTL=60),
        pb.LeaseGrantResponse,
    )
    await open_to_all.put(KEY, lease=LEASE)
    await enable(open_to_all)
    caller = await caller_of(node, who)
    row = TABLE[name]
    assert await refusal(node, path, row.request, caller) == row.outcome[who]


async def caller_of(node: Node, who: str) -> Caller:
    match who:
        case "no token":
            return Caller(node)
        case "bad token":
            return with_token(node, "abcdefghijklmnop.1")
        case "expired token":
            caller = await log_in(node, "root")
            await trio.sleep(TOKEN_SECONDS)
            return caller
        case _:
            return await log_in(node, who)


async def refusal(node: Node, path: str, request: Message, caller: Caller) -> str:
    """The words in which the caller is not let in; empty if he is, whatever comes of the call."""
    method = node.registry.methods[path.encode()]
    words = ""
    if method.stream is None:
        answer = await caller.call(path, request, _Any)
        words = answer if isinstance(answer, str) else ""
    else:
        stream = FakeStream()
        stream.context = Context(path, caller.metadata, Peer())
        stream.ask(request.SerializeToString())
        try:
            with trio.move_on_after(PATIENCE):
                await method.stream(stream)
        except EtcdError as error:
            words = str(error)
        if path.endswith("/Watch") and stream.waiting and not words:
            response = pb.WatchResponse.FromString(await stream.read())
            words = response.cancel_reason.rpartition("desc = ")[2]
    return words if words in REFUSALS else ALLOWED


class _Any:
    """Takes any response for one."""

    @staticmethod
    def FromString(data: bytes) -> bytes:
        return data
