"""Requests that take too long are logged, with the times of their stages."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from actors.apply.stages import Stages
from actors.backend.engine import MemoryEngine
from actors.kernel import InlineWorker
from actors.mvcc.ranges import SLICE_KEYS
from tests.node.caller import Caller
from tests.peer.cluster import three_members
from trioetcd.api.slow import LINES, SlowLog
from trioetcd.api.wording import MOST_CHARACTERS, words
from trioetcd.node.listening import PeerTLS
from trioetcd.node.node import Node, start_node
from trioetcd.node.parts import Seams
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.disk import SimulatedDisk
from wire.log import NullLog
from wire.memory_network import MemoryNetwork
from wire.pb import etcdserverpb


class Remembering(NullLog):
    """A log whose warnings can be looked at."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **fields: object) -> Remembering:
        return self

    def warning(self, message: str, **fields: object) -> None:
        self.warnings.append((message, fields))


class SlowWorker(InlineWorker):
    """Takes its time on the test's clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self, function: Callable[..., Any], *args: object) -> Any:
        if self.seconds:
            await trio.sleep(self.seconds)
        return await super().run(function, *args)


@asynccontextmanager
async def member_with_slow_disk(
    log: Remembering, worker: SlowWorker, **settings: Any
) -> AsyncIterator[Node]:
    rng = random.Random(1)
    network = MemoryNetwork("test").host("a")
    fast = InlineWorker()
    seams = Seams(
        network, None, SimulatedDisk(rng), worker, fast, fast, rng, rng, lambda: 1_700_000_000.0
    )
    async with start_node(
        NodeSettings(**settings), seams, lambda _: MemoryEngine(), log=log, tls=PeerTLS()
    ) as node:
        yield node


async def test_a_put_on_a_slow_disk_is_logged_with_its_stages_and_without_its_value(
    autojump_clock,
):
    log, worker = Remembering(), SlowWorker()
    async with member_with_slow_disk(log, worker) as node:
        caller = Caller(node)
        await caller.put(b"quick", b"1")
        assert log.warnings == []
        node.parts.wal._log._pace._typical = 0.01  # the disk was found to be slow
        worker.seconds = 0.5
        await caller.put(b"a", b"secret")
    [fields] = [fields for message, fields in log.warnings if message == "request stats"]
    assert fields["response type"] == "/etcdserverpb.KV/Put"
    assert fields["request content"] == 'key:"a" value_size:6'
    assert fields["time spent"] == "500ms"
    stages = fields["stages"]
    assert list(stages) == ["queue", "propose", "fsync", "replicate", "apply", "send"]
    assert stages["fsync"] == "500ms"
    assert "secret" not in repr(log.warnings)


async def test_a_put_through_a_follower_that_takes_long_is_logged_there(autojump_clock):
    async with three_members() as cluster:
        leader = await cluster.leader()
        follower = next(one for one in cluster.running if one is not leader)
        assert follower.node is not None
        log = Remembering()
        follower.node.parts.slow._log = log
        follower.node.parts.slow.request_seconds = -1.0
        await follower.caller.put(b"a", b"1")
        await follower.caller.get(b"a")
    assert [list(fields["stages"]) for _, fields in log.warnings] == [["forward"], ["read index"]]


def stages_of(**marks: float) -> Stages:
    stages = Stages(10.0)
    for name, mark in marks.items():
        setattr(stages, name, mark)
    return stages


def test_the_stages_add_up_to_the_whole():
    stages = stages_of(queued=10.5, proposed=10.75, written=11.0, committed=12.0, applied=12.5)
    found = stages.durations(13.0)
    assert found == {
        "queue": 0.5,
        "propose": 0.25,
        "fsync": 0.25,
        "replicate": 1.0,
        "apply": 0.5,
        "send": 0.5,
    }


def test_what_was_committed_before_it_was_written_here_took_no_time_to_replicate():
    stages = stages_of(queued=10.0, proposed=10.0, committed=11.0, written=12.0, applied=12.0)
    assert stages.durations(12.0)["replicate"] == 0.0


def test_a_forwarded_batch_knows_its_whole_time_alone():
    assert stages_of().durations(13.0) == {"forward": 3.0}


async def test_a_slow_disk_is_not_drowned_in_words(autojump_clock):
    log = Remembering()
    slow = SlowLog(log, lambda: 0.0)
    for _ in range(LINES + 5):
        slow._say("request stats", {})
    assert len(log.warnings) == LINES
    await trio.sleep(1.5)
    slow._say("request stats", {})
    assert log.warnings[-1][1] == {"not logged before": 5}


async def test_entries_that_take_long_to_apply_are_logged_and_counted(autojump_clock):
    log, worker = Remembering(), SlowWorker()
    async with member_with_slow_disk(log, worker, slow_apply=-1.0) as node:
        before = node.parts.applier.times.slow
        await Caller(node).put(b"a", b"secret")
        assert node.parts.applier.times.slow == before + 1
    message, fields = log.warnings[-1]
    assert message == "apply request took too long"
    assert 'put:<key:"a" value_size:6>' in fields["request"]
    assert fields["expected-duration"] == "-1s"
    assert fields["response"] == "size:0"
    assert "secret" not in repr(log.warnings)


async def test_a_long_listing_is_logged_by_its_range_and_counted(autojump_clock):
    log, worker = Remembering(), SlowWorker()
    async with member_with_slow_disk(log, worker) as node:
        caller = Caller(node)
        for number in range(SLICE_KEYS + 1):
            await caller.put(b"k%06d" % number)
        node.parts.reads.slow_seconds = -1.0
        listing = etcdserverpb.RangeRequest(key=b"k", range_end=b"l")
        await caller.call("/etcdserverpb.KV/Range", listing, etcdserverpb.RangeResponse)
        assert node.parts.slow.listings == 1
    [fields] = [fields for _, fields in log.warnings if fields["prefix"]]
    assert fields["prefix"] == "read-only range "
    assert fields["request"] == 'key:"k" range_end:"l"'
    assert fields["response"].startswith(f"range_response_count:{SLICE_KEYS + 1} size:")


def test_passwords_and_values_in_transactions_are_not_said():
    put = etcdserverpb.PutRequest(key=b"k", value=b"secret")
    compare = etcdserverpb.Compare(key=b"k", value=b"secret", target=etcdserverpb.Compare.VALUE)
    txn = etcdserverpb.TxnRequest(
        compare=[compare], success=[etcdserverpb.RequestOp(request_put=put)]
    )
    said = words("/etcdserverpb.KV/Txn", txn.SerializeToString())
    assert "secret" not in said
    assert 'request_put:<key:"k" value_size:6>' in said
    user = etcdserverpb.AuthUserAddRequest(name="root", password="secret")
    said = words("/etcdserverpb.Auth/UserAdd", user.SerializeToString())
    assert said == 'name:"root" password_size:6'


def test_long_requests_are_cut_and_broken_ones_say_nothing():
    put = etcdserverpb.PutRequest(key=b"k" * 10_000)
    said = words("/etcdserverpb.KV/Put", put.SerializeToString())
    assert len(said) == MOST_CHARACTERS + 1
    assert words("/etcdserverpb.KV/Put", b"\xff") == ""
    assert words("/nobody/knows", b"") == ""
