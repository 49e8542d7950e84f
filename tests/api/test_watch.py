"""The Watch service between a client's stream and the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.api.streams import FakeStream
from tests.watch.test_actor import Member
from tests.watch.world import shown
from trioetcd.api.watch import UNSENT_BYTES, WatchService, as_go_says, permit_all
from wire.errors import (
    AuthOldRevision,
    Canceled,
    EtcdError,
    InvalidAuthToken,
    PermissionDenied,
    Stopped,
    UserEmpty,
)
from wire.grpc.service import Context
from wire.pb import etcdserverpb


class Client:
    def __init__(self, *, reading: bool = True) -> None:
        self.stream = FakeStream(reading=reading)
        self.ended: EtcdError | None = None

    def create(self, key: bytes = b"", **fields: object) -> None:
        request = etcdserverpb.WatchCreateRequest(key=key, **fields)
        self.ask(etcdserverpb.WatchRequest(create_request=request))

    def cancel(self, watch_id: int) -> None:
        request = etcdserverpb.WatchCancelRequest(watch_id=watch_id)
        self.ask(etcdserverpb.WatchRequest(cancel_request=request))

    def progress(self) -> None:
        request = etcdserverpb.WatchProgressRequest()
        self.ask(etcdserverpb.WatchRequest(progress_request=request))

    def ask(self, request: etcdserverpb.WatchRequest) -> None:
        self.stream.ask(request.SerializeToString())

    async def response(self) -> etcdserverpb.WatchResponse:
        return etcdserverpb.WatchResponse.FromString(await self.stream.read())

    async def lines(self, count: int) -> list[str]:
        return [shown(await self.response()) for _ in range(count)]


@asynccontextmanager
async def watching(
    member: Member, client: Client, permit=permit_all
) -> AsyncIterator[trio.CancelScope]:
    """A client's call, as long as the block runs."""

    async def call() -> None:
        try:
            await WatchService(member.hub, permit).watch(client.stream)
        except EtcdError as error:
            client.ended = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()


@pytest.fixture
def member() -> Member:
    return Member()


async def test_a_stream_from_creation_to_cancellation(member, autojump_clock):
    client = Client()
    async with member.running(), watching(member, client):
        client.create(b"a")
        client.create(b"b", watch_id=7)
        assert await client.lines(2) == ["1 #0 created", "1 #7 created"]
        member.put(b"a")
        assert await client.lines(1) == ["2 #0 +a=v@2"]
        client.progress()
        client.cancel(0)
        client.cancel(99)
        client.progress()
        assert await client.lines(3) == ["2 #-1", "2 #0 canceled", "2 #-1"]


async def test_a_request_without_content_is_ignored(member, autojump_clock):
    client = Client()
    async with member.running(), watching(member, client):
        client.stream.ask(b"")
        client.create(b"a")
        assert await client.lines(1) == ["1 #0 created"]


async def test_a_client_that_has_no_more_requests_goes_on_watching(member, autojump_clock):
    client = Client()
    async with member.running(), watching(member, client):
        client.create(b"a")
        client.stream.ask(None)
        assert await client.lines(1) == ["1 #0 created"]
        await trio.sleep(1000)
        member.put(b"a")
        assert await client.lines(1) == ["2 #0 +a=v@2"]


async def test_bytes_that_are_no_request_end_the_stream(member, autojump_clock):
    client = Client()
    async with member.running(), watching(member, client):
        client.stream.ask(b"\xff\xff")
        await trio.testing.wait_all_tasks_blocked()
        assert str(client.ended).startswith("grpc: failed to unmarshal the received message ")


async def test_a_client_that_goes_away_takes_its_watches_along(member, autojump_clock):
    client = Client()
    async with member.running() as hub:
        async with watching(member, client):
            client.create(b"a")
            await client.lines(1)
            assert hub.watches is not None
            assert hub.watches.watchers == 1
        await trio.testing.wait_all_tasks_blocked()
        assert hub.watches.watchers == 0
        assert hub.watches.streams == {}


async def test_streams_end_as_stopped_when_the_hub_does(member, autojump_clock):
    first, second = Client(), Client()
    async with watching(member, first), watching(member, second):
        async with member.running():
            first.create(b"a")
            await first.lines(1)
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(first.ended, Stopped)
        second.create(b"a")
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(second.ended, Stopped)


async def test_a_client_that_does_not_read_holds_a_bounded_amount_and_loses_nothing(
    member, autojump_clock
):
    slow, quick = Client(reading=False), Client()
    async with member.running(), watching(member, slow), watching(member, quick):
        for client in (slow, quick):
            client.create(b"a")
        assert await quick.lines(1)
        for number in range(100):
            member.put((b"a", b"%06d" % number + b"x" * 100_000))
            response = await quick.response()
            assert len(response.events) == 1
        assert slow.stream.peak < UNSENT_BYTES + 200_000
        assert (await slow.response()).created
        values: list[bytes] = []
        while len(values) < 100:
            values += [event.kv.value[:6] for event in (await slow.response()).events]
        assert values == [b"%06d" % number for number in range(100)]


async def test_a_client_that_asks_and_does_not_read_is_asked_to_wait(member, autojump_clock):
    client = Client(reading=False)
    async with member.running() as hub, watching(member, client):
        client.create(b"a", range_end=b"b")
        await trio.testing.wait_all_tasks_blocked()
        member.put((b"a", b"x" * 1_000_000), (b"a", b"x" * 1_000_000))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(1000):
            client.create(b"b")
        await trio.testing.wait_all_tasks_blocked()
        assert hub.watches is not None
        assert hub.watches.watchers == 1
        got = 0
        while got < 1001:
            got += (await client.response()).created
        assert hub.watches.watchers == 1001


async def test_who_may_not_read_a_range_is_refused_in_his_turn(member, autojump_clock):
    asked = []

    async def permit(context: Context, key: bytes, range_end: bytes) -> None:
        asked.append((key, range_end))
        if key == b"secret":
            raise PermissionDenied

    client = Client()
    async with member.running(), watching(member, client, permit):
        client.create(b"a")
        client.create(b"secret", watch_id=5)
        client.create(b"", range_end=b"\0")
        assert await client.lines(3) == [
            "1 #0 created",
            "1 #-1 created canceled rpc error: code = PermissionDenied desc = "
            "etcdserver: permission denied",
            "1 #1 created",
        ]
        assert asked == [(b"a", b""), (b"secret", b""), (b"\0", b"\0")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserEmpty(), "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"),
        (
            InvalidAuthToken(),
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        ),
        (
            AuthOldRevision(),
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old",
        ),
        (Canceled(), "rpc error: code = Canceled desc = context canceled"),
    ],
)
def test_reasons_are_in_the_words_of_go(error, words):
    assert as_go_says(error) == words
