"""Watching keys across lost connections and servers, without gap or duplicate.

    async with client.watch(prefix="config/") as batches:
        async for batch in batches: ...

Each watch has a stream of its own, and no task: messages are taken from the stream when the
program asks for them.  A program that is slow so fills the stream's HTTP/2 window, which pauses
this watch at the server, and no other.  What was handed out last says where to go on.
Source: etcd api/etcdserverpb/rpc.proto (Watch), client/v3/watch.go (resume).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

from trioetcd.client.endpoints import Endpoints, may_repeat
from trioetcd.client.errors import WatchCompacted
from trioetcd.client.kv import KV
from trioetcd.client.values import KeyValue, Listing, key_value
from wire.errors import EtcdError, PermissionDenied, Refused
from wire.grpc.client_calls import StreamExchange
from wire.pb import etcdserverpb, mvccpb
from wire.status import Status

CREATE_SECONDS = 5.0  # for a server to confirm a watch, before another one is asked
T = TypeVar("T")
_WATCH = "/etcdserverpb.Watch/Watch"
_ALL_WATCHES = -1  # of a stream, for which the server answers a request for progress
_HAS_LEADER = ((b"hasleader", b"true"),)  # a member cut off from the others ends our stream
_Create = etcdserverpb.WatchCreateRequest


@dataclass(frozen=True, slots=True)
class Event:
    kind: str  # "put" or "delete"
    key: bytes
    value: bytes  # empty for a delete
    revision: int
    kv: KeyValue
    previous: KeyValue | None  # only if it was asked for, and there was one

    @property
    def is_delete(self) -> bool:
        return self.kind == "delete"


@dataclass(frozen=True, slots=True)
class Batch:
    """All events of one revision; or a listing that stands for all before it."""

    revision: int
    events: tuple[Event, ...] = ()
    listing: Listing | None = None  # only of watches that `relist`
    # With neither: all of the store's changes up to `revision` have been handed out.


@dataclass(frozen=True, slots=True)
class WatchRange:
    """What to watch, and how it is told."""

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0  # 0: from now on
    previous: bool = False
    progress: bool = False  # hand out batches without events, too
    relist: bool = False
    puts: bool = True
    deletes: bool = True

    def request(self, start_revision: int) -> bytes:
        filters = []
        if not self.puts:
            filters.append(_Create.FilterType.Value("NOPUT"))
        if not self.deletes:
            filters.append(_Create.FilterType.Value("NODELETE"))
        create = _Create(
            key=self.key,
            range_end=self.range_end,
            start_revision=start_revision,
            progress_notify=True,
            prev_kv=self.previous,
            filters=filters,
        )
        return etcdserverpb.WatchRequest(create_request=create).SerializeToString()


class Watching(ABC, Generic[T]):
    """Iterate over what is handed out, from one task at a time.

    Invariant: every event before `next_revision` is handed out or in `_ready`.
    """

    def __init__(self, endpoints: Endpoints, wanted: WatchRange) -> None:
        self.next_revision = wanted.start_revision  # 0: not known yet
        self._endpoints = endpoints
        self._wanted = wanted
        self._stream: StreamExchange | None = None
        self._ready: deque[T] = deque()  # of the last message; bounded by its size
        self._closed = False

    async def __aenter__(self) -> Self:
        """Returns when the server watches: no later event is missed.

        Raises:
            WatchCompacted: the first revision is gone.
            EtcdError: the watch is not allowed, or no server can be reached.
        """
        try:
            await self._begin()
        except BaseException:
            self._drop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._drop()

    async def once(self) -> T:
        """Enter, wait for the first of what is handed out, and leave."""
        async with self:
            return await anext(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Raises what `__aenter__` raises."""
        if self._closed:
            raise trio.ClosedResourceError
        while not self._ready:
            if self._stream is None:
                await self._connect()
            else:
                await self._receive(self._stream)
        return self._ready.popleft()

    async def _receive(self, stream: StreamExchange) -> None:
        try:
            message = await stream.receive()
        except EtcdError as error:
            self._drop()
            if not may_repeat(error, False):
                raise
            return
        if message is None:  # a server that stops
            self._drop()
            return
        answer = etcdserverpb.WatchResponse.FromString(message)
        if answer.canceled:
            self._drop()
            await self._canceled(answer)
        else:
            self._take(answer)

    def _take(self, answer: etcdserverpb.WatchResponse) -> None:
        if answer.events:
            if _revision(answer.events[0]) < self.next_revision:
                _forget_before(self.next_revision, answer)
            if answer.events:
                self.next_revision = _revision(answer.events[-1]) + 1
                self._ready.extend(self._handed_out(answer))
        elif answer.header.revision >= self.next_revision:
            self.next_revision = answer.header.revision + 1
            if self._wanted.progress:
                self._ready.extend(self._handed_out(answer))

    @abstractmethod
    def _handed_out(self, answer: etcdserverpb.WatchResponse) -> Iterable[T]:
        """What becomes of a message: its events are new, or it has none and tells of progress."""

    async def _canceled(self, answer: etcdserverpb.WatchResponse) -> None:
        if not answer.compact_revision:
            if "no leader" in answer.cancel_reason:
                return  # another member may have one
            raise Refused(Status.CANCELLED, answer.cancel_reason)
        await self._compacted(answer.compact_revision)

    async def _compacted(self, compact_revision: int) -> None:
        raise WatchCompacted(compact_revision)

    # -- The stream

    async def _begin(self) -> None:
        await self._connect()

    async def _connect(self) -> None:
        """Watch from `next_revision` on, at any endpoint."""
        retry, renewed = self._endpoints.retry, False
        round_ = 0
        while self._stream is None:
            try:
                await self._create(renewed)
            except PermissionDenied:  # also what servers say of a token that they forgot
                if renewed:
                    raise
                renewed = True
            except EtcdError as error:
                self._drop()
                if not may_repeat(error, False):
                    raise
                # A watch that has begun goes on when there is a server again, however late.
                await trio.sleep(retry.pause(min(round_, 10), self._endpoints.rng))
                round_ += 1
                if not self.next_revision and round_ >= retry.rounds:
                    raise

    async def _create(self, renew: bool) -> None:
        metadata = await self._endpoints.metadata()
        if renew:
            metadata = await self._endpoints.renew(metadata)
        stream = await self._endpoints.open_stream(_WATCH, (*_HAS_LEADER, *metadata))
        self._stream = stream
        answer: bytes | None = None
        with suppress(trio.BrokenResourceError):  # it has ended already; `receive` tells
            stream.send_nowait(self._wanted.request(self.next_revision))
        with trio.move_on_after(CREATE_SECONDS):
            answer = await stream.receive()
        if answer is None:
            raise Refused(Status.UNAVAILABLE, "the server does not confirm the watch")
        created = etcdserverpb.WatchResponse.FromString(answer)
        if created.canceled:
            self._drop()
            if "permission denied" in created.cancel_reason or "auth" in created.cancel_reason:
                raise PermissionDenied
            await self._canceled(created)
        elif not self.next_revision:
            self.next_revision = created.header.revision + 1

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None


class Watch(Watching[Batch]):
    """Hands out batches."""

    async def _begin(self) -> None:
        if self._wanted.relist and not self.next_revision:
            await self._list()
        await super()._begin()

    def _handed_out(self, answer: etcdserverpb.WatchResponse) -> Iterable[Batch]:
        return by_revision(answer.events) if answer.events else (Batch(answer.header.revision),)

    async def _compacted(self, compact_revision: int) -> None:
        if not self._wanted.relist:
            raise WatchCompacted(compact_revision)
        await self._list()

    async def _list(self) -> None:
        listing = await KV(self._endpoints).range(self._wanted.key, self._wanted.range_end)
        self.next_revision = listing.revision + 1
        self._ready.append(Batch(listing.revision, listing=listing))


class WatchResponses(Watching[etcdserverpb.WatchResponse]):
    """Hands out the messages as they came, for those who show them; it does not list."""

    def __init__(self, endpoints: Endpoints, wanted: WatchRange) -> None:
        super().__init__(endpoints, wanted)
        self._asked = 0  # times for progress, that were not answered yet

    def ask_progress(self) -> None:
        """Have the server say how far it is, even if nothing has changed since."""
        if self._stream is None:
            return
        self._asked += 1
        request = etcdserverpb.WatchRequest(progress_request=etcdserverpb.WatchProgressRequest())
        with suppress(trio.BrokenResourceError):  # it has ended already; `receive` tells
            self._stream.send_nowait(request.SerializeToString())

    def _take(self, answer: etcdserverpb.WatchResponse) -> None:
        if self._asked and answer.watch_id == _ALL_WATCHES and not answer.events:
            self._asked -= 1
            self._ready.append(answer)
        super()._take(answer)

    def _handed_out(
        self, answer: etcdserverpb.WatchResponse
    ) -> Iterable[etcdserverpb.WatchResponse]:
        return (answer,)


def _forget_before(revision: int, answer: etcdserverpb.WatchResponse) -> None:
    later = [event for event in answer.events if _revision(event) >= revision]
    del answer.events[:]
    answer.events.extend(later)


def by_revision(events: Iterable[mvccpb.Event]) -> Iterator[Batch]:
    """Events in order, those of one revision together."""
    for revision, group in groupby(events, _revision):
        yield Batch(revision, tuple(map(_event, group)))


def _revision(event: mvccpb.Event) -> int:
    return event.kv.mod_revision


def _event(event: mvccpb.Event) -> Event:
    kv = key_value(event.kv)
    kind = "delete" if event.type == mvccpb.Event.EventType.Value("DELETE") else "put"
    previous = key_value(event.prev_kv) if event.HasField("prev_kv") else None
    return Event(kind, kv.key, kv.value, kv.mod_revision, kv, previous)
