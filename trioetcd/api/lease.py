"""The Lease service.

Grants and revocations go through the log; renewals and questions are the lessor's, which is
the one beside the leader.
Source: etcd server/etcdserver/api/v3rpc/lease.go; server/etcdserver/v3_server.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from actors.apply.quota import LEASE_BYTES
from actors.kernel import ActorStopped
from actors.lease.actor import TimeLeft
from actors.lease.ids import IDs
from actors.lease.table import NO_LEASE, LeaseID
from trioetcd.api.parse import parse, parse_streamed
from trioetcd.api.permissions import Permissions
from trioetcd.api.quota import Quota
from wire.errors import LeaseNotFound, Stopped
from wire.grpc.service import Context, Registry, ServerStream, UnaryCall
from wire.pb import etcdserverpb
from wire.varint import encode, encode_signed

_SERVICE = "/etcdserverpb.Lease"

T = TypeVar("T")


class Lessors(Protocol):
    """The primary lessor, wherever it is.  May raise ActorStopped."""

    async def renew(self, lease_id: LeaseID) -> int: ...

    async def time_to_live(self, lease_id: LeaseID, *, keys: bool = False) -> TimeLeft: ...

    async def leases(self) -> list[LeaseID]:
        """This member's view."""
        ...


class Proposer(Protocol):
    async def propose(
        self, name: str, payload: bytes, caller: Context | None = None
    ) -> tuple[int, bytes]: ...


class LeaseService:
    def __init__(
        self,
        lessors: Lessors,
        proposals: Proposer,
        quota: Quota,
        ids: IDs,
        header: Callable[[int], bytes],
        revision: Callable[[], int],
        permissions: Permissions,
    ) -> None:
        """`header` makes field 1 of a response for a revision; `revision` is the store's."""
        self._lessors = lessors
        self._proposals = proposals
        self._quota = quota
        self._ids = ids
        self._header = header
        self._revision = revision
        self._permissions = permissions

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/LeaseGrant", self.grant)
        registry.unary(f"{_SERVICE}/LeaseRevoke", self.revoke)
        registry.unary(f"{_SERVICE}/LeaseTimeToLive", self.time_to_live)
        registry.unary(f"{_SERVICE}/LeaseLeases", self.leases)
        registry.stream(f"{_SERVICE}/LeaseKeepAlive", self.keep_alive, "bidi_stream")

    async def grant(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.LeaseGrantRequest, call.payload)
        if request.ID == NO_LEASE:
            request.ID = self._ids.next_lease()
        self._quota.take(LEASE_BYTES)
        return await self._propose("lease_grant", request.SerializeToString(), call)

    async def revoke(self, call: UnaryCall) -> bytes:
        parse(etcdserverpb.LeaseRevokeRequest, call.payload)
        return await self._propose("lease_revoke", call.payload, call)

    async def _propose(self, name: str, payload: bytes, call: UnaryCall) -> bytes:
        revision, body = await self._proposals.propose(name, payload, call.context)
        return self._header(revision) + body

    async def time_to_live(self, call: UnaryCall) -> bytes:
        """A lease that is not there has -1 seconds to live; that is no error."""
        request = parse(etcdserverpb.LeaseTimeToLiveRequest, call.payload)
        response = etcdserverpb.LeaseTimeToLiveResponse(ID=request.ID)
        who = await self._permissions.who(call.context)
        if request.keys:
            self._permissions.checks.lease_read(who, [request.ID])
        checked_at = self._permissions.auth.revision
        try:
            left = await _answered(self._lessors.time_to_live(request.ID, keys=request.keys))
        except LeaseNotFound:
            response.TTL = -1
        else:
            response.TTL, response.grantedTTL = left.remaining, left.granted_ttl
            response.keys.extend(left.keys)
        if request.keys:
            self._permissions.unchanged_since(checked_at)
        return self._header(self._revision()) + response.SerializeToString()

    async def leases(self, call: UnaryCall) -> bytes:
        parse(etcdserverpb.LeaseLeasesRequest, call.payload)
        leases = await _answered(self._lessors.leases())
        who = await self._permissions.require_known(call.context)
        self._permissions.checks.lease_read(who, leases)
        ids = [b"\x08" + encode_signed(lease) for lease in leases]
        statuses = [b"\x12%b%b" % (encode(len(status)), status) for status in ids]
        return self._header(self._revision()) + b"".join(statuses)

    async def keep_alive(self, stream: ServerStream) -> None:
        """One answer a request, in order; a lease that is not there is answered with TTL 0."""
        while (message := await stream.receive()) is not None:
            lease_id = parse_streamed(etcdserverpb.LeaseKeepAliveRequest, message).ID
            # Made before the renewal, which may wait for the log: the revision must not be
            # one at which the lease is revoked already while its TTL says that it lives.
            header = self._header(self._revision())
            if self._permissions.auth.enabled:
                who = await self._permissions.require_known(stream.context)
                self._permissions.checks.lease_write(who, lease_id)
            try:
                ttl = await _answered(self._lessors.renew(lease_id))
            except LeaseNotFound:
                ttl = 0
            response = etcdserverpb.LeaseKeepAliveResponse(ID=lease_id, TTL=ttl)
            await stream.send(header + response.SerializeToString())


async def _answered(question: Awaitable[T]) -> T:
    try:
        return await question
    except ActorStopped:
        raise Stopped from None
