"""Every RPC of etcd 3.7: its service, its kind, and the gateway's paths to it, below /v3/.

Source: etcd api/etcdserverpb/rpc.proto, v3lock.proto and v3election.proto (google.api.http), and
grpc.health.v1.
"""

from __future__ import annotations

from typing import NamedTuple

_TABLE = """
etcdserverpb.KV
    Range unary kv/range
    RangeStream server_stream
    Put unary kv/put
    DeleteRange unary kv/deleterange
    Txn unary kv/txn
    Compact unary kv/compaction
etcdserverpb.Watch
    Watch bidi_stream watch
etcdserverpb.Lease
    LeaseGrant unary lease/grant
    LeaseRevoke unary lease/revoke kv/lease/revoke
    LeaseKeepAlive bidi_stream lease/keepalive
    LeaseTimeToLive unary lease/timetolive kv/lease/timetolive
    LeaseLeases unary lease/leases kv/lease/leases
etcdserverpb.Cluster
    MemberAdd unary cluster/member/add
    MemberRemove unary cluster/member/remove
    MemberUpdate unary cluster/member/update
    MemberList unary cluster/member/list
    MemberPromote unary cluster/member/promote
etcdserverpb.Maintenance
    Alarm unary maintenance/alarm
    Status unary maintenance/status
    Defragment unary maintenance/defragment
    Hash unary maintenance/hash
    HashKV unary maintenance/hashkv
    Snapshot server_stream maintenance/snapshot
    MoveLeader unary maintenance/transfer-leadership
    Downgrade unary maintenance/downgrade
etcdserverpb.Auth
    AuthEnable unary auth/enable
    AuthDisable unary auth/disable
    AuthStatus unary auth/status
    Authenticate unary auth/authenticate
    UserAdd unary auth/user/add
    UserGet unary auth/user/get
    UserList unary auth/user/list
    UserDelete unary auth/user/delete
    UserChangePassword unary auth/user/changepw
    UserGrantRole unary auth/user/grant
    UserRevokeRole unary auth/user/revoke
    RoleAdd unary auth/role/add
    RoleGet unary auth/role/get
    RoleList unary auth/role/list
    RoleDelete unary auth/role/delete
    RoleGrantPermission unary auth/role/grant
    RoleRevokePermission unary auth/role/revoke
v3lockpb.Lock
    Lock unary lock/lock
    Unlock unary lock/unlock
v3electionpb.Election
    Campaign unary election/campaign
    Proclaim unary election/proclaim
    Leader unary election/leader
    Observe server_stream election/observe
    Resign unary election/resign
grpc.health.v1.Health
    Check unary
    Watch server_stream
    List unary
"""


class RPC(NamedTuple):
    path: str  # gRPC's
    kind: str
    pages: tuple[str, ...]


def _read() -> list[RPC]:
    found, service = [], ""
    for line in _TABLE.strip().splitlines():
        if not line.startswith(" "):
            service = line
            continue
        name, kind, *pages = line.split()
        found.append(RPC(f"/{service}/{name}", kind, tuple(f"/v3/{page}" for page in pages)))
    return found


RPCS = _read()
