"""What waits for one stream, and how much of it may."""

from __future__ import annotations

import trio
import trio.testing

from actors.raft.types import Message, MessageType
from tests.peer.members import append, heartbeat, indexes
from trioetcd.peer.lane import MAX_BYTES, MAX_MESSAGES, Lane
from trioetcd.peer.protocol import BATCH_BYTES, split_messages

MIB = 1 << 20


def open_lane() -> Lane:
    lane = Lane("test")
    lane.open()
    return lane


async def taken(lane: Lane) -> list[Message]:
    """One batch."""
    return list(split_messages(await lane.take()))


async def test_what_waits_is_taken_in_order():
    lane = open_lane()
    sent = [append(index, b"entry") for index in range(3)]
    assert all(map(lane.put, sent))
    assert await taken(lane) == sent
    assert len(lane) == 0


async def test_taking_waits_for_a_message():
    lane = open_lane()
    batches: list[list[Message]] = []

    async def take() -> None:
        batches.append(await taken(lane))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        assert batches == []
        lane.put(append(1))
    assert [indexes(batch) for batch in batches] == [[1]]


async def test_of_heartbeats_only_the_newest_waits():
    lane = open_lane()
    for commit in range(1000):
        lane.put(heartbeat(commit, context=commit))
    assert len(lane) == 1
    assert await taken(lane) == [heartbeat(999, context=999)]


async def test_a_heartbeat_goes_before_what_waits():
    lane = open_lane()
    lane.put(append(1))
    lane.put(heartbeat(1))
    kinds = [message.type for message in await taken(lane)]
    assert kinds == [MessageType.HEARTBEAT, MessageType.APPEND]


async def test_a_batch_ends_when_it_is_large_enough():
    lane = open_lane()
    for index in range(5):
        lane.put(append(index, bytes(BATCH_BYTES // 2)))
    assert [indexes(await taken(lane)) for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_a_closed_lane_takes_nothing():
    lane = Lane("test")
    assert not lane.put(append(1))
    assert lane.dropped == 1


def test_what_waited_when_the_stream_broke_is_not_for_the_next_one():
    lane = open_lane()
    lane.put(append(1, b"old"))
    lane.put(heartbeat(1))
    lane.close()
    lane.open()
    assert len(lane) == 0
    fill(lane)  # and takes no room


def test_no_more_than_so_many_messages_wait():
    lane = open_lane()
    assert all(lane.put(append(index)) for index in range(MAX_MESSAGES))
    assert not lane.put(append(0))
    assert len(lane) == MAX_MESSAGES


def test_no_more_than_so_many_bytes_wait():
    lane = open_lane()
    fill(lane)
    assert not lane.put(append(0, b"x"))
    assert lane.put(append(0))


def fill(lane: Lane) -> None:
    for index in range(MAX_BYTES // MIB):
        assert lane.put(append(index, bytes(MIB)))


async def test_what_was_taken_makes_room():
    lane = open_lane()
    fill(lane)
    await lane.take()
    assert lane.put(append(0, bytes(MIB)))
    assert not lane.put(append(0, b"x"))


def test_a_message_larger_than_all_room_goes_when_nothing_else_waits():
    lane = open_lane()
    assert lane.put(append(0, bytes(MAX_BYTES + 1)))
    assert not lane.put(append(1, b"x"))
