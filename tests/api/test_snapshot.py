"""Maintenance.Snapshot: etcd's messages, a file as of one moment, only so many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
import trio

from actors.backend.buckets import ALL
from tests.api.streams import FakeStream
from tests.bolt.files import read
from tests.node.caller import Caller
from trioetcd.api.snapshot import BLOB_BYTES, PARALLEL, PATH, STALL_SECONDS
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import EtcdError
from wire.pb import etcdserverpb

REQUEST = etcdserverpb.SnapshotRequest()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with open_node(NodeSettings()) as node:
        yield node


@pytest.fixture
def caller(node: Node) -> Caller:
    return Caller(node)


async def test_a_file_comes_in_blobs_and_its_sum_behind_it(caller: Caller):
    for number in range(20):
        await caller.put(b"%d" % number, bytes(10_000))

    messages = (await caller.stream(PATH, REQUEST)).sent

    answers = [etcdserverpb.SnapshotResponse.FromString(message) for message in messages]
    *blobs, digest = (answer.blob for answer in answers)
    content = b"".join(blobs)
    assert digest == sha256(content).digest()
    assert {len(blob) for blob in blobs[:-1]} == {BLOB_BYTES}
    left = len(content)
    for answer in answers[:-1]:
        left -= len(answer.blob)
        assert answer.remaining_bytes == left
    assert answers[-1].remaining_bytes == left == 0
    buckets = read(content)
    assert sorted(buckets) == sorted(name.encode() for name in ALL)
    assert len(buckets[b"key"]) == 20


async def test_writes_go_on_and_are_not_in_the_file(caller: Caller, node: Node):
    for number in range(100):
        await caller.put(b"%d" % number, bytes(10_000))
    stream = FakeStream(reading=False)
    stream.ask(REQUEST.SerializeToString())
    handler = node.registry.methods[PATH.encode()].stream
    assert handler is not None
    content = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handler, stream)
        while True:
            answer = etcdserverpb.SnapshotResponse.FromString(await stream.read())
            await caller.put(b"0", b"later")
            if answer.remaining_bytes == 0:
                break
            content += answer.blob
        content += answer.blob

    assert len(read(content)[b"key"]) == 100


async def test_who_takes_nothing_is_left_and_room_is_limited(
    caller: Caller, node: Node, autojump_clock
):
    for number in range(100):
        await caller.put(b"%d" % number, bytes(10_000))
    handler = node.registry.methods[PATH.encode()].stream
    assert handler is not None
    refusals = []

    async def one() -> None:
        stream = FakeStream(reading=False)
        stream.ask(REQUEST.SerializeToString())
        try:
            await handler(stream)
        except EtcdError as error:
            refusals.append((trio.current_time(), str(error)))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(PARALLEL + 1):
            nursery.start_soon(one)

    assert {text for _, text in refusals} == {"the snapshot's receiver takes nothing"}
    after = sorted(round((at - began) / STALL_SECONDS) for at, _ in refusals)
    assert after == [1] * PARALLEL + [2]
