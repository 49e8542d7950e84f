"""Software transactional memory: a function of reads and writes that happens at once, or again.

    async def transfer(stm: STM) -> None:
        a, b = int(await stm.text("a")), int(await stm.text("b"))
        stm.put("a", str(a - 10))
        stm.put("b", str(b + 10))

    await client.stm(transfer)

Reads are remembered with the revisions they saw, writes are kept back.  At the end one transaction
asks whether what was read is still so, and writes; if it is not, it reads anew what was read
before, and the function runs again on that.
Source: etcd client/v3/concurrency/stm.go.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import trio

from trioetcd.client.base import BaseClient
from trioetcd.client.errors import Conflict
from trioetcd.client.txn import Condition, Operation, delete, get, key, put
from trioetcd.client.values import Data, KeyValue, Listing, to_bytes

Isolation = Literal["serializable-snapshot", "serializable", "repeatable-reads", "read-committed"]
"""What else may have happened between the reads and the writes:

serializable-snapshot  nothing to what was read, nor to what is written since the first read
serializable           nothing to what was read; all reads are of one revision
repeatable-reads       nothing to what was read; each key is read when it is asked for
read-committed         anything
"""
MOST_ATTEMPTS = 50
FIRST_PAUSE, MOST_PAUSE = 0.001, 0.05  # seconds at most, before the next attempt
T = TypeVar("T")


class STM:
    """One attempt.  `get` and `text` may wait; `put` and `delete` only note what is to be done."""

    def __init__(
        self, client: BaseClient, isolation: Isolation, known: dict[bytes, Listing]
    ) -> None:
        self._client = client
        self._isolation = isolation
        self._is_snapshot = isolation in ("serializable-snapshot", "serializable")
        self._known = known  # fetched by the attempt before, all of one revision
        self._read: dict[bytes, Listing] = {}
        self._written: dict[bytes, Operation] = {}
        self._values: dict[bytes, bytes | None] = {}  # of `_written`; None: deleted
        self._revision = 0  # of the first read

    async def get(self, key: Data) -> bytes | None:
        """A key's value, as this attempt has written it or first seen it; None: there is none."""
        name = to_bytes(key)
        if name in self._values:
            return self._values[name]
        found = await self._found(name)
        return None if found is None else found.value

    async def text(self, key: Data, default: str = "") -> str:
        """The value as UTF-8; `default` if there is none."""
        value = await self.get(key)
        return default if value is None else value.decode()

    def put(self, key: Data, value: Data, *, lease_id: int = 0) -> None:
        name = to_bytes(key)
        self._written[name] = put(name, value, lease_id=lease_id)
        self._values[name] = to_bytes(value)

    def delete(self, key: Data) -> None:
        name = to_bytes(key)
        self._written[name] = delete(name)
        self._values[name] = None

    async def _found(self, name: bytes) -> KeyValue | None:
        if name not in self._read:
            self._read[name] = await self._ask(name)
        items = self._read[name].items
        return items[0] if items else None

    async def _ask(self, name: bytes) -> Listing:
        found = self._known.get(name)
        if found is None:
            # What the attempt before has fetched is of one revision, and so must the rest be.
            known = next((one.revision for one in self._known.values()), 0)
            at = (self._revision or known) if self._is_snapshot else 0
            found = await self._client.range(name, b"", revision=at)
            if at:
                found = Listing(found.items, found.count, found.more, at)
        self._revision = self._revision or found.revision
        return found

    async def commit(self) -> dict[bytes, Listing] | None:
        """None: it is done.  Else what was read, as it is now."""
        if not self._written and (self._is_snapshot or len(self._read) <= 1):
            return None  # what was read was so, all of it at one moment
        names = list(self._read)
        done = await self._client.txn(
            when=self._conditions(),
            then=list(self._written.values()),
            otherwise=[get(name) for name in names],
        )
        if done.succeeded:
            return None
        fetched = (one for one in done.results if isinstance(one, Listing))
        return {
            name: Listing(one.items, one.count, one.more, done.revision)
            for name, one in zip(names, fetched, strict=True)
        }

    def _conditions(self) -> list[Condition]:
        if self._isolation == "read-committed":
            return []
        conditions = [
            key(name).mod_revision == (found.items[0].mod_revision if found.items else 0)
            for name, found in self._read.items()
        ]
        if self._isolation == "serializable-snapshot" and self._revision:
            conditions += [
                key(name).mod_revision < self._revision + 1
                for name in self._written
                if name not in self._read
            ]
        return conditions


async def run_stm(
    client: BaseClient,
    function: Callable[[STM], Awaitable[T]],
    isolation: Isolation,
    attempts: int,
    rng: random.Random,
) -> T:
    """See `Client.stm`."""
    known: dict[bytes, Listing] = {}
    for attempt in range(attempts):
        stm = STM(client, isolation, known)
        result = await function(stm)
        changed = await stm.commit()
        if changed is None:
            return result
        known = changed
        # Somebody has succeeded each time, so a crowd gets smaller; chance makes it fair.
        await trio.sleep(rng.uniform(0, min(FIRST_PAUSE * 2 ** min(attempt, 30), MOST_PAUSE)))
    raise Conflict(attempts)
