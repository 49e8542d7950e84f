"""A whole member inside a test: in memory, on Trio's clock."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from actors.kernel import ActorStopped
from tests.node.caller import Caller
from trioetcd.node.node import open_node
from trioetcd.node.recovery import StartError
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.disk import SimulatedDisk
from wire.errors import LeaseNotFound, NoSpace, Stopped
from wire.pb import etcdserverpb


def on_disk(tmp_path: Path, **settings) -> NodeSettings:
    return NodeSettings(data_dir=tmp_path / "n.etcd", **settings)


async def test_a_member_in_memory_serves():
    async with open_node(NodeSettings()) as node:
        caller = Caller(node)
        put = await caller.put(b"a", b"1")
        assert put.header.revision == 2
        assert put.header.member_id == node.member_id
        got = await caller.get(b"a")
        assert [(kv.key, kv.value) for kv in got.kvs] == [(b"a", b"1")]
        assert got.header.raft_term == 2


async def test_the_tree_is_all_running():
    async with open_node(NodeSettings()) as node:
        shown = node.tree.as_dict()
        groups = {child["name"]: child["children"] for child in shown["children"]}
        assert list(groups) == ["durable", "derived", "peers", "edge"]
        states = {actor["name"]: actor["state"] for group in groups.values() for actor in group}
        assert set(states.values()) == {"running"}
        assert {"wal", "backend", "mvcc", "raft", "lessor", "watch-hub"} <= set(states)


async def test_a_restarted_member_knows_everything(tmp_path: Path):
    settings = on_disk(tmp_path)
    async with open_node(settings) as node:
        caller = Caller(node)
        for number in range(50):
            await caller.put(b"k%02d" % number, b"%d" % number)
        member, cluster = node.member_id, node.cluster_id
    async with open_node(settings) as node:
        got = await Caller(node).get(b"k", b"l")
        assert [kv.value for kv in got.kvs] == [b"%d" % number for number in range(50)]
        assert got.header.revision == 51
        assert (node.member_id, node.cluster_id) == (member, cluster)


async def test_old_log_is_released_and_the_rest_is_enough(tmp_path: Path):
    from actors.snapshot.actor import Retention

    settings = on_disk(tmp_path, retention=Retention(snapshot_count=20, catchup_entries=5))
    async with open_node(settings) as node:
        caller = Caller(node)
        for number in range(100):
            await caller.put(b"k", b"%d" % number)
        core = node.parts.core
        snaps = list((tmp_path / "n.etcd" / "member" / "snap").glob("*.snap"))
        assert len(snaps) >= 3
        assert core.log.offset > 20
    async with open_node(settings) as node:
        assert (await Caller(node).get(b"k")).kvs[0].version == 100


@pytest.mark.parametrize("seed", range(20))
async def test_a_crash_loses_nothing_that_was_acknowledged(seed: int, autojump_clock):
    """Power fails at a random moment; the disk keeps what was synced, and torn parts of the rest.

    The database is in memory here, and lost too: the log alone must bring everything back.
    """
    rng = random.Random(seed)
    disk = SimulatedDisk(rng)
    acknowledged: dict[bytes, bytes] = {}
    for _ in range(3):
        async with open_node(NodeSettings(), rng=rng, disk=disk) as node:
            caller = Caller(node)
            got = await caller.get(b"\0", b"\0")
            assert {kv.key: kv.value for kv in got.kvs} == acknowledged
            for _ in range(rng.randrange(1, 15)):
                key, value = b"%d" % rng.randrange(5), rng.randbytes(rng.randrange(2000))
                await caller.put(key, value)
                acknowledged[key] = value
        disk.crash()


async def test_a_failed_fsync_ends_the_member_and_says_why(autojump_clock):
    disk = SimulatedDisk(random.Random(1))
    answers = []

    async def run() -> None:
        async with open_node(NodeSettings(), disk=disk) as node:
            disk.fail_next_sync = True
            answers.append(await Caller(node).put(b"a"))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()
    assert caught.group_contains(OSError, match="(?i)input/output error")
    assert answers in ([], [Stopped.text]), "an unsynced put was acknowledged"


class FailsLater(SimulatedDisk):
    """Its nth fsync fails."""

    def __init__(self, syncs: int) -> None:
        super().__init__(random.Random(1))
        self.left = syncs

    def _sync(self) -> None:
        self.left -= 1
        self.fail_next_sync = self.left == 0
        super()._sync()


@pytest.mark.parametrize("syncs", range(1, 7))
async def test_whenever_the_disk_fails_while_a_member_begins_it_says_so(syncs: int, autojump_clock):
    disk = FailsLater(syncs)

    async def run() -> None:
        # In a nursery, so that a single error comes as a group too.
        async with trio.open_nursery(), open_node(NodeSettings(), disk=disk):
            await trio.sleep(60)

    with pytest.raises(BaseExceptionGroup) as failed:
        await run()
    assert disk.left <= 0, "it failed for another reason"
    assert failed.group_contains((OSError, StartError), match="(?i)input/output error")
    assert not failed.group_contains(ActorStopped)


async def test_a_lease_runs_out_and_takes_its_keys_along(autojump_clock):
    async with open_node(NodeSettings()) as node:
        caller = Caller(node)
        propose = node.parts.proposals.propose
        grant = etcdserverpb.LeaseGrantRequest(ID=7, TTL=3600)
        await propose("lease_grant", grant.SerializeToString())
        await caller.put(b"a", lease=7)
        await trio.sleep(3590)
        assert (await caller.get(b"a")).count == 1
        await trio.sleep(20)
        assert (await caller.get(b"a")).count == 0
        assert await caller.put(b"a", lease=7) == LeaseNotFound.text


async def test_a_full_quota_raises_the_alarm_and_disarming_clears_it(autojump_clock):
    async with open_node(NodeSettings(quota_bytes=2000)) as node:
        caller = Caller(node)
        assert await caller.put(b"a", b"x" * 2000) == NoSpace.text
        await trio.sleep(1)
        assert node.parts.alarms.no_space
        assert await caller.put(b"small", b"") == NoSpace.text
        alarm = etcdserverpb.AlarmRequest(
            action=etcdserverpb.AlarmRequest.DEACTIVATE,
            memberID=node.member_id,
            alarm=etcdserverpb.NOSPACE,
        )
        await node.parts.proposals.propose("alarm", alarm.SerializeToString())
        assert (await caller.put(b"small", b"")).header.revision == 2


async def test_two_members_in_one_process_do_not_meet():
    async with open_node(NodeSettings(name="x")) as one, open_node(NodeSettings(name="y")) as two:
        await Caller(one).put(b"a", b"one")
        await Caller(two).put(b"a", b"two")
        assert (await Caller(one).get(b"a")).kvs[0].value == b"one"
        assert one.registry is not two.registry
