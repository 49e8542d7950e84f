"""Reading and writing keys."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Literal

import trio

from trioetcd.client.credentials import STALE
from trioetcd.client.endpoints import Endpoints, may_repeat
from trioetcd.client.txn import (
    Condition,
    Deleted,
    Operation,
    Put,
    Txn,
    deleted_of,
    listing_of,
    put_of,
    request_of,
    txn_of,
)
from trioetcd.client.values import (
    ALL,
    Data,
    KeyValue,
    Listing,
    key_value,
    prefix_range,
    to_bytes,
)
from wire.errors import EtcdError
from wire.pb import etcdserverpb
from wire.status import Status

PAGE_KEYS = 1000
Order = Literal["key", "version", "create", "mod", "value"]
_Order, _Target = etcdserverpb.RangeRequest.SortOrder, etcdserverpb.RangeRequest.SortTarget
_RANGE, _PUT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put"
_DELETE, _TXN = "/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/Txn"
_COMPACT = "/etcdserverpb.KV/Compact"
_RANGE_STREAM = "/etcdserverpb.KV/RangeStream"


class KV:
    """Reads are linearizable unless they are `serializable`: answered by one member alone.

    Every method raises EtcdError; writes see `Endpoints.write`.  A write that a cancel scope
    cuts short may have been applied.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def get(
        self, key: Data, *, revision: int = 0, serializable: bool = False
    ) -> KeyValue | None:
        """A key as it is, or was at `revision`; None if there is none."""
        found = await self.range(key, b"", revision=revision, serializable=serializable)
        return found.items[0] if found.items else None

    async def get_prefix(
        self,
        prefix: Data,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        serializable: bool = False,
        order_by: Order = "key",
        descending: bool = False,
    ) -> Listing:
        """All keys that begin with `prefix`, in order; at most `limit` of them, if given."""
        start, end = prefix_range(prefix)
        return await self.range(
            start,
            end,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            serializable=serializable,
            order_by=order_by,
            descending=descending,
        )

    async def get_from(self, key: Data, *, limit: int = 0, revision: int = 0) -> Listing:
        """This key and all after it."""
        return await self.range(to_bytes(key) or b"\0", ALL, limit=limit, revision=revision)

    async def range(
        self,
        start: Data,
        end: Data,
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        serializable: bool = False,
        order_by: Order = "key",
        descending: bool = False,
        min_mod_revision: int = 0,
        max_mod_revision: int = 0,
        min_create_revision: int = 0,
        max_create_revision: int = 0,
    ) -> Listing:
        """The keys from `start` up to, without, `end`; only `start` if `end` is empty.

        Bounds on revisions leave out keys, but count them; 0: no bound.
        """
        request = etcdserverpb.RangeRequest(
            key=to_bytes(start),
            range_end=to_bytes(end),
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            serializable=serializable,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        if descending or order_by != "key":
            request.sort_order = _Order.Value("DESCEND" if descending else "ASCEND")
            request.sort_target = _Target.Value(order_by.upper())
        return await self._range(request)

    async def _range(self, request: etcdserverpb.RangeRequest) -> Listing:
        answer = await self._endpoints.read(_RANGE, request.SerializeToString())
        return listing_of(etcdserverpb.RangeResponse.FromString(answer))

    async def count(self, prefix: Data) -> int:
        """How many keys begin with `prefix`."""
        start, end = prefix_range(prefix)
        request = etcdserverpb.RangeRequest(key=start, range_end=end, count_only=True)
        return (await self._range(request)).count

    async def pages(
        self, prefix: Data, *, page_keys: int = PAGE_KEYS, revision: int = 0
    ) -> AsyncIterator[Listing]:
        """All keys that begin with `prefix`, some at a time, all of one revision.

        Where the server has RangeStream (3.7, trioetcd) all but the first page come in one stream,
        in pages of its choice, which waits while nothing is taken from it.

        Raises:
            Compacted: the revision was compacted on the way.
        """
        start, end = prefix_range(prefix)
        page = await self.range(start, end, limit=page_keys, revision=revision)
        yield page
        while page.more:
            async with aclosing(self._streamed(page, end)) as rest:
                async for page in rest:
                    yield page
            if page.more:
                start = page.items[-1].key + b"\0"
                page = await self.range(start, end, limit=page_keys, revision=page.revision)
                yield page

    async def _streamed(self, page: Listing, end: bytes) -> AsyncGenerator[Listing, None]:
        """What comes after a page, in one stream, as far as the server and its connection allow."""
        if not self._endpoints.streams_ranges:
            return
        start = page.items[-1].key + b"\0"
        request = etcdserverpb.RangeRequest(key=start, range_end=end, revision=page.revision)
        try:
            metadata = await self._endpoints.metadata()
            stream = await self._endpoints.open_stream(_RANGE_STREAM, metadata)
            async with stream:
                stream.send_nowait(request.SerializeToString())
                stream.done_sending()
                async for message in stream:
                    page = _chunk(message, page)
                    yield page
        except EtcdError as error:
            if error.status is Status.UNIMPLEMENTED:
                self._endpoints.streams_ranges = False
            elif not (may_repeat(error, False) or isinstance(error, STALE)):
                raise
        except trio.BrokenResourceError:
            pass  # it has ended before it was asked

    async def put(
        self, key: Data, value: Data, *, lease_id: int = 0, previous: bool = False
    ) -> Put:
        """Write a key; with a lease it ends when that does."""
        request = etcdserverpb.PutRequest(
            key=to_bytes(key), value=to_bytes(value), lease=lease_id, prev_kv=previous
        )
        answer = await self._endpoints.write(_PUT, request.SerializeToString())
        return put_of(etcdserverpb.PutResponse.FromString(answer))

    async def delete(self, key: Data, *, previous: bool = False) -> Deleted:
        return await self.delete_range(key, b"", previous=previous)

    async def delete_prefix(self, prefix: Data, *, previous: bool = False) -> Deleted:
        return await self.delete_range(*prefix_range(prefix), previous=previous)

    async def delete_range(self, start: Data, end: Data, *, previous: bool = False) -> Deleted:
        """Bounds as of `range`."""
        request = etcdserverpb.DeleteRangeRequest(
            key=to_bytes(start), range_end=to_bytes(end), prev_kv=previous
        )
        answer = await self._endpoints.write(_DELETE, request.SerializeToString())
        return deleted_of(etcdserverpb.DeleteRangeResponse.FromString(answer))

    async def txn(
        self,
        when: Sequence[Condition] = (),
        then: Sequence[Operation] = (),
        otherwise: Sequence[Operation] = (),
    ) -> Txn:
        """Do `then` if all conditions hold, else `otherwise`, in one revision."""
        request = request_of(when, then, otherwise)
        answer = await self._endpoints.write(_TXN, request.SerializeToString())
        return txn_of(etcdserverpb.TxnResponse.FromString(answer))

    async def compact(self, revision: int, *, physical: bool = False) -> None:
        """Forget what was overwritten before `revision`; `physical`: wait until it is gone."""
        request = etcdserverpb.CompactionRequest(revision=revision, physical=physical)
        await self._endpoints.write(_COMPACT, request.SerializeToString())


def _chunk(message: bytes, before: Listing) -> Listing:
    """A page of a stream, of which only the last one has a header."""
    answer = etcdserverpb.RangeStreamResponse.FromString(message).range_response
    items = tuple(map(key_value, answer.kvs))
    is_last = answer.HasField("header")
    return Listing(items, before.count - len(before.items), not is_last, before.revision)
