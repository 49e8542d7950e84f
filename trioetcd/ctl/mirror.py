"""A cluster's keys, kept alike in another one: first what is there, then every change.

Every write here may be repeated without harm, because nobody else writes these keys and they are
written in order; so a destination that breaks off in the middle is asked again.
Source: etcd client/v3/mirror/syncer.go, etcdctl/ctlv3/command/make_mirror_command.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from trioetcd.client import Client
from trioetcd.client.errors import MaybeApplied, NotApplied
from trioetcd.client.txn import Operation, delete, put
from trioetcd.client.values import KeyValue
from trioetcd.client.watch import Event
from wire.errors import EtcdError

LANES = 16  # puts of a page that are under way at a time
AGAIN_SECONDS = 0.5  # between tries to write


@dataclass(frozen=True)
class Plan:
    """What is mirrored, and under which name."""

    prefix: bytes
    destination_prefix: bytes
    revision: int = 0  # mirror the changes from here on; 0 or 1: all that is there before
    most_operations: int = 128  # in a transaction of the destination; 0: a revision's all

    def renamed(self, key: bytes) -> bytes:
        return self.destination_prefix + key[len(self.prefix) :]

    def operations(self, events: Sequence[Event]) -> Iterator[list[Operation]]:
        """A revision's, in transactions that are small enough."""
        found = [self._operation(event) for event in events]
        step = self.most_operations or len(found)
        for start in range(0, len(found), step):
            yield found[start : start + step]

    def _operation(self, event: Event) -> Operation:
        key = self.renamed(event.key)
        return delete(key) if event.is_delete else put(key, event.value)


class Mirror:
    def __init__(self, source: Client, destination: Client, plan: Plan) -> None:
        self.total = 0  # keys written or deleted
        self._source = source
        self._destination = destination
        self._plan = plan

    async def run(self) -> None:
        """Never returns.

        Raises:
            WatchCompacted: the source has forgotten changes that were not mirrored yet.
            EtcdError: either side has refused something.
        """
        plan = self._plan
        start = plan.revision if plan.revision > 1 else await self._copy() + 1
        async with self._source.watch(prefix=plan.prefix, start_revision=start) as batches:
            async for batch in batches:
                for operations in plan.operations(batch.events):
                    await _until_known(partial(self._destination.txn, then=operations))
                    self.total += len(operations)

    async def _copy(self) -> int:
        """What is there; the revision at which it was."""
        revision = 0
        async for page in self._source.pages(self._plan.prefix):
            revision = revision or page.revision
            await self._put_all(page.items)
        return revision

    async def _put_all(self, items: Sequence[KeyValue]) -> None:
        rest = iter(items)  # which the lanes share
        failures: list[EtcdError] = []
        async with trio.open_nursery() as nursery:

            async def put_each() -> None:
                try:
                    for kv in rest:
                        await self._put(kv)
                except EtcdError as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()

            for _ in range(min(LANES, len(items))):
                nursery.start_soon(put_each)
        if failures:
            raise failures[0]

    async def _put(self, kv: KeyValue) -> None:
        key = self._plan.renamed(kv.key)
        await _until_known(partial(self._destination.put, key, kv.value))
        self.total += 1


async def _until_known(write: Callable[[], Awaitable[object]]) -> None:
    """Until a server has answered."""
    while True:
        try:
            await write()
            return
        except (NotApplied, MaybeApplied):
            await trio.sleep(AGAIN_SECONDS)
