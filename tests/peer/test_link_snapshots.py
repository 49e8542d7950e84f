"""Snapshots between members: whole or not at all, and raft always hears how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import cast

import pytest
import trio
import trio.testing

from actors.raft.codec import encode
from actors.raft.types import MessageType
from tests.peer.members import (
    CLUSTER,
    METADATA,
    Member,
    append,
    heartbeat,
    scene,
    snapshot,
    url_of,
)
from trioetcd.peer.protocol import CHUNK, END, SNAPSHOT, Introduction
from trioetcd.peer.sending import BYTES_PER_SECOND, STALL_SECONDS, moves
from wire.errors import EtcdError
from wire.grpc.channel import open_channel
from wire.grpc.client_calls import StreamExchange
from wire.memory_network import MemoryNetwork
from wire.network import parse_url
from wire.status import Status

Clock = trio.testing.MockClock
CHUNK_BYTES = 256 * 1024


def pieces(count: int) -> list[bytes]:
    return [bytes((number % 256,)) * CHUNK_BYTES for number in range(count)]


async def ended(member: Member, count: int = 1) -> list[bool]:
    """How snapshots have ended, as raft is told."""
    await member.raft.until(lambda: len(member.raft.snapshots) >= count)
    return [arrived for _, arrived in member.raft.snapshots]


# -- Sending


async def test_a_snapshot_arrives_whole_and_raft_hears_of_it_on_both_sides(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.pieces = pieces(40)
        one.links.send([snapshot()])
        assert await ended(one) == [True]
        assert two.sink.kept == {METADATA.index: b"".join(one.source.pieces)}
        [message] = two.raft.of_type(MessageType.SNAPSHOT)
        assert message.snapshot is not None
        assert message.snapshot.metadata == METADATA
        assert one.source.open_now == 0
        assert two.sink.aborted == 0


async def test_what_is_sent_is_the_state_now_and_not_when_raft_asked(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.metadata = METADATA._replace(index=METADATA.index + 100)
        one.links.send([snapshot()])
        await ended(one)
        [message] = two.raft.of_type(MessageType.SNAPSHOT)
        assert message.snapshot is not None
        assert message.snapshot.metadata.index == METADATA.index + 100


async def test_while_one_is_being_sent_another_is_not_begun(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        one.source.pieces = pieces(100)
        one.links.send([snapshot(), snapshot()])
        await trio.sleep(0.1)
        one.links.send([snapshot()])
        assert await ended(one) == [True]
        assert one.source.opened == 1
        one.links.send([snapshot()])
        assert await ended(one, 2) == [True, True]


async def test_a_snapshot_is_not_sent_faster_than_the_limit(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        one.source.pieces = pieces(100)
        began = trio.current_time()
        one.links.send([snapshot()])
        await ended(one)
        took = trio.current_time() - began
        assert took >= 0.99 * 100 * CHUNK_BYTES / BYTES_PER_SECOND
        assert took < 2 * 100 * CHUNK_BYTES / BYTES_PER_SECOND


async def test_a_state_that_is_slow_to_read_leaves_most_of_the_time_to_others(
    autojump_clock: Clock,
):
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        one.source.pieces = slowly(autojump_clock, 10, 0.02)
        began = trio.current_time()
        one.links.send([snapshot()])
        await ended(one)
        assert trio.current_time() - began >= 4 * 10 * 0.02


def slowly(clock: Clock, count: int, seconds: float) -> Iterator[bytes]:
    """Chunks each of which blocks the loop for a while."""
    for _ in range(count):
        clock.jump(seconds)
        yield b"chunk"


async def test_messages_pass_a_snapshot_that_is_being_sent(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.pieces = pieces(100)
        one.links.send([snapshot()])
        await trio.sleep(0.2)
        began = trio.current_time()
        one.links.send([heartbeat(1), append(1, b"entry")])
        await two.raft.until(lambda: len(two.raft.messages) == 2)
        assert trio.current_time() - began < 0.05
        assert one.raft.snapshots == []
        assert await ended(one) == [True]


# -- What goes wrong


async def test_a_cut_in_the_middle_leaves_nothing_and_the_next_try_succeeds(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.pieces = pieces(100)
        one.links.send([snapshot()])
        await trio.sleep(0.2)
        two.vanish()
        assert await ended(one) == [False]
        await trio.testing.wait_all_tasks_blocked()
        assert two.sink.kept == {}
        assert two.sink.aborted == 1
        assert two.raft.of_type(MessageType.SNAPSHOT) == []
        assert one.source.open_now == 0
        await play.reopen(two)
        await one.reached(2)
        one.links.send([snapshot()])
        assert await ended(one, 2) == [False, True]
        assert set(two.sink.kept) == {METADATA.index}


async def test_a_database_that_is_found_broken_is_refused(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.sink.is_broken = True
        one.links.send([snapshot()])
        assert await ended(one) == [False]
        assert two.sink.kept == {}
        assert two.sink.aborted == 1
        assert two.raft.messages == []
        assert one.log.errors_of("failed to send database snapshot") == ["snapshot: no database"]


async def test_a_member_that_is_not_there_gets_none_and_raft_is_told(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(1)
        one.links.send([snapshot()])
        assert await ended(one) == [False]
        assert one.source.opened == 0


async def test_raft_is_told_of_a_failure_with_a_pause_that_grows(autojump_clock: Clock):
    """It asks again at once; every try makes the backend write out what it has."""
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.sink.is_broken = True
        began = trio.current_time()
        for tries in range(1, 11):
            one.links.send([snapshot()])
            await ended(one, tries)
        assert trio.current_time() - began > 3


async def test_raft_is_told_when_the_link_ends_before_or_during_the_snapshot(
    autojump_clock: Clock,
):
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        one.links.send([snapshot()])
        one.links.follow({2: ["http://elsewhere:2380"]})
        assert await ended(one) == [False]
        one.links.follow({2: [url_of(2)]})
        await one.unreached(2)
        await one.reached(2)
        one.source.pieces = pieces(100)
        one.links.send([snapshot()])
        await trio.sleep(0.2)
        one.links.follow({2: ["http://elsewhere:2380"]})
        assert await ended(one, 2) == [False, False]
        assert one.source.open_now == 0


async def test_a_receiver_that_takes_nothing_is_given_up(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.pieces = pieces(100)
        one.links.send([snapshot()])
        await trio.sleep(0.2)
        two.freeze()
        began = trio.current_time()
        assert await ended(one) == [False]
        assert trio.current_time() - began < STALL_SECONDS
        assert two.sink.kept == {}


async def test_a_receiver_whose_raft_has_no_room_says_that_it_did_not_arrive(
    autojump_clock: Clock,
):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.raft.is_full = True
        one.links.send([snapshot()])
        assert await ended(one) == [False]


@pytest.mark.parametrize(("bytes_per_second", "goes_on"), [(10, True), (0, False)])
async def test_a_slow_receiver_is_waited_for_and_a_stuck_one_is_not(
    bytes_per_second: int, goes_on: bool, autojump_clock: Clock
):
    stream = SlowStream(1000, bytes_per_second)
    assert await moves(cast(StreamExchange, stream), 5.0) is goes_on
    assert trio.current_time() == (100 if goes_on else 5)


class SlowStream:
    """There is room once all is taken."""

    def __init__(self, unsent: int, bytes_per_second: int) -> None:
        self._began = trio.current_time()
        self._unsent = unsent
        self._rate = bytes_per_second

    @property
    def unsent(self) -> int:
        return self._unsent - int(self._rate * (trio.current_time() - self._began))

    async def room(self) -> None:
        await trio.sleep_until(self._began + self._unsent / (self._rate or 1e-9))


# -- Receiving

ANNOUNCED = encode(snapshot())
WHOLE = b"data"
END_OF_WHOLE = END + sha256(WHOLE).digest() + len(WHOLE).to_bytes(8, "big")


async def hand_over(two: Member, *messages: bytes, cut: bool = False) -> EtcdError | None:
    """Play the sender; how it is refused."""
    address = parse_url(url_of(2))
    headers = Introduction(CLUSTER, 1, 2).headers()
    async with open_channel(two.network, address, two.rng) as channel:
        try:
            async with channel.stream(SNAPSHOT, metadata=headers) as stream:
                for message in messages:
                    await stream.send(message)
                if cut:
                    stream.done_sending()
                with trio.fail_after(2 * STALL_SECONDS):
                    while await stream.receive() is not None:
                        pass
        except EtcdError as error:
            return error
    return None


async def test_what_is_announced_and_comes_whole_is_taken(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        two = await play.add(2)
        assert await hand_over(two, ANNOUNCED, CHUNK + b"da", CHUNK + b"ta", END_OF_WHOLE) is None
        assert two.sink.kept == {METADATA.index: WHOLE}


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ((ANNOUNCED, CHUNK + b"dat\0", END_OF_WHOLE), Status.DATA_LOSS),
        ((ANNOUNCED, CHUNK + b"da", END_OF_WHOLE), Status.DATA_LOSS),
        ((ANNOUNCED, CHUNK + WHOLE), Status.DATA_LOSS),
        ((ANNOUNCED,), Status.DATA_LOSS),
        ((), Status.DATA_LOSS),
        ((ANNOUNCED, b""), Status.INVALID_ARGUMENT),
        ((ANNOUNCED, b"\2neither"), Status.INVALID_ARGUMENT),
        ((ANNOUNCED, END + b"short"), Status.INVALID_ARGUMENT),
        ((b"rubbish",), Status.INVALID_ARGUMENT),
        ((encode(heartbeat(1)),), Status.INVALID_ARGUMENT),
        ((encode(snapshot(to=3)), CHUNK + WHOLE, END_OF_WHOLE), Status.UNAVAILABLE),
    ],
)
async def test_what_is_not_whole_or_no_snapshot_is_refused(
    messages: tuple[bytes, ...], status: Status, autojump_clock: Clock
):
    async with scene(MemoryNetwork()) as play:
        two = await play.add(2)
        refusal = await hand_over(two, *messages, cut=True)
        assert refusal is not None
        assert refusal.status is status
        assert two.raft.messages == []


async def test_a_sender_that_falls_silent_is_given_up(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        two = await play.add(2)
        refusal = await hand_over(two, ANNOUNCED, CHUNK + b"da")
        assert str(refusal) == "snapshot: nothing came for too long"
        assert two.sink.aborted == 1


async def test_only_one_snapshot_is_received_at_a_time(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.source.pieces = pieces(100)
        one.links.send([snapshot()])
        await trio.sleep(0.2)
        refusal = await hand_over(two, ANNOUNCED)
        assert str(refusal) == "another snapshot is being received"
        assert await ended(one) == [True]
