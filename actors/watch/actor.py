"""The watch hub: tells every watcher of every change it wants to hear of.

Inbox     256 calls (requests of clients, which wait when it is full); four notices.
Waits on  no one: it reads the store's published state.
Restarts  yes: its streams end, and their clients come back with the revision they need next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import trio

from actors.kernel import Call, Inbox, Notice
from actors.watch.encode import Header
from actors.watch.hub import FRAGMENT_BYTES, Source, WatchSet
from actors.watch.ticks import Ticks
from actors.watch.watcher import Sink, Stream
from wire.pb import etcdserverpb

INBOX_CALLS = 256


# Messages


@dataclass(frozen=True, slots=True)
class Create(Call[None]):
    stream: Stream
    request: etcdserverpb.WatchCreateRequest


@dataclass(frozen=True, slots=True)
class Refuse(Call[None]):
    """A creation that must not be, answered in its turn."""

    stream: Stream
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel(Call[None]):
    stream: Stream
    watch_id: int


@dataclass(frozen=True, slots=True)
class Progress(Call[None]):
    stream: Stream


@dataclass(frozen=True, slots=True)
class RevisionExists(Notice):
    """The store has changed; what there is to see is in the store."""


@dataclass(frozen=True, slots=True)
class StreamsClosed(Notice):
    streams: tuple[Stream, ...]

    def merge(self, older: StreamsClosed) -> StreamsClosed:
        return StreamsClosed(older.streams + self.streams)


@dataclass(frozen=True, slots=True)
class StreamsHaveRoom(Notice):
    streams: tuple[Stream, ...]

    def merge(self, older: StreamsHaveRoom) -> StreamsHaveRoom:
        return StreamsHaveRoom(older.streams + self.streams)


@dataclass(frozen=True, slots=True)
class StoreReplaced(Notice):
    source: Source


# Handle


class WatchHub:
    """What the rest of the member sees.  Outlives restarts; streams do not.

    Requests return once the hub has them; the answers come through the stream's sink, in the
    order of the requests.
    """

    def __init__(self) -> None:
        self.inbox = Inbox("watch-hub", calls=INBOX_CALLS)
        self.watches: WatchSet | None = None  # for metrics, which only read
        self._opened = 0

    def open(self, sink: Sink) -> Stream:
        """A new stream, to be closed by the caller when its client has gone."""
        self._opened += 1
        return Stream(sink, self._opened)

    def close(self, stream: Stream) -> None:
        """Nothing goes to the sink any more once this returns, but what is being sent."""
        if not stream.is_closed:
            stream.is_closed = True
            self.inbox.notify(StreamsClosed((stream,)))

    def has_room(self, stream: Stream) -> None:
        """The sink, which refused something, takes more now."""
        self.inbox.notify(StreamsHaveRoom((stream,)))

    async def create(self, stream: Stream, request: etcdserverpb.WatchCreateRequest) -> None:
        """Begin a watch.  Raises ActorStopped when the hub has ended, and so has the stream."""
        await self.inbox.send(Create(stream, request))

    async def refuse(self, stream: Stream, reason: str) -> None:
        """Answer a creation with a refusal, in its turn.  Raises as `create`."""
        await self.inbox.send(Refuse(stream, reason))

    async def cancel(self, stream: Stream, watch_id: int) -> None:
        """Raises as `create`."""
        await self.inbox.send(Cancel(stream, watch_id))

    async def progress(self, stream: Stream) -> None:
        """Ask how far the stream's watches are.  Raises as `create`."""
        await self.inbox.send(Progress(stream))

    def revision_exists(self) -> None:
        """The apply step's word that the store has moved on."""
        self.inbox.notify(RevisionExists())

    def store_replaced(self, source: Source) -> None:
        """A snapshot from the leader took the store's place."""
        self.inbox.notify(StoreReplaced(source))


async def run_watch_hub(
    hub: WatchHub,
    source: Source,
    header: Header,
    ticks: Ticks,
    *,
    fragment_bytes: int = FRAGMENT_BYTES,
    task_status: trio.TaskStatus[WatchHub] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """`ticks` must be new: it says how often watches hear of progress."""
    watches = WatchSet(source, header, ticks, fragment_bytes=fragment_bytes)
    hub.watches = watches
    with hub.inbox:
        task_status.started(hub)
        try:
            while True:
                if watches.behind:
                    await trio.lowlevel.checkpoint()
                else:
                    with trio.move_on_at(ticks.next_time):
                        await hub.inbox.wait()
                # What has happened goes out before requests are looked at, so that a new
                # watch need not be kept apart from changes it must not see.
                for _ in watches.publish():
                    await trio.lowlevel.checkpoint()
                now = trio.current_time()
                while hub.inbox.depth:
                    handle(hub.inbox.receive_nowait(), watches, now)
                watches.tick(now)
                watches.catch_up()
        finally:
            stop(watches, hub.inbox.drain())


# Steps


def handle(message: object, watches: WatchSet, now: float) -> None:
    match message:
        case RevisionExists():
            pass  # `publish` sees for itself
        case StreamsHaveRoom(streams=streams):
            for stream in streams:
                if not stream.is_closed:
                    watches.has_room(stream)
        case StreamsClosed(streams=streams):
            for stream in streams:
                watches.close(stream)
        case StoreReplaced(source=source):
            watches.restore(source)
        case Create() | Refuse() | Cancel() | Progress():
            # A stream that was closed while its request waited must not be taken up again:
            # the notice of its end may have come first.
            if not message.stream.is_closed:
                answer(message, watches, now)
            message.reply.answer(None)


def answer(message: Create | Refuse | Cancel | Progress, watches: WatchSet, now: float) -> None:
    stream = message.stream
    watches.open(stream)
    match message:
        case Create(request=request):
            watches.create(stream, request, now)
        case Refuse(reason=reason):
            watches.refuse(stream, reason)
        case Cancel(watch_id=watch_id):
            watches.cancel(stream, watch_id)
        case Progress():
            watches.progress(stream)


def stop(watches: WatchSet, unread: list[object]) -> None:
    """Every stream, and who has just asked for one, is told that nothing more will come."""
    watches.source.feed.unwant()
    for message in unread:
        if isinstance(message, Create | Refuse | Cancel | Progress):
            watches.open(message.stream)
    for stream in watches.streams.values():
        if not stream.is_closed:
            stream.is_closed = True
            stream.sink.stop()
