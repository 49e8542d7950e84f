"""What people ask for: calls on keys and leases, and changes of users and roles, from a seed."""

from __future__ import annotations

from random import Random

from google.protobuf.message import Message

from tests.interop.differential.permitted import KEYS
from wire.pb import authpb
from wire.pb import etcdserverpb as pb

USERS = ("root", "u1", "u2", "u3", "u4")
ROLES = ("r1", "r2", "r3", "root")
ENDS = (b"", b"", b"", b"\0", *KEYS)
PERMITTED = (
    *((b"a", b""), (b"ab", b"c"), (b"abc", b"\0"), (b"b", b""), (b"b\0", b"d")),
    *((b"c", b"dd"), (b"d", b""), (b"dd", b"\0")),
)
PASSWORDS = ("one", "two", "")
READ, WRITE, READWRITE = authpb.Permission.READ, authpb.Permission.WRITE, 2
LEASES = (101, 102, 103, 104, 105)
TTL = 100_000  # seconds: none runs out
MAX_DEPTH = 3  # of transactions in transactions

Asked = tuple[str, Message]  # a method, without its package


class Requests:
    def __init__(self, rng: Random) -> None:
        self._rng = rng

    # -- Users and roles

    def administration(self) -> Asked:
        rng = self._rng
        user, role = rng.choice(USERS), rng.choice(ROLES)
        key, end = self._permitted()
        made: list[Asked] = [
            ("UserAdd", self._new_user()),
            ("UserGet", pb.AuthUserGetRequest(name=user)),
            ("UserList", pb.AuthUserListRequest()),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserGrantRole", pb.AuthUserGrantRoleRequest(user=user, role=role)),
            ("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name=user, role=role)),
            ("RoleAdd", pb.AuthRoleAddRequest(name=rng.choice((*ROLES[:3], "")))),
            ("RoleGet", pb.AuthRoleGetRequest(role=rng.choice(ROLES[:3]))),
            ("RoleList", pb.AuthRoleListRequest()),
            (
                "RoleRevokePermission",
                pb.AuthRoleRevokePermissionRequest(role=role, key=key, range_end=end),
            ),
            *[("RoleGrantPermission", self._new_permission(role)) for _ in range(4)],
        ]
        if rng.random() < 0.1:
            password = rng.choice(PASSWORDS[:2])
            made = [
                ("UserDelete", pb.AuthUserDeleteRequest(name=user)),
                ("RoleDelete", pb.AuthRoleDeleteRequest(role=role)),
                ("AuthEnable", pb.AuthEnableRequest()),
                (
                    "UserChangePassword",
                    pb.AuthUserChangePasswordRequest(name=rng.choice(USERS[1:]), password=password),
                ),
                ("AuthDisable", pb.AuthDisableRequest()),
            ]
        name, request = rng.choice(made)
        return f"Auth/{name}", request

    def _new_user(self) -> pb.AuthUserAddRequest:
        return pb.AuthUserAddRequest(name=self._rng.choice((*USERS, "")), password=PASSWORDS[0])

    def _new_permission(self, role: str) -> pb.AuthRoleGrantPermissionRequest:
        key, end = self._permitted()
        kind = self._rng.choice((READ, WRITE, READWRITE))
        permission = authpb.Permission(permType=kind, key=key, range_end=end)
        return pb.AuthRoleGrantPermissionRequest(name=role, perm=permission)

    def _permitted(self) -> tuple[bytes, bytes]:
        """One range of each key: Go's sort keeps no order of several."""
        return self._rng.choice(PERMITTED)

    # -- Keys

    def work(self) -> Asked:
        kind = self._rng.randrange(24)
        if kind < 5:
            return "KV/Range", self._range()
        if kind < 9:
            return "KV/Put", self._put()
        if kind < 12:
            return "KV/DeleteRange", self._delete()
        if kind < 18:
            return "KV/Txn", self._txn(MAX_DEPTH)
        if kind < 20:
            return "Watch/Watch", self._watch()
        return self._about_leases()

    def _span(self) -> tuple[bytes, bytes]:
        """A key and an end behind it.

        Whether a range that ends before it starts is permitted hangs, with Go's etcd, on how its
        tree of permissions has grown.
        """
        key, end = self._rng.choice(KEYS), self._rng.choice(ENDS)
        if end in (b"", b"\0") or key < end:
            return key, end
        return (end, key) if end < key else (key, b"")

    def _range(self) -> pb.RangeRequest:
        key, end = self._span()
        return pb.RangeRequest(key=key, range_end=end, serializable=self._rng.random() < 0.3)

    def _put(self) -> pb.PutRequest:
        rng = self._rng
        request = pb.PutRequest(key=rng.choice(KEYS), prev_kv=rng.random() < 0.3)
        if rng.random() < 0.4:
            request.lease = rng.choice(LEASES)
        return request

    def _delete(self) -> pb.DeleteRangeRequest:
        key, end = self._span()
        return pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=self._rng.random() < 0.3)

    def _txn(self, depth: int) -> pb.TxnRequest:
        rng = self._rng
        request = pb.TxnRequest()
        for _ in range(rng.randrange(2)):
            key, end = self._span()
            request.compare.add(key=key, range_end=end, target=pb.Compare.VERSION)
        for branch in (request.success, request.failure):
            for _ in range(rng.randrange(3)):
                operation = branch.add()
                kind = rng.randrange(8)
                if kind < 2:
                    operation.request_range.CopyFrom(self._range())
                elif kind < 4:
                    operation.request_put.CopyFrom(self._put())
                elif kind < 6 or not depth:
                    operation.request_delete_range.CopyFrom(self._delete())
                else:
                    operation.request_txn.CopyFrom(self._txn(depth - 1))
        return request

    def _watch(self) -> pb.WatchRequest:
        key, end = self._span()
        request = pb.WatchRequest()
        request.create_request.MergeFrom(pb.WatchCreateRequest(key=key, range_end=end))
        return request

    # -- Leases

    def _about_leases(self) -> Asked:
        rng = self._rng
        lease = rng.choice((*LEASES, *LEASES, 7))
        kind = rng.randrange(9)
        if kind < 3:
            return "Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(
                ID=lease, keys=rng.random() < 0.7
            )
        if kind < 5:
            return "Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=lease)
        if kind == 5:
            return "Lease/LeaseLeases", pb.LeaseLeasesRequest()
        if kind == 6:
            return "Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease)
        return "Lease/LeaseGrant", pb.LeaseGrantRequest(ID=rng.choice(LEASES), TTL=TTL)
