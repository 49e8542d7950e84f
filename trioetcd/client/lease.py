"""Leases that are kept alive while a block runs, and a block that ends before its lease does.

Every keep-alive that the server confirms pushes the deadline of the block's cancel scope back, to
a while before the lease can end at the server.  Nothing else keeps time.
Source: etcd client/v3/lease.go; lease deadlines count from when a keep-alive was sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from trioetcd.client.endpoints import Endpoints
from trioetcd.client.errors import LeaseLost, MaybeApplied
from wire.errors import EtcdError, LeaseExists, Refused
from wire.http2.headers import Headers
from wire.pb import etcdserverpb
from wire.status import Status

MARGIN = 0.1  # of the TTL: the block is cancelled this long before the lease may end
KEEP_ALIVES = 3  # in a TTL
TRY_AGAIN = (EtcdError, trio.BrokenResourceError)  # the next endpoint may do better
REVOKE_SECONDS = 2.0  # to end the lease at the end of the block; else it runs out by itself
_KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
_GRANT, _REVOKE = "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseRevoke"
_TIME_TO_LIVE, _LEASES = "/etcdserverpb.Lease/LeaseTimeToLive", "/etcdserverpb.Lease/LeaseLeases"


@dataclass(frozen=True, slots=True)
class TimeToLive:
    remaining: int  # seconds; -1: there is no such lease
    granted: int
    keys: tuple[bytes, ...]  # only if they were asked for


class Lease:
    """A lease that is being kept alive; `scope` is the block's."""

    def __init__(self, lease_id: int, ttl: float, granted_at: float) -> None:
        self.id = lease_id
        self.ttl = ttl  # seconds, as the server gave it
        self.scope = trio.CancelScope()
        self.renewed(granted_at, ttl)

    def renewed(self, sent_at: float, ttl: float) -> None:
        """The server has confirmed a keep-alive that was sent then (Trio time)."""
        self.ttl = ttl
        self.scope.deadline = (
            max(self.scope.deadline, 0) if ttl <= 0 else sent_at + ttl * (1 - MARGIN)
        )
        if ttl <= 0:
            self.scope.cancel()

    @property
    def remaining(self) -> float:
        """Seconds until the block is cancelled, if no keep-alive succeeds."""
        return max(0.0, self.scope.deadline - trio.current_time())


class Leases:
    """`nursery` holds the tasks that keep leases alive."""

    def __init__(self, endpoints: Endpoints, nursery: trio.Nursery) -> None:
        self._endpoints = endpoints
        self._nursery = nursery

    @asynccontextmanager
    async def lease(self, ttl: int) -> AsyncIterator[Lease]:
        """A lease of `ttl` seconds or more, for as long as the block runs; then revoked.

        Raises:
            LeaseLost: it was revoked, or could not be kept alive; the block was cancelled.
        """
        lease = await self._granted(ttl)
        stop = trio.CancelScope()
        self._nursery.start_soon(self._keep_alive, lease, stop)
        try:
            with lease.scope:
                yield lease
        finally:
            stop.cancel()
            with trio.move_on_after(REVOKE_SECONDS, shield=True), suppress(EtcdError):
                await self.revoke_lease(lease.id)
        if lease.scope.cancelled_caught:
            raise LeaseLost(lease.id)

    async def _granted(self, ttl: int) -> Lease:
        """By an id of our own, so that it may be asked for again."""
        rng, retry = self._endpoints.rng, self._endpoints.retry
        lease_id = rng.randrange(1, 1 << 63)
        for tries in range(retry.rounds):
            sent_at = trio.current_time()
            try:
                _, granted = await self.grant_lease(ttl, lease_id)
                return Lease(lease_id, granted, sent_at)
            except LeaseExists:
                break  # one that was not answered
            except MaybeApplied:
                if tries == retry.rounds - 1:
                    raise
                await trio.sleep(retry.pause(tries, rng))
        sent_at = trio.current_time()
        return Lease(lease_id, await self.keep_alive_once(lease_id), sent_at)

    async def _keep_alive(self, lease: Lease, stop: trio.CancelScope) -> None:
        """Until the block ends.  Each try goes to the next endpoint."""
        with stop:
            while True:
                interval = lease.ttl / KEEP_ALIVES
                await trio.sleep(interval)
                while not lease.scope.cancel_called:
                    with trio.move_on_after(interval / 2), suppress(*TRY_AGAIN):
                        sent_at = trio.current_time()
                        lease.renewed(sent_at, await self.keep_alive_once(lease.id))
                        break
                    await trio.sleep(self._endpoints.retry.pause(0, self._endpoints.rng))

    async def grant_lease(self, ttl: int, lease_id: int = 0) -> tuple[int, int]:
        """Id and TTL of a new lease, that nobody keeps alive."""
        request = etcdserverpb.LeaseGrantRequest(TTL=ttl, ID=lease_id)
        answer = await self._endpoints.write(_GRANT, request.SerializeToString())
        granted = etcdserverpb.LeaseGrantResponse.FromString(answer)
        return granted.ID, granted.TTL

    async def revoke_lease(self, lease_id: int) -> None:
        request = etcdserverpb.LeaseRevokeRequest(ID=lease_id)
        await self._endpoints.write(_REVOKE, request.SerializeToString())

    async def keep_alive_once(self, lease_id: int) -> int:
        """Start the TTL over; the TTL, or 0 if there is no such lease."""
        return (await self.keep_alive_response(lease_id)).TTL

    async def keep_alive_response(self, lease_id: int) -> etcdserverpb.LeaseKeepAliveResponse:
        """As `keep_alive_once`: the whole message."""

        async def ask(metadata: Headers) -> etcdserverpb.LeaseKeepAliveResponse:
            async with await self._endpoints.open_stream(_KEEP_ALIVE, metadata) as stream:
                request = etcdserverpb.LeaseKeepAliveRequest(ID=lease_id)
                stream.send_nowait(request.SerializeToString())
                answer = await stream.receive()
            if answer is None:
                raise Refused(Status.UNAVAILABLE, "the server has ended the stream")
            return etcdserverpb.LeaseKeepAliveResponse.FromString(answer)

        return await self._endpoints.logged_in(ask)

    async def time_to_live(self, lease_id: int, *, keys: bool = False) -> TimeToLive:
        request = etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=keys)
        answer = await self._endpoints.read(_TIME_TO_LIVE, request.SerializeToString())
        found = etcdserverpb.LeaseTimeToLiveResponse.FromString(answer)
        return TimeToLive(found.TTL, found.grantedTTL, tuple(found.keys))

    async def leases(self) -> list[int]:
        """The ids of all leases."""
        answer = await self._endpoints.read(_LEASES, b"")
        return [lease.ID for lease in etcdserverpb.LeaseLeasesResponse.FromString(answer).leases]
