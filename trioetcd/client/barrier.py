"""Barriers: many wait until one says so, or until all are there.

The keys are those of etcd's recipes, so its programs can wait with ours.
Source: etcd client/v3/experimental/recipes/barrier.go, double_barrier.go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trioetcd.client.base import BaseClient
from trioetcd.client.errors import BarrierFull, BarrierHeld
from trioetcd.client.lease import Lease
from trioetcd.client.lock import Locks
from trioetcd.client.txn import delete, key, put
from trioetcd.client.values import Data, KeyValue, to_bytes

DEFAULT_TTL = 30  # seconds after which the barrier forgets a program that is lost


class Barrier:
    """Whoever waits goes on when it is released."""

    def __init__(self, client: BaseClient, locks: Locks, name: Data) -> None:
        self._client = client
        self._locks = locks
        self._key = to_bytes(name)

    async def hold(self, *, lease_id: int = 0) -> int:
        """From now on others wait, until `release`, or until the lease ends if there is one.

        Returns the revision of it.

        Raises:
            BarrierHeld: it is held already.
        """
        done = await self._client.txn(
            when=[key(self._key).is_absent],
            then=[put(self._key, b"", lease_id=lease_id)],
        )
        if not done.succeeded:
            raise BarrierHeld(self._key)
        return done.revision

    async def release(self) -> None:
        await self._client.delete(self._key)

    async def wait(self) -> None:
        """Until nobody holds it."""
        while (held := await self._client.range(self._key, b"")).items:
            await self._client.watch(
                self._key, start_revision=held.revision + 1, puts=False, relist=True
            ).once()

    @asynccontextmanager
    async def held(self, *, ttl: int = DEFAULT_TTL) -> AsyncIterator[Lease]:
        """`async with`: hold it in the block; it is released however that ends.

        Raises:
            LeaseLost: it is not held any more; the block was cancelled.
        """
        async with self._client.lease(ttl) as lease:
            token = await self.hold(lease_id=lease.id)
            async with self._locks.guard(self._key, token, lease):
                yield lease


class DoubleBarrier:
    """`count` programs enter together and leave together."""

    def __init__(self, client: BaseClient, locks: Locks, name: Data, count: int) -> None:
        if count < 1:
            raise ValueError(f"a barrier is for one or more, not {count}")
        self._client = client
        self._locks = locks
        self._waiters = to_bytes(name) + b"/waiters/"
        self._ready = to_bytes(name) + b"/ready"
        self._count = count

    @asynccontextmanager
    async def inside(self, *, ttl: int = DEFAULT_TTL) -> AsyncIterator[Lease]:
        """`async with`: the block begins when all have come; it is left when all have ended theirs.

        Raises:
            BarrierFull: so many are there already.
            LeaseLost: the block was cancelled.
        """
        async with self._client.lease(ttl) as lease:
            key = self._waiters + b"%x" % lease.id
            token = await self._enter(key, lease)
            async with self._locks.guard(key, token, lease):
                yield lease
            await self._leave(key)

    async def _enter(self, key: bytes, lease: Lease) -> int:
        """The revision of our coming."""
        entered = await self._client.put(key, b"", lease_id=lease.id)
        waiters = (await self._client.get_prefix(self._waiters, keys_only=True)).items
        earlier = [one for one in waiters if one.create_revision <= entered.revision]
        if len(earlier) > self._count:
            raise BarrierFull(self._count)
        if len(waiters) >= self._count:
            await self._client.put(self._ready, b"")
            return entered.revision
        async with self._client.watch(
            self._ready, start_revision=entered.revision, deletes=False, relist=True
        ) as batches:
            async for batch in batches:
                if batch.listing is None or batch.listing.items:
                    break
        return entered.revision

    async def _leave(self, key: bytes) -> None:
        """The first to have come goes last, after it has seen the others go."""
        while waiters := (await self._client.get_prefix(self._waiters)).items:
            first = min(waiters, key=lambda one: one.mod_revision)
            last = max(waiters, key=lambda one: one.mod_revision)
            if first.key == key and len(waiters) == 1:
                await self._client.txn(then=[delete(self._ready), delete(key)])
                return
            if first.key == key:
                await self._until_gone(last)
            else:
                await self._client.delete(key)
                await self._until_gone(first)

    async def _until_gone(self, waiter: KeyValue) -> None:
        await self._client.watch(
            waiter.key, start_revision=waiter.mod_revision + 1, puts=False, relist=True
        ).once()
