"""The lessor that counts is the leader's: renewals and questions go to it, wherever it is.

Source: etcd server/etcdserver/v3_server.go (LeaseRenew, LeaseTimeToLive).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from actors.lease.actor import Lessor, TimeLeft
from actors.lease.table import LeaseID
from actors.raft.actor import RaftActor
from trioetcd.api.parse import parse
from trioetcd.peer.links import Links
from trioetcd.peer.protocol import LEASE_RENEW, LEASE_TIME_TO_LIVE
from wire.errors import LeaseNotFound, NotPrimaryLessor, RequestTimeout
from wire.grpc.client_errors import ChannelClosed, TimedOut, Unavailable
from wire.pb import etcdserverpb

RETRY_SECONDS = 0.05  # between tries while there is no leader, or it is not reached; etcd's

T = TypeVar("T")


class Lessors:
    """Answers at the leader's, within `timeout` seconds."""

    def __init__(self, local: Lessor, raft: RaftActor, links: Links, timeout: float) -> None:
        self._local = local
        self._raft = raft
        self._links = links
        self._timeout = timeout

    async def renew(self, lease_id: LeaseID) -> int:
        """The TTL it begins anew with, in seconds.  Raises LeaseNotFound, RequestTimeout."""
        request = etcdserverpb.LeaseKeepAliveRequest(ID=lease_id).SerializeToString()

        async def ask_leader() -> int:
            answer = await self._ask(LEASE_RENEW, request)
            ttl = etcdserverpb.LeaseKeepAliveResponse.FromString(answer).TTL
            if ttl <= 0:
                raise LeaseNotFound
            return ttl

        return await self._at_leader(lambda: self._local.renew(lease_id), ask_leader)

    async def time_to_live(self, lease_id: LeaseID, *, keys: bool = False) -> TimeLeft:
        request = etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=keys).SerializeToString()

        async def ask_leader() -> TimeLeft:
            answer = await self._ask(LEASE_TIME_TO_LIVE, request)
            left = etcdserverpb.LeaseTimeToLiveResponse.FromString(answer)
            if left.TTL < 0 and not left.grantedTTL:
                raise LeaseNotFound
            return TimeLeft(left.TTL, left.grantedTTL, list(left.keys))

        local = self._local
        return await self._at_leader(lambda: local.time_to_live(lease_id, keys=keys), ask_leader)

    async def leases(self) -> list[LeaseID]:
        return await self._local.leases()

    async def _at_leader(
        self, here: Callable[[], Awaitable[T]], there: Callable[[], Awaitable[T]]
    ) -> T:
        with trio.move_on_after(self._timeout):
            while True:
                try:
                    return await (here() if self._raft.status.is_leader else there())
                except (NotPrimaryLessor, Unavailable, TimedOut, ChannelClosed):
                    await trio.sleep(RETRY_SECONDS)
        raise RequestTimeout

    async def _ask(self, path: str, request: bytes) -> bytes:
        """Raises EtcdError: the leader's refusal; Unavailable: it is not reached."""
        leader = self._raft.status.leader
        channel = self._links.channel(leader)
        if channel is None:
            raise Unavailable("the leader is not reached", maybe_sent=False)
        return await channel.unary(path, request, metadata=self._links.introduction(leader))


class LeaseQuestions:
    """The other side: members ask the lessor here, which answers if it is the one that counts."""

    def __init__(self, local: Lessor) -> None:
        self._local = local

    async def renew(self, payload: bytes) -> bytes:
        lease_id = parse(etcdserverpb.LeaseKeepAliveRequest, payload).ID
        ttl = await self._local.renew(lease_id)
        return etcdserverpb.LeaseKeepAliveResponse(ID=lease_id, TTL=ttl).SerializeToString()

    async def time_to_live(self, payload: bytes) -> bytes:
        request = parse(etcdserverpb.LeaseTimeToLiveRequest, payload)
        left = await self._local.time_to_live(request.ID, keys=request.keys)
        return etcdserverpb.LeaseTimeToLiveResponse(
            ID=request.ID, TTL=left.remaining, grantedTTL=left.granted_ttl, keys=left.keys
        ).SerializeToString()
