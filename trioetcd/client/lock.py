"""Locks and leaderships: a place in a line of keys, held by a lease.

Whoever's key was created first holds it; the others each wait for the key before theirs to go.
Keys and order are those of etcd's concurrency package, so its programs can be in the same line.
Source: etcd client/v3/concurrency/mutex.go, election.go, key.go (waitDeletes).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from trioetcd.client import txn
from trioetcd.client.endpoints import Endpoints
from trioetcd.client.errors import LeaseLost, MaybeApplied, NotApplied
from trioetcd.client.kv import KV
from trioetcd.client.lease import Lease, Leases
from trioetcd.client.values import Data, KeyValue, Listing, prefix_range, to_bytes
from trioetcd.client.watch import Watch, WatchRange
from wire.errors import ElectionNotLeader, EtcdError

DEFAULT_TTL = 60  # seconds, etcd's for a session


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that is held, or a term of a leader.

    `token` grows from holder to holder: whoever guards something with the lock can refuse
    what comes with an older one.
    """

    key: bytes
    token: int  # the revision at which the key was created
    lease: Lease
    _kv: KV

    async def proclaim(self, value: Data) -> None:
        """Change what the key says, as long as it is ours.

        Raises:
            ElectionNotLeader: it is not any more.
        """
        done = await self._kv.txn(
            when=[txn.key(self.key).create_revision == self.token],
            then=[txn.put(self.key, value, lease_id=self.lease.id)],
        )
        if not done.succeeded:
            raise ElectionNotLeader


class Locks:
    def __init__(self, endpoints: Endpoints, kv: KV, leases: Leases, nursery: trio.Nursery) -> None:
        self._endpoints = endpoints
        self._kv = kv
        self._leases = leases
        self._nursery = nursery

    @asynccontextmanager
    async def hold(self, name: Data, value: Data, ttl: int) -> AsyncIterator[Hold]:
        """Wait for our turn, then run the block.

        Raises:
            LeaseLost: we do not hold it any more, or soon may not; the block was cancelled.
        """
        prefix = to_bytes(name) + b"/"
        async with self._leases.lease(ttl) as lease:
            key = prefix + b"%x" % lease.id
            token = await self._stand_in_line(key, value, lease)
            await self._wait_for_turn(prefix, token)
            if await self._kv.get(key) is None:
                raise LeaseLost(lease.id)
            async with self.guard(key, token, lease):
                yield Hold(key, token, lease, self._kv)

    @asynccontextmanager
    async def guard(self, key: bytes, token: int, lease: Lease) -> AsyncIterator[None]:
        """While the block runs, end the lease's block as soon as the key is not ours any more."""
        stop = trio.CancelScope()
        self._nursery.start_soon(self._watch_own, key, token, lease, stop)
        try:
            yield
        finally:
            stop.cancel()

    async def _stand_in_line(self, key: bytes, value: Data, lease: Lease) -> int:
        """May be repeated: the key is named after our lease.  The revision of its creation."""
        while True:
            try:
                done = await self._kv.txn(
                    when=[txn.key(key).is_absent],
                    then=[txn.put(key, value, lease_id=lease.id)],
                    otherwise=[txn.get(key)],
                )
            except (NotApplied, MaybeApplied):
                await trio.sleep(self._endpoints.retry.pause(0, self._endpoints.rng))
                continue
            found = done.results[0]
            return found.items[0].create_revision if isinstance(found, Listing) else done.revision

    async def _wait_for_turn(self, prefix: bytes, token: int) -> None:
        while (before := await self._last_before(prefix, token)) is not None:
            wanted = WatchRange(before.key, start_revision=before.revision + 1, puts=False)
            await Watch(self._endpoints, wanted).once()

    async def _last_before(self, prefix: bytes, token: int) -> _Place | None:
        start, end = prefix_range(prefix)
        found = await self._kv.range(
            start,
            end,
            limit=1,
            order_by="create",
            descending=True,
            max_create_revision=token - 1,
            keys_only=True,
        )
        return _Place(found.items[0].key, found.revision) if found.items else None

    async def _watch_own(
        self, key: bytes, token: int, lease: Lease, stop: trio.CancelScope
    ) -> None:
        """If somebody deletes the key, or revokes the lease, the block ends at once."""
        wanted = WatchRange(key, start_revision=token + 1, puts=False, relist=True)
        with stop:
            try:
                async with Watch(self._endpoints, wanted) as batches:
                    async for batch in batches:
                        if batch.listing is None or not batch.listing.items:
                            break
            except EtcdError:
                pass  # not to be known any more: give up
            lease.scope.cancel()

    async def leader(self, name: Data) -> KeyValue | None:
        """Who leads now: the first in line."""
        prefix = to_bytes(name) + b"/"
        items = (await self._kv.get_prefix(prefix, limit=1, order_by="create")).items
        return items[0] if items else None

    async def observe(self, name: Data) -> AsyncIterator[KeyValue]:
        """Who leads, whenever that or what they proclaim changes; intermediate ones may be
        left out."""
        start, end = prefix_range(to_bytes(name) + b"/")
        shown: KeyValue | None = None
        async with Watch(self._endpoints, WatchRange(start, end, relist=True)) as batches:
            async for _ in batches:
                found = await self.leader(name)
                if found is not None and found != shown:
                    shown = found
                    yield found


@dataclass(frozen=True, slots=True)
class _Place:
    key: bytes
    revision: int  # of the store, when it was seen
