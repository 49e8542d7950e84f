"""What locks and elections are made of: keys that wait for those created before them.

Source: etcd client/v3/concurrency (key.go, session.go), as its lock and election services use it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from trioetcd.api.local import Caller, LocalStream
from wire.errors import Compacted, Refused
from wire.pb import etcdserverpb, mvccpb
from wire.status import Status

SESSION_TTL = 60  # seconds; of a lease that is granted because none was given
CLEANUP_SECONDS = 5.0  # for taking a key back when its caller has gone

Range = etcdserverpb.RangeRequest
_KV = "/etcdserverpb.KV"


async def session(caller: Caller, lease: int) -> int:
    """The lease given, or a new one that nobody keeps alive but who asked."""
    if lease:
        return lease
    request = etcdserverpb.LeaseGrantRequest(TTL=SESSION_TTL)
    answer = await caller.unary("/etcdserverpb.Lease/LeaseGrant", request)
    return etcdserverpb.LeaseGrantResponse.FromString(answer).ID


def own_key(prefix: bytes, lease: int) -> bytes:
    """A session's place: it has one of a name."""
    return prefix + (b"%x" % lease if lease >= 0 else b"-%x" % -lease)


def prefix_end(prefix: bytes) -> bytes:
    """For prefixes that end in a slash."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def created_first(prefix: bytes) -> Range:
    return Range(
        key=prefix,
        range_end=prefix_end(prefix),
        sort_target=Range.CREATE,
        sort_order=Range.ASCEND,
        limit=1,
    )


async def read(caller: Caller, request: Range) -> etcdserverpb.RangeResponse:
    return etcdserverpb.RangeResponse.FromString(await caller.unary(f"{_KV}/Range", request))


async def commit(caller: Caller, request: etcdserverpb.TxnRequest) -> etcdserverpb.TxnResponse:
    return etcdserverpb.TxnResponse.FromString(await caller.unary(f"{_KV}/Txn", request))


async def delete(caller: Caller, key: bytes) -> etcdserverpb.DeleteRangeResponse:
    request = etcdserverpb.DeleteRangeRequest(key=key)
    answer = await caller.unary(f"{_KV}/DeleteRange", request)
    return etcdserverpb.DeleteRangeResponse.FromString(answer)


def if_created_at(key: bytes, revision: int) -> etcdserverpb.Compare:
    """0: not there."""
    return etcdserverpb.Compare(
        key=key,
        target=etcdserverpb.Compare.CREATE,
        result=etcdserverpb.Compare.EQUAL,
        create_revision=revision,
    )


async def wait_for_those_before(caller: Caller, prefix: bytes, revision: int) -> None:
    """Until all keys with the prefix that were created before `revision` are gone."""
    while True:
        request = Range(
            key=prefix,
            range_end=prefix_end(prefix),
            sort_target=Range.CREATE,
            sort_order=Range.DESCEND,
            limit=1,
            max_create_revision=revision - 1,
        )
        found = await read(caller, request)
        if not found.kvs:
            return
        async with watch(caller, found.kvs[0].key, found.header.revision) as changes:
            async for response in changes:
                if any(event.type == mvccpb.Event.DELETE for event in response.events):
                    break


@asynccontextmanager
async def watch(
    caller: Caller, key: bytes, revision: int, range_end: bytes = b""
) -> AsyncIterator[Watched]:
    """Responses that carry events, from `revision` on.  Iterating raises EtcdError."""
    create = etcdserverpb.WatchCreateRequest(key=key, range_end=range_end, start_revision=revision)
    request = etcdserverpb.WatchRequest(create_request=create)
    async with caller.stream("/etcdserverpb.Watch/Watch", request) as stream:
        yield Watched(stream)


class Watched:
    def __init__(self, stream: LocalStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> etcdserverpb.WatchResponse:
        while (message := await self._stream.next()) is not None:
            response = etcdserverpb.WatchResponse.FromString(message)
            if response.canceled:
                if response.compact_revision:
                    raise Compacted
                raise Refused(Status.UNKNOWN, response.cancel_reason)
            if response.events:
                return response
        if self._stream.error is not None:
            raise self._stream.error
        raise Refused(Status.UNKNOWN, "lost watcher waiting for delete")


@asynccontextmanager
async def cleaning_up() -> AsyncIterator[None]:
    """What is to be done even though nobody waits for it any more."""
    with trio.move_on_after(CLEANUP_SECONDS, shield=True):
        yield
