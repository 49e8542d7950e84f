"""History that is forgotten by itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import trio

from tests.node.caller import Caller
from tests.peer.cluster import three_members
from tests.wire.ports import LinesLog
from trioetcd.node.compactor import ByAge, ByCount
from trioetcd.node.node import open_node
from trioetcd.node.settings import CompactionSettings, NodeSettings
from wire.pb import etcdserverpb

HOUR = 3600.0
DELETED, COMPACTED = etcdserverpb.DeleteRangeResponse, etcdserverpb.CompactionResponse


def compactions(policy: ByAge, hours: float) -> list[tuple[float, int]]:
    """When, in seconds, and to which revision, of a store that gains one a second."""
    found, now = [], 0.0
    while now < hours * HOUR:
        policy.note(1 + round(now))
        now += policy.interval
        revision = policy.due(1 + round(now), now)
        if revision:
            policy.done(revision, now)
            found.append((now, revision))
    return found


@pytest.mark.parametrize("period", [HOUR, 2 * HOUR, 24 * HOUR, HOUR / 2, 10.0])
def test_what_is_older_than_the_period_is_forgotten(period: float):
    policy = ByAge(period, 0.0)
    found = compactions(policy, 30.0 if period > HOUR else 5.0)
    assert found[0] == (pytest.approx(period), 1)
    for (sooner, _), (later, revision) in itertools.pairwise(found):
        assert later - sooner == pytest.approx(min(period, HOUR))
        age = later - revision
        assert period - 2 <= age <= period + 1.1 * policy.interval + 2


def test_a_store_that_does_not_change_is_compacted_once():
    policy, now = ByAge(10.0, 0.0), 0.0
    done = []
    for _ in range(100):
        policy.note(7)
        now += policy.interval
        revision = policy.due(7, now)
        if revision:
            policy.done(revision, now)
            done.append(revision)
    assert done == [7]


def test_so_many_revisions_are_kept():
    policy = ByCount(1000)
    assert policy.due(900, 0.0) == 0
    assert policy.due(1500, 0.0) == 500
    policy.done(500, 0.0)
    assert policy.due(1500, 0.0) == 0


async def test_a_member_compacts_by_count(autojump_clock):
    settings = NodeSettings(compaction=CompactionSettings(by_revision=True, retention=10))
    log = LinesLog()
    async with open_node(settings, log=log) as node:
        caller = Caller(node)
        for _ in range(30):
            await caller.put(b"k")
        await trio.sleep(301)
        assert node.parts.store.compact_revision == 21
        texts = [text for _, text, _ in log.lines]
        assert "completed auto revision compaction" in texts


async def test_only_the_leader_compacts_and_all_forget(autojump_clock):
    async with three_members(compaction=CompactionSettings(retention=20.0)) as cluster:
        leader = await cluster.leader()
        for _ in range(30):
            await leader.caller.put(b"k")
        await trio.sleep(45)
        await leader.caller.put(b"k")
        await cluster.settled()
        lines = [one.node.parts.store.compact_revision for one in cluster.running]
        assert lines == [31, 31, 31]


async def test_a_database_with_much_unused_is_made_small_before_it_serves(tmp_path: Path):
    def settings(**more) -> NodeSettings:
        return NodeSettings(data_dir=tmp_path / "n.etcd", **more)

    async with open_node(settings()) as node:
        caller = Caller(node)
        for number in range(200):
            await caller.put(b"%d" % number, bytes(20_000))
        await node.parts.backend.flush()
        everything = etcdserverpb.DeleteRangeRequest(key=b"\0", range_end=b"\0")
        await caller.call("/etcdserverpb.KV/DeleteRange", everything, DELETED)
        compaction = etcdserverpb.CompactionRequest(revision=202)
        await caller.call("/etcdserverpb.KV/Compact", compaction, COMPACTED)
        await node.parts.machine.wait_cleaned(202)
        await node.parts.backend.flush()
        before = node.parts.rows.engine.size()
    log = LinesLog()
    async with open_node(settings(defrag_threshold_bytes=1 << 30), log=log) as node:
        assert "Skipping defragmentation" in [text for _, text, _ in log.lines]
    async with open_node(settings(defrag_threshold_bytes=1 << 20)) as node:
        assert node.parts.rows.engine.size() < before / 4
