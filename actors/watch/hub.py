"""Which watcher hears what, and when: the whole of Watch but waiting.

Pure.  Two ways lead a change to a watcher.  *Synced* watchers share one position in history:
what the store's feed holds past it is matched against all of them at once.  A watcher that
starts in the past, or whose sink was full, is *behind*: it reads history from the store
(`actors.watch.catchup`), in bounded steps, until it has reached that position.  Nothing is
kept for a watcher whose sink is full but a number, so slow ones cost nothing.

Source: etcd server/storage/mvcc/watchable_store.go, watcher.go; api/v3rpc/watch.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from sortedcontainers import SortedDict

from actors.mvcc.feed import Event, Feed
from actors.watch.catchup import CatchUp, History
from actors.watch.encode import (
    CANCELED,
    CREATED,
    NO_ID,
    PREFIX_BYTES,
    Header,
    compacted,
    frame,
    frames,
    id_field,
    refused,
)
from actors.watch.interest import Interests
from actors.watch.ticks import Ticks
from actors.watch.watcher import (
    NO_DELETIONS,
    NO_PUTS,
    WITH_PREVIOUS,
    State,
    Stream,
    Watcher,
)
from wire.errors import TooManyRequests
from wire.pb import etcdserverpb

FRAGMENT_BYTES = 1_572_864 + 512 * 1024  # etcd: the request limit and 512 KiB
BATCH_BYTES = 1 << 20  # of changes in one response; more only if one revision has more
OFFERS_PER_TURN = 500  # between two turns of the event loop: about a millisecond
SHARED_FRAMES = 16  # of one batch, for as many different ids, kept while it is sent
WATCHERS_PER_STREAM = 1_000_000

EMPTY_RANGE = "mvcc: watcher range is empty"
DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"


class Source(History, Protocol):
    """The store, as far as watchers reach it."""

    @property
    def feed(self) -> Feed: ...

    def row_at(self, key: bytes, revision: int) -> bytes | None: ...


class WatchSet:
    """Every watcher of this member.

    Invariant: everything that SYNCED watchers want was sent to them up to `position`, and
    nothing past it; a FUTURE one starts past `position` + 1.  As long as there is one of
    either, the feed holds what comes after `position`, or knows that it lost some.
    """

    def __init__(
        self,
        source: Source,
        header: Header,
        ticks: Ticks,
        *,
        fragment_bytes: int = FRAGMENT_BYTES,
    ) -> None:
        self.source = source
        self.header = header
        self.ticks = ticks
        self.position = source.revision
        self.streams: dict[int, Stream] = {}  # by number
        self.behind = CatchUp()
        self._fragment_bytes = fragment_bytes
        self._synced = Interests()
        self._future: SortedDict = SortedDict()  # revision -> watchers that start there
        self.events_total = 0
        self.watchers = 0

    @property
    def slow_watchers(self) -> int:
        """Watchers that are neither synced nor waiting for the future."""
        blocked = sum(len(stream.blocked) for stream in self.streams.values())
        return len(self.behind) + blocked

    # -- Requests, answered in their order

    def open(self, stream: Stream) -> None:
        self.streams[stream.number] = stream

    def create(self, stream: Stream, request: etcdserverpb.WatchCreateRequest, now: float) -> None:
        """Begin a watch, or say on the stream why not."""
        key, end = request.key or b"\0", request.range_end
        if end not in (b"", b"\0") and end <= key:
            return self.refuse(stream, EMPTY_RANGE)
        watch_id = request.watch_id
        if watch_id and watch_id in stream.watchers:
            return self.refuse(stream, DUPLICATE_ID)
        if len(stream.watchers) >= WATCHERS_PER_STREAM:
            return self.refuse(stream, TooManyRequests.text)
        watcher = Watcher(
            stream,
            watch_id or stream.free_id(),
            key,
            None if end == b"\0" else end,
            start_revision=request.start_revision,
            next_revision=self._first_revision(request.start_revision),
            options=_options(request),
            fragment=request.fragment,
        )
        stream.watchers[watcher.watch_id] = watcher
        self.watchers += 1
        if request.progress_notify:
            self.ticks.add(watcher, now)
        self._answer(stream, watcher.id_field + CREATED)
        self._place(watcher)

    def _first_revision(self, start: int) -> int:
        """The first revision a watch sees.

        A negative start is below any compaction, like other old ones.  On a store that was
        never compacted -1 is not, and sees no history (so do 3.4.23 and 3.5.1).
        """
        if start == 0 or 0 > start >= self.source.compact_revision:
            return self.source.revision + 1
        return start

    def refuse(self, stream: Stream, reason: str) -> None:
        """A watch that was asked for is not begun."""
        self._answer(stream, id_field(NO_ID) + refused(reason))

    def cancel(self, stream: Stream, watch_id: int) -> None:
        """End a watch.  An id that is not there gets no answer."""
        watcher = stream.watchers.get(watch_id)
        if watcher is not None:
            self._forget(watcher)
            self._answer(stream, watcher.id_field + CANCELED)

    def progress(self, stream: Stream) -> None:
        """Say how far the stream's watches are, if all of them have come as far as the store.

        A watch that compaction has ended keeps nobody waiting, and neither does a stream
        without watches (3.4.23 and 3.5.1 answer too); one that is yet to start does, lest its
        client resume too early (as in 3.6).
        """
        if all(map(self._is_settled, stream.watchers.values())):
            stream.sink.push(frame(self.header(self.position), id_field(NO_ID)))

    def _is_settled(self, watcher: Watcher) -> bool:
        if watcher.state is State.SYNCED:
            return watcher.start_revision <= self.position
        return watcher.state is State.COMPACTED

    def close(self, stream: Stream) -> None:
        """The client has gone."""
        if self.streams.pop(stream.number, None) is not None:
            for watcher in list(stream.watchers.values()):
                self._forget(watcher)

    def has_room(self, stream: Stream) -> None:
        """The stream's sink was full, and is not any more."""
        blocked, stream.blocked = stream.blocked, {}
        for watcher in blocked:
            self.behind.add(watcher)

    def _answer(self, stream: Stream, fields: bytes) -> None:
        stream.sink.push(frame(self.header(self.source.revision), fields))

    # -- Where a watcher belongs

    def _place(self, watcher: Watcher) -> None:
        """File a watcher, which is nowhere now, by the revision it needs next."""
        feed = self.source.feed
        if not feed.wanted:
            self.position = self.source.revision
        if watcher.next_revision <= self.position:
            return self.behind.add(watcher)
        if not feed.wanted:
            feed.want(self.position)
        if watcher.next_revision == self.position + 1:
            watcher.state = State.SYNCED
            self._synced.add(watcher)
        else:
            watcher.state = State.FUTURE
            self._future.setdefault(watcher.next_revision, {})[watcher] = None

    def _block(self, watcher: Watcher) -> None:
        """Its sink is full; it is nowhere now, and goes on from `next_revision` later."""
        watcher.state = State.BLOCKED
        watcher.stream.blocked[watcher] = None

    def _forget(self, watcher: Watcher) -> None:
        """Remove a watcher from wherever it is."""
        stream = watcher.stream
        del stream.watchers[watcher.watch_id]
        self.ticks.remove(watcher)
        match watcher.state:
            case State.SYNCED:
                self._synced.remove(watcher)
            case State.FUTURE:
                together = self._future[watcher.next_revision]
                del together[watcher]
                if not together:
                    del self._future[watcher.next_revision]
            case State.BEHIND:
                self.behind.remove(watcher)
            case State.BLOCKED:
                del stream.blocked[watcher]
        if watcher.state is not State.COMPACTED:
            self.watchers -= 1
        self._release_feed()

    def _release_feed(self) -> None:
        """Holding changes costs every put a little: not while nobody waits for them."""
        if not self._synced and not self._future and self.source.feed.wanted:
            self.source.feed.unwant()

    # -- What happens

    def publish(self) -> Iterator[None]:
        """Tell synced watchers what has happened; pauses after OFFERS_PER_TURN offers or more.

        To be run to its end before anything else here is called.
        """
        source = self.source
        last = source.revision
        if not source.feed.wanted:
            self.position = last
        if self.position == last:
            return
        start, changes = source.feed.take(last)
        if start > self.position + 1:  # more has happened than the feed could hold
            return self._place_anew(last)
        offers = 0
        for batch in _batches(changes):
            for interest in self._synced.gather(batch, self.previous):
                offers += len(interest.watchers)
                failed = self.send(interest.watchers, interest.events, interest.revisions[-1])
                interest.clear()
                for watcher in failed:
                    watcher.next_revision = self.position + 1
                    self._synced.remove(watcher)
                    self._block(watcher)
                if offers >= OFFERS_PER_TURN:
                    offers = 0
                    yield
            self._reach(batch[-1].main)
        self._release_feed()

    def _reach(self, revision: int) -> None:
        """Synced watchers have everything up to `revision`: some may join them now."""
        self.position = revision
        while self._future and self._future.peekitem(0)[0] <= revision + 1:
            for watcher in self._future.popitem(0)[1]:
                self._place(watcher)

    def _place_anew(self, revision: int) -> None:
        """Synced watchers read what they miss up to `revision` from the store."""
        synced, self._synced = self._synced, Interests()
        future, self._future = self._future, SortedDict()
        for watcher in synced:
            watcher.next_revision = self.position + 1
        self.position = revision
        for watcher in (*synced, *(one for together in future.values() for one in together)):
            self._place(watcher)
        self._release_feed()

    def restore(self, source: Source) -> None:
        """The store was replaced, by a snapshot from the leader: all read on from there."""
        self.source = source
        revision = source.revision
        if source.feed.wanted:
            source.feed.skip_to(revision)  # from the store they read it all
        self._place_anew(revision)

    def catch_up(self) -> None:
        """One step of those that are behind.  Synced watchers come first: see `publish`."""
        if not self.behind:
            return
        outcome = self.behind.step(self.source, self.previous, self.send)
        for watcher in outcome.caught_up:
            self._place(watcher)
        for watcher in outcome.blocked:
            self._block(watcher)
        for watcher in outcome.compacted:
            self._end_compacted(watcher)

    def _end_compacted(self, watcher: Watcher) -> None:
        """Its history is gone.  The id stays taken until the client cancels it, as in etcd."""
        fields = watcher.id_field + compacted(self.source.compact_revision)
        if not watcher.stream.sink.offer(frame(self.header(0), fields)):
            return self._block(watcher)
        watcher.state = State.COMPACTED
        self.ticks.remove(watcher)
        self.watchers -= 1

    def tick(self, now: float) -> None:
        """Tell those that want to know how far they are, if they have heard nothing since."""
        head = self.header(self.position)
        for watcher in self.ticks.due(now):
            if watcher.is_quiet and self._is_settled(watcher) and not watcher.stream.blocked:
                watcher.stream.sink.offer(frame(head, watcher.id_field))
            watcher.is_quiet = True

    # -- Sending

    def previous(self, key: bytes, revision: int) -> bytes | None:
        """What `key` was before `revision`, unless that has been compacted."""
        before = revision - 1
        return None if before < self.source.compact_revision else self.source.row_at(key, before)

    def send(
        self, watchers: Iterable[Watcher], events: Sequence[bytes], revision: int
    ) -> list[Watcher]:
        """Offer the same events to many; returns those whose sink is full."""
        head = self.header(revision)
        body = b"".join(events)
        made: dict[bytes, bytes] = {}  # watchers with the same id share the whole frame
        full = []
        sent = 0
        for watcher in watchers:
            stream, fields = watcher.stream, watcher.id_field
            if stream.blocked:
                full.append(watcher)
                continue
            data = made.get(fields)
            if data is None:
                if len(made) == SHARED_FRAMES:
                    made.clear()
                data = made[fields] = frame(head, fields, body)
            if watcher.fragment and len(data) - PREFIX_BYTES >= self._fragment_bytes:
                first, *others = frames(head, fields, events, self._fragment_bytes)
                taken = stream.sink.offer(first)
                for other in others if taken else ():
                    stream.sink.push(other)
            else:
                taken = stream.sink.offer(data)
            if taken:
                sent += 1
                watcher.is_quiet = False
            else:
                full.append(watcher)
        self.events_total += sent * len(events)
        return full


def _options(request: etcdserverpb.WatchCreateRequest) -> int:
    options = WITH_PREVIOUS if request.prev_kv else 0
    for unwanted in request.filters:
        if unwanted == etcdserverpb.WatchCreateRequest.NOPUT:
            options |= NO_PUTS
        elif unwanted == etcdserverpb.WatchCreateRequest.NODELETE:
            options |= NO_DELETIONS
    return options


def _batches(changes: list[Event]) -> Iterator[list[Event]]:
    """Cut between revisions, when BATCH_BYTES are together."""
    start = size = 0
    for at, change in enumerate(changes):
        if size >= BATCH_BYTES and change.main != changes[at - 1].main:
            yield changes[start:at]
            start, size = at, 0
        size += len(change.keyvalue)
    if changes:
        yield changes[start:]
