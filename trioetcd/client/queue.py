"""Queues: what one program puts in, another takes out, once.

    jobs = client.queue("jobs")
    await jobs.put("resize 17.png")

    value = await jobs.get()                # it is gone from the queue, whatever comes
    async with jobs.take() as job: ...      # it is gone when the block has ended well

The keys are those of etcd's recipes, so its programs can be at the other end; `take` is ours.
Source: etcd client/v3/experimental/recipes/queue.go, priority_queue.go, key.go.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from trioetcd.client.base import BaseClient
from trioetcd.client.errors import LeaseLost
from trioetcd.client.lease import Lease
from trioetcd.client.lock import Locks
from trioetcd.client.txn import Condition, delete, key, put
from trioetcd.client.values import Data, KeyValue, Listing, to_bytes

DEFAULT_TTL = 30  # seconds after which what a lost worker has taken is given to another
LOWEST = 65_535  # priority; etcd's recipe has 16 bits
_CLAIMS = b"__claims/"


@dataclass(frozen=True, slots=True)
class Job:
    """What was taken out, for as long as the block runs."""

    value: bytes
    token: int  # grows with every taking: refuse what comes with an older one
    key: bytes
    lease: Lease

    @property
    def text(self) -> str:
        """The value as UTF-8."""
        return self.value.decode()


class _Queue(ABC):
    def __init__(self, client: BaseClient, locks: Locks, name: Data, rng: random.Random) -> None:
        self._client = client
        self._locks = locks
        self._rng = rng
        self._prefix = to_bytes(name) + b"/"

    async def get(self) -> bytes:
        """Wait for the first value, and take it out for good.

        Raises:
            MaybeApplied: it may be gone; nobody else has it then.
        """
        while True:
            found = await self._first(1)
            for item in found.items:
                gone = await self._client.txn(when=[_is_still(item)], then=[delete(item.key)])
                if gone.succeeded:
                    return item.value
            if not found.items:
                await self._wait(self._prefix, found.revision, puts=True)

    @asynccontextmanager
    async def take(self, *, ttl: int = DEFAULT_TTL) -> AsyncIterator[Job]:
        """Wait for the first value that nobody works on, and work on it in the block.

        It leaves the queue when the block ends well.  If it raises, or its lease is lost, somebody
        else gets it: whatever the block does may then be done again.

        Raises:
            LeaseLost: it is not ours any more; the block was cancelled.
        """
        async with self._client.lease(ttl) as lease:
            item, token = await self._claim(lease)
            claim = self._claim_key(item.key)
            async with self._locks.guard(claim, token, lease):
                yield Job(item.value, token, item.key, lease)
            done = await self._client.txn(
                when=[key(claim).create_revision == token],
                then=[delete(item.key), delete(claim)],
            )
            if not done.succeeded:
                raise LeaseLost(lease.id)

    async def _claim(self, lease: Lease) -> tuple[KeyValue, int]:
        while True:
            claims = await self._client.get_prefix(_CLAIMS + self._prefix, keys_only=True)
            taken = {claim.key for claim in claims.items}
            found = await self._first(len(taken) + 1)
            for item in found.items:
                claim = self._claim_key(item.key)
                if claim in taken:
                    continue
                done = await self._client.txn(
                    when=[_is_still(item), key(claim).is_absent],
                    then=[put(claim, b"", lease_id=lease.id)],
                )
                if done.succeeded:
                    return item, done.revision
                break  # somebody was faster: look again
            else:
                await self._wait_for_any(claims.revision)

    def _claim_key(self, item: bytes) -> bytes:
        return _CLAIMS + item

    async def _wait_for_any(self, revision: int) -> None:
        """A new item, or a claim that was given up; whichever comes first."""
        async with trio.open_nursery() as nursery:

            async def one(prefix: bytes, puts: bool) -> None:
                await self._wait(prefix, revision, puts=puts)
                nursery.cancel_scope.cancel()

            nursery.start_soon(one, self._prefix, True)
            nursery.start_soon(one, _CLAIMS + self._prefix, False)

    async def _wait(self, prefix: bytes, revision: int, *, puts: bool) -> None:
        """Until there is a put, or a delete, after this revision; or it was compacted."""
        watch = self._client.watch(
            prefix=prefix, start_revision=revision + 1, puts=puts, deletes=not puts, relist=True
        )
        await watch.once()

    @abstractmethod
    async def _first(self, count: int) -> Listing: ...


class Queue(_Queue):
    """First in, first out."""

    async def put(self, value: Data) -> None:
        """Raises MaybeApplied: it may be in the queue."""
        while True:
            name = self._prefix + b"%016x" % self._rng.getrandbits(64)
            done = await self._client.txn(when=[key(name).is_absent], then=[put(name, value)])
            if done.succeeded:
                return

    async def _first(self, count: int) -> Listing:
        return await self._client.get_prefix(self._prefix, limit=count, order_by="mod")


class PriorityQueue(_Queue):
    """The lowest number first; among equals first in, first out."""

    async def put(self, value: Data, priority: int = 0) -> None:
        """Raises MaybeApplied: it may be in the queue."""
        if not 0 <= priority <= LOWEST:
            raise ValueError(f"a priority is a number from 0 to {LOWEST}, not {priority}")
        prefix = self._prefix + b"%05d" % priority
        while not await self._put_last(prefix, value):
            pass  # somebody else has put one there at the same time

    async def _put_last(self, prefix: bytes, value: Data) -> bool:
        """Behind the last of this priority, if no other comes between."""
        last = await self._client.get_prefix(
            prefix + b"/", limit=1, descending=True, keys_only=True
        )
        number = int(last.items[0].key.rpartition(b"/")[2]) + 1 if last.items else 0
        guard = b"__" + prefix  # changed by every put
        done = await self._client.txn(
            when=[key(guard).mod_revision < last.revision + 1],
            then=[put(guard, b""), put(prefix + b"/%016d" % number, value)],
        )
        return done.succeeded

    async def _first(self, count: int) -> Listing:
        return await self._client.get_prefix(self._prefix, limit=count)


def _is_still(item: KeyValue) -> Condition:
    return key(item.key).mod_revision == item.mod_revision
