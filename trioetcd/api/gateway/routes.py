"""Which path calls which method.

Source: etcd api/etcdserverpb/rpc.proto and the lock and election services (google.api.http).
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from wire.pb import etcdserverpb, v3electionpb, v3lockpb


@dataclass(frozen=True)
class Route:
    method: str  # gRPC's path
    request: type[Message]
    streams: bool = False  # answers with a line a message
    listens: bool = False  # takes several requests


def _routes(service: str, module: object, **methods: tuple[str, str]) -> dict[str, Route]:
    """Per method: paths, separated by blanks, and what the request message is called."""
    found = {}
    for method, (paths, request) in methods.items():
        streams, listens = method in _STREAMS, method in _LISTENS
        made = Route(f"/{service}/{method}", getattr(module, request), streams, listens)
        found.update({f"/v3/{path}": made for path in paths.split()})
    return found


_LISTENS = {"Watch", "LeaseKeepAlive"}
_STREAMS = {*_LISTENS, "Snapshot", "Observe"}

ROUTES: dict[str, Route] = {
    **_routes(
        "etcdserverpb.KV",
        etcdserverpb,
        Range=("kv/range", "RangeRequest"),
        Put=("kv/put", "PutRequest"),
        DeleteRange=("kv/deleterange", "DeleteRangeRequest"),
        Txn=("kv/txn", "TxnRequest"),
        Compact=("kv/compaction", "CompactionRequest"),
    ),
    **_routes("etcdserverpb.Watch", etcdserverpb, Watch=("watch", "WatchRequest")),
    **_routes(
        "etcdserverpb.Lease",
        etcdserverpb,
        LeaseGrant=("lease/grant", "LeaseGrantRequest"),
        LeaseRevoke=("lease/revoke kv/lease/revoke", "LeaseRevokeRequest"),
        LeaseKeepAlive=("lease/keepalive", "LeaseKeepAliveRequest"),
        LeaseTimeToLive=("lease/timetolive kv/lease/timetolive", "LeaseTimeToLiveRequest"),
        LeaseLeases=("lease/leases kv/lease/leases", "LeaseLeasesRequest"),
    ),
    **_routes(
        "etcdserverpb.Cluster",
        etcdserverpb,
        MemberAdd=("cluster/member/add", "MemberAddRequest"),
        MemberRemove=("cluster/member/remove", "MemberRemoveRequest"),
        MemberUpdate=("cluster/member/update", "MemberUpdateRequest"),
        MemberList=("cluster/member/list", "MemberListRequest"),
        MemberPromote=("cluster/member/promote", "MemberPromoteRequest"),
    ),
    **_routes(
        "etcdserverpb.Maintenance",
        etcdserverpb,
        Alarm=("maintenance/alarm", "AlarmRequest"),
        Status=("maintenance/status", "StatusRequest"),
        Defragment=("maintenance/defragment", "DefragmentRequest"),
        Hash=("maintenance/hash", "HashRequest"),
        HashKV=("maintenance/hashkv", "HashKVRequest"),
        Snapshot=("maintenance/snapshot", "SnapshotRequest"),
        MoveLeader=("maintenance/transfer-leadership", "MoveLeaderRequest"),
        Downgrade=("maintenance/downgrade", "DowngradeRequest"),
    ),
    **_routes(
        "etcdserverpb.Auth",
        etcdserverpb,
        AuthEnable=("auth/enable", "AuthEnableRequest"),
        AuthDisable=("auth/disable", "AuthDisableRequest"),
        AuthStatus=("auth/status", "AuthStatusRequest"),
        Authenticate=("auth/authenticate", "AuthenticateRequest"),
        UserAdd=("auth/user/add", "AuthUserAddRequest"),
        UserGet=("auth/user/get", "AuthUserGetRequest"),
        UserList=("auth/user/list", "AuthUserListRequest"),
        UserDelete=("auth/user/delete", "AuthUserDeleteRequest"),
        UserChangePassword=("auth/user/changepw", "AuthUserChangePasswordRequest"),
        UserGrantRole=("auth/user/grant", "AuthUserGrantRoleRequest"),
        UserRevokeRole=("auth/user/revoke", "AuthUserRevokeRoleRequest"),
        RoleAdd=("auth/role/add", "AuthRoleAddRequest"),
        RoleGet=("auth/role/get", "AuthRoleGetRequest"),
        RoleList=("auth/role/list", "AuthRoleListRequest"),
        RoleDelete=("auth/role/delete", "AuthRoleDeleteRequest"),
        RoleGrantPermission=("auth/role/grant", "AuthRoleGrantPermissionRequest"),
        RoleRevokePermission=("auth/role/revoke", "AuthRoleRevokePermissionRequest"),
    ),
    **_routes(
        "v3lockpb.Lock",
        v3lockpb,
        Lock=("lock/lock", "LockRequest"),
        Unlock=("lock/unlock", "UnlockRequest"),
    ),
    **_routes(
        "v3electionpb.Election",
        v3electionpb,
        Campaign=("election/campaign", "CampaignRequest"),
        Proclaim=("election/proclaim", "ProclaimRequest"),
        Leader=("election/leader", "LeaderRequest"),
        Observe=("election/observe", "LeaderRequest"),
        Resign=("election/resign", "ResignRequest"),
    ),
}


def response_of(route: Route) -> type[Message]:
    """Named as the request is, but for what Observe shares with Leader."""
    module = {"v3lockpb.Lock": v3lockpb, "v3electionpb.Election": v3electionpb}.get(
        route.method.split("/")[1], etcdserverpb
    )
    name = route.request.DESCRIPTOR.name.removesuffix("Request") + "Response"
    found: type[Message] = getattr(module, name)
    return found
