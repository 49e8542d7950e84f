"""The hub's task: what is asked and what happens, in the right order, until it ends."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from actors.kernel import ActorStopped
from actors.watch import actor
from actors.watch.actor import WatchHub, run_watch_hub
from actors.watch.ticks import Ticks
from actors.watch.watcher import Stream
from tests.watch.world import Client, World, header, shown
from wire.pb import etcdserverpb

INTERVAL = 600.0


class Waiter(Client):
    """A client that waits for its responses, and tells the hub when it has read some."""

    def __init__(self, hub: WatchHub, limit: int = 1000) -> None:
        super().__init__(limit)
        self.stream = hub.open(self)
        self._hub = hub
        self._came = trio.Event()

    def offer(self, frame: bytes) -> bool:
        self._came.set()
        return super().offer(frame)

    def push(self, frame: bytes) -> None:
        self._came.set()
        super().push(frame)

    def stop(self) -> None:
        super().stop()
        self._came.set()

    async def lines(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count and not self.stopped:
            if not self.frames:
                self._came = trio.Event()
                await self._came.wait()
            found += [shown(response) for response in self.read()]
            if self.was_refused:
                self.was_refused = False
                self._hub.has_room(self.stream)
        return found


class Member(World):
    """A store with a running hub."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = WatchHub()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WatchHub]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            yield self.hub
            nursery.cancel_scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[WatchHub]) -> None:
        ticks = Ticks(random.Random(1), INTERVAL)
        await run_watch_hub(self.hub, self.store, header, ticks, task_status=task_status)

    def put(self, *pairs: tuple[bytes, bytes] | bytes) -> int:
        revision = super().put(*pairs)
        self.hub.revision_exists()
        return revision


def create(key: bytes, **fields: object) -> etcdserverpb.WatchCreateRequest:
    return etcdserverpb.WatchCreateRequest(key=key, **fields)


@pytest.fixture
def member() -> Member:
    return Member()


async def test_changes_reach_a_watch_as_they_happen(member, autojump_clock):
    async with member.running() as hub:
        client = Waiter(hub)
        await hub.create(client.stream, create(b"a"))
        assert await client.lines(1) == ["1 #0 created"]
        for number in range(3):
            member.put((b"a", b"%d" % number))
            assert await client.lines(1) == [f"{number + 2} #0 +a={number}@{number + 2}"]


async def test_requests_are_answered_in_their_order(member, autojump_clock):
    async with member.running() as hub:
        client = Waiter(hub)
        await hub.create(client.stream, create(b"a"))
        await hub.refuse(client.stream, "no")
        await hub.progress(client.stream)
        await hub.cancel(client.stream, 0)
        await hub.create(client.stream, create(b"b", watch_id=7))
        assert await client.lines(5) == [
            "1 #0 created",
            "1 #-1 created canceled no",
            "1 #-1",
            "1 #0 canceled",
            "1 #7 created",
        ]


async def test_more_requests_than_the_inbox_holds_are_all_answered(member, autojump_clock):
    async with member.running() as hub:
        client = Waiter(hub)
        count = 3 * actor.INBOX_CALLS
        for _ in range(count):
            await hub.create(client.stream, create(b"a"))
        assert await client.lines(count) == [f"1 #{number} created" for number in range(count)]


async def test_a_slow_receiver_delays_no_other_and_catches_up(member, autojump_clock):
    async with member.running() as hub:
        slow, quick = Waiter(hub, limit=2), Waiter(hub)
        for client in (slow, quick):
            await hub.create(client.stream, create(b"a"))
        assert await quick.lines(1)
        for _ in range(100):
            member.put(b"a")
            assert len(await quick.lines(1)) == 1
        assert len(slow.frames) == 2
        got: list[str] = []
        while not any("@101" in line for line in got):
            got += await slow.lines(1)
        revisions = [
            int(word.split("@")[1]) for line in got for word in line.split() if "@" in word
        ]
        assert revisions == list(range(2, 102))


async def test_history_is_read_while_changes_go_on(member, autojump_clock):
    member.put(*[b"a"] * 500)
    async with member.running() as hub:
        client = Waiter(hub)
        await hub.create(client.stream, create(b"a", start_revision=1))

        async def write() -> None:
            for _ in range(100):
                member.put(b"a")
                await trio.lowlevel.checkpoint()

        revisions: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while not revisions or revisions[-1] < 601:
                for line in await client.lines(1):
                    revisions += [int(word.split("@")[1]) for word in line.split() if "@" in word]
        assert revisions == list(range(2, 602))


async def test_a_quiet_watch_hears_of_progress_every_interval(member, autojump_clock):
    async with member.running() as hub:
        client = Waiter(hub)
        await hub.create(client.stream, create(b"a", progress_notify=True))
        assert await client.lines(3) == ["1 #0 created", "1 #0", "1 #0"]
        assert 2 * INTERVAL <= trio.current_time() <= 2.2 * INTERVAL


async def test_a_closed_stream_hears_nothing_even_of_requests_that_still_wait(
    member, autojump_clock
):
    async with member.running() as hub:
        first, second = Waiter(hub), Waiter(hub)
        hub.close(first.stream)
        await hub.create(second.stream, create(b"a"))  # comes after the notice that …
        hub.close(second.stream)  # … tells of this one too
        await trio.testing.wait_all_tasks_blocked()
        member.put(b"a")
        await trio.testing.wait_all_tasks_blocked()
        assert second.frames == []
        assert hub.watches is not None
        assert hub.watches.streams == {}
        assert hub.watches.watchers == 0


async def test_when_the_hub_ends_every_stream_is_told(member, autojump_clock):
    async with member.running() as hub:
        watching, asking, idle = Waiter(hub), Waiter(hub), Waiter(hub)
        await hub.create(watching.stream, create(b"a"))
        await watching.lines(1)
        await hub.create(asking.stream, create(b"a"))  # it will not come to read this
    assert watching.stopped
    assert asking.stopped
    assert not member.store.feed.wanted
    with pytest.raises(ActorStopped):
        await member.hub.create(idle.stream, create(b"a"))


async def test_after_a_restart_new_streams_work_and_old_ones_stay_ended(member, autojump_clock):
    async with member.running() as hub:
        old, idle = Waiter(hub), Waiter(hub)
        await hub.create(old.stream, create(b"a"))
        await old.lines(1)
    member.hub.inbox.reopen()
    member.put(b"a")
    async with member.running() as hub:
        hub.has_room(old.stream)
        await hub.create(old.stream, create(b"b"))
        await hub.create(idle.stream, create(b"a", start_revision=2))
        assert await idle.lines(2) == ["2 #0 created", "2 #0 +a=v@2"]
        assert old.frames == []
        assert hub.watches is not None
        assert hub.watches.watchers == 1


async def test_a_defect_ends_the_hub_and_not_silently(member, autojump_clock, monkeypatch):
    streams: list[Stream] = []

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("actors.watch.hub.WatchSet.create", broken)
    with pytest.RaisesGroup(ZeroDivisionError):
        async with member.running() as hub:
            first, second = Waiter(hub), Waiter(hub)
            streams += [first.stream, second.stream]
            await hub.create(first.stream, create(b"a"))
            await hub.create(second.stream, create(b"a"))
            await trio.sleep_forever()
    assert all(stream.is_closed for stream in streams)


async def test_a_snapshot_moves_watchers_on(member, autojump_clock):
    async with member.running() as hub:
        client = Waiter(hub)
        await hub.create(client.stream, create(b"a"))
        await client.lines(1)
        newer = World()
        newer.put(b"a", b"a")
        member.store = newer.store
        hub.store_replaced(newer.store)
        assert await client.lines(1) == ["3 #0 +a=v@2 +a=v@3"]
        member.put(b"a")
        assert await client.lines(1) == ["4 #0 +a=v@4"]
