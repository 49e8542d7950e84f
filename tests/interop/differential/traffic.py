"""Calls that make sense, from a seed: what each kind of client might send next."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message

from tests.interop.differential.world import LARGEST, World, prefix_end
from wire.pb import etcdserverpb as pb

LEASE_SPACING = 10_000  # seconds between TTLs: leases are listed by what is left
_RUN = re.compile(r"(\w)\1{30,}")
MAX_DEPTH = 3  # of nested transactions


class Call(NamedTuple):
    method: str  # "etcdserverpb.KV/Put"
    request: bytes

    def __str__(self) -> str:
        kind = REQUESTS.get(self.method)
        if kind is None or len(self.request) > 10_000:
            return f"{self.method} {self.request[:100]!r}… {len(self.request)} bytes"
        try:
            return f"{self.method} {{ {show(kind.FromString(self.request))} }}"
        except DecodeError:
            return f"{self.method} {self.request!r}"


def show(message: Message) -> str:
    """A message in one line, long runs of one letter shortened."""
    return _RUN.sub(r"\1…", " ".join(str(message).split()))


REQUESTS: dict[str, type[Message]] = {
    "etcdserverpb.KV/Range": pb.RangeRequest,
    "etcdserverpb.KV/Put": pb.PutRequest,
    "etcdserverpb.KV/DeleteRange": pb.DeleteRangeRequest,
    "etcdserverpb.KV/Txn": pb.TxnRequest,
    "etcdserverpb.KV/Compact": pb.CompactionRequest,
    "etcdserverpb.Lease/LeaseGrant": pb.LeaseGrantRequest,
    "etcdserverpb.Lease/LeaseRevoke": pb.LeaseRevokeRequest,
    "etcdserverpb.Lease/LeaseTimeToLive": pb.LeaseTimeToLiveRequest,
    "etcdserverpb.Lease/LeaseLeases": pb.LeaseLeasesRequest,
    "etcdserverpb.Maintenance/HashKV": pb.HashKVRequest,
    "etcdserverpb.Maintenance/Alarm": pb.AlarmRequest,
    "etcdserverpb.Cluster/MemberList": pb.MemberListRequest,
    "etcdserverpb.Maintenance/Status": pb.StatusRequest,
}
RESPONSES: dict[str, type[Message]] = {
    "etcdserverpb.KV/Range": pb.RangeResponse,
    "etcdserverpb.KV/Put": pb.PutResponse,
    "etcdserverpb.KV/DeleteRange": pb.DeleteRangeResponse,
    "etcdserverpb.KV/Txn": pb.TxnResponse,
    "etcdserverpb.KV/Compact": pb.CompactionResponse,
    "etcdserverpb.Lease/LeaseGrant": pb.LeaseGrantResponse,
    "etcdserverpb.Lease/LeaseRevoke": pb.LeaseRevokeResponse,
    "etcdserverpb.Lease/LeaseTimeToLive": pb.LeaseTimeToLiveResponse,
    "etcdserverpb.Lease/LeaseKeepAlive": pb.LeaseKeepAliveResponse,
    "etcdserverpb.Lease/LeaseLeases": pb.LeaseLeasesResponse,
    "etcdserverpb.Maintenance/HashKV": pb.HashKVResponse,
    "etcdserverpb.Maintenance/Alarm": pb.AlarmResponse,
    "etcdserverpb.Cluster/MemberList": pb.MemberListResponse,
    "etcdserverpb.Maintenance/Status": pb.StatusResponse,
    "etcdserverpb.Watch/Watch": pb.WatchResponse,
}
AUTH = (
    *("AuthEnable", "AuthDisable", "Authenticate", "UserAdd", "UserGet", "UserList"),
    *("UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole", "RoleAdd", "RoleGet"),
    *("RoleList", "RoleDelete", "RoleGrantPermission", "RoleRevokePermission"),
)
for _name in AUTH:
    _message = _name if _name.startswith("Auth") else f"Auth{_name}"
    REQUESTS[f"etcdserverpb.Auth/{_name}"] = getattr(pb, f"{_message}Request")
    RESPONSES[f"etcdserverpb.Auth/{_name}"] = getattr(pb, f"{_message}Response")


READS = {  # methods whose calls change nothing
    *("etcdserverpb.KV/Range", "etcdserverpb.Lease/LeaseTimeToLive"),
    *("etcdserverpb.Lease/LeaseLeases", "etcdserverpb.Cluster/MemberList"),
}


class Traffic:
    """Makes calls; the same seed and the same answers make the same ones."""

    def __init__(self, rng: Random, world: World) -> None:
        self.rng = rng
        self.world = world
        self.txn_depth = MAX_DEPTH
        self._deletes_to_end = False
        self._kinds: dict[Callable[[], Call], float] = {
            self.put: 26,
            self.range: 24,
            self.delete_range: 7,
            self.txn: 20,
            self.lease_grant: 3,
            self.lease_revoke: 1.5,
            self.lease_time_to_live: 4,
            self.lease_leases: 1,
            self.compact: 0.5,
            self.hash_kv: 2,
            self.member_list: 0.3,
        }

    def next(self, *, compactions: bool = True) -> Call:
        while True:
            [make] = self.rng.choices(list(self._kinds), list(self._kinds.values()))
            if compactions or make != self.compact:
                return make()

    def _maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    # -- KV

    def put(self) -> Call:
        return _call("KV/Put", self.put_request())

    def put_request(self) -> pb.PutRequest:
        rng, world = self.rng, self.world
        request = pb.PutRequest(key=world.key(rng), value=self.value())
        request.prev_kv = self._maybe(0.3)
        if self._maybe(0.25):
            request.lease = world.any_lease(rng)
        if self._maybe(0.1):
            request.ignore_value = True
            request.value = self.value() if self._maybe(0.1) else b""
        if self._maybe(0.1):
            request.ignore_lease = True
            request.lease = world.any_lease(rng) if self._maybe(0.1) else 0
        return request

    def value(self) -> bytes:
        kind = self.rng.randrange(30)
        if kind == 0:
            return b""
        if kind == 1:
            return self.rng.randbytes(self.rng.randrange(70_000))
        if kind < 10:
            return b"%d" % self.rng.randrange(5)  # equal ones, for comparisons and sorting
        return self.rng.randbytes(self.rng.randrange(1, 30))

    def range(self) -> Call:
        return _call("KV/Range", self.range_request())

    def range_request(self) -> pb.RangeRequest:
        rng, world = self.rng, self.world
        request = pb.RangeRequest(key=world.key(rng))
        if self._maybe(0.7):
            if self._maybe(0.3):
                request.key = b"\0"
            request.range_end = world.range_end(rng, request.key)
        if self._maybe(0.3):
            request.revision = world.any_revision(rng)
        if self._maybe(0.4):
            request.limit = rng.choice((0, 1, 2, 3, 10, 1000, -1, LARGEST))
        if self._maybe(0.3):
            request.sort_order = rng.randrange(3)
            request.sort_target = rng.randrange(5)
        request.serializable = self._maybe(0.3)
        request.keys_only = self._maybe(0.2)
        request.count_only = self._maybe(0.15)
        for name in ("min_mod_revision", "max_mod_revision"):
            if self._maybe(0.1):
                setattr(request, name, world.any_revision(rng))
        for name in ("min_create_revision", "max_create_revision"):
            if self._maybe(0.1):
                setattr(request, name, world.any_revision(rng))
        return request

    def delete_range(self) -> Call:
        return _call("KV/DeleteRange", self.delete_request())

    def delete_request(self) -> pb.DeleteRangeRequest:
        rng, world = self.rng, self.world
        request = pb.DeleteRangeRequest(key=world.key(rng), prev_kv=self._maybe(0.5))
        if self._maybe(0.4):
            request.range_end = world.range_end(rng, request.key)
        return request

    def compact(self) -> Call:
        rng, world = self.rng, self.world
        revision = world.any_revision(rng) if self._maybe(0.5) else world.old_revision(rng)
        return _call(
            "KV/Compact", pb.CompactionRequest(revision=revision, physical=self._maybe(0.5))
        )

    # -- Transactions

    def txn(self) -> Call:
        """Go's etcd crashes when a put relies on a key that the transaction has deleted.

        It refuses the two together, but overlooks deletions to the end of the key space.
        """
        self._deletes_to_end = self._maybe(0.3)
        return _call("KV/Txn", self.txn_request(self.txn_depth))

    def txn_request(self, depth: int) -> pb.TxnRequest:
        request = pb.TxnRequest()
        for _ in range(self.rng.choice((0, 0, 1, 1, 1, 2, 3))):
            request.compare.append(self.comparison())
        read_only = self._maybe(0.2)
        for branch in (request.success, request.failure):
            for _ in range(self.rng.choice((0, 1, 1, 2, 3, 5))):
                self._operation(branch.add(), depth, read_only)
        return request

    def _operation(self, operation: pb.RequestOp, depth: int, read_only: bool) -> None:
        kind = 0 if read_only else self.rng.randrange(12)
        if kind < 3:
            operation.request_range.CopyFrom(self.range_request())
        elif kind < 8:
            operation.request_put.CopyFrom(self.put_request())
            if self._deletes_to_end:
                operation.request_put.ClearField("ignore_value")
                operation.request_put.ClearField("ignore_lease")
        elif kind < 10 or not depth:
            deletion = operation.request_delete_range
            deletion.CopyFrom(self.delete_request())
            if deletion.range_end == b"\0" and not self._deletes_to_end:
                deletion.range_end = prefix_end(deletion.key)
                if deletion.range_end == b"\0":
                    deletion.ClearField("range_end")
        else:
            operation.request_txn.CopyFrom(self.txn_request(depth - 1))

    def comparison(self) -> pb.Compare:
        rng, world = self.rng, self.world
        compare = pb.Compare(key=world.key(rng), result=rng.randrange(4), target=rng.randrange(5))
        if self._maybe(0.2):
            compare.range_end = world.range_end(rng, compare.key)
        union = compare.target if self._maybe(0.95) else rng.randrange(6)
        if union == pb.Compare.VERSION:
            compare.version = rng.choice((0, 0, 1, 2, 3, -1, LARGEST))
        elif union == pb.Compare.CREATE:
            compare.create_revision = self._compared_revision()
        elif union == pb.Compare.MOD:
            compare.mod_revision = self._compared_revision()
        elif union == pb.Compare.VALUE:
            compare.value = self.value()
        elif union == pb.Compare.LEASE:
            compare.lease = world.any_lease(rng)
        return compare

    def _compared_revision(self) -> int:
        return 0 if self._maybe(0.3) else self.world.any_revision(self.rng)

    # -- Leases

    def lease_grant(self) -> Call:
        rng, world = self.rng, self.world
        request = pb.LeaseGrantRequest(ID=world.next_lease, TTL=LEASE_SPACING * world.next_lease)
        if self._maybe(0.1):
            request.ID = world.lease(rng) or 1  # given away already
        elif self._maybe(0.05):
            request.TTL = rng.choice((9_000_000_001, LARGEST))
        elif self._maybe(0.05):
            request.ID = -world.next_lease
        elif len(world.leases) > 30:
            return self.lease_revoke()
        return _call("Lease/LeaseGrant", request)

    def lease_revoke(self) -> Call:
        return _call("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=self.world.any_lease(self.rng)))

    def lease_time_to_live(self) -> Call:
        request = pb.LeaseTimeToLiveRequest(
            ID=self.world.any_lease(self.rng), keys=self._maybe(0.7)
        )
        return _call("Lease/LeaseTimeToLive", request)

    def lease_leases(self) -> Call:
        return _call("Lease/LeaseLeases", pb.LeaseLeasesRequest())

    # -- The rest

    def hash_kv(self) -> Call:
        revision = 0 if self._maybe(0.5) else self.world.any_revision(self.rng)
        return _call("Maintenance/HashKV", pb.HashKVRequest(revision=revision))

    def member_list(self) -> Call:
        return _call("Cluster/MemberList", pb.MemberListRequest(linearizable=self._maybe(0.5)))


def _call(method: str, request: Message) -> Call:
    return Call(f"etcdserverpb.{method}", request.SerializeToString())
