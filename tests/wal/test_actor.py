"""Group commit: one fdatasync for all that waited, and nothing is called durable before it."""

from __future__ import annotations

import random

import pytest
import trio

from actors.kernel import ActorStopped, InlineWorker
from actors.raft.ready import Write
from actors.raft.types import Entry, HardState
from actors.wal.actor import Wal, run_wal
from actors.wal.reader import read_log
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter
from trioetcd.testing.disk import SimulatedDisk


class Times:
    def note(self, seconds: float) -> None:
        pass


class Bench:
    def __init__(self) -> None:
        self.disk = SimulatedDisk(random.Random(1))
        self.writer = LogWriter.create(self.disk, "wal", b"m", 4096)
        self.persisted: list[tuple[int, int]] = []  # receipt, entries durable then

    def durable(self) -> int:
        other = SimulatedDisk(random.Random(2))
        other.files = {}
        for name, inode in self.disk.files.items():
            other.create(name, 0).write(inode.synced)
        return len(read_log(other, "wal", SnapshotRecord(0, 0)).entries)

    async def start(self, nursery: trio.Nursery) -> Wal:
        async def run(*, task_status: trio.TaskStatus[Wal]) -> None:
            await run_wal(
                Wal(),
                self.writer,
                InlineWorker(),
                lambda receipt: self.persisted.append((receipt, self.durable())),
                Times(),
                task_status=task_status,
            )

        wal: Wal = await nursery.start(run)
        return wal


def entries(first: int, count: int) -> list[Entry]:
    return [Entry(0, 1, index, b"x") for index in range(first, first + count)]


async def test_everything_that_waits_is_one_fdatasync():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        before = bench.disk.syncs
        for receipt in range(1, 6):
            wal.write(Write(receipt, None, entries(receipt, 1), None))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.disk.syncs - before == 1
        assert bench.persisted == [(5, 5)]
        nursery.cancel_scope.cancel()


async def test_a_commit_index_alone_is_not_synced_but_goes_out_with_the_next_write():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        before = bench.disk.syncs
        wal.write(Write(None, None, [], HardState(1, 1, 7)))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.disk.syncs == before
        wal.write(Write(1, None, entries(1, 1), None))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert read_log(bench.disk, "wal", SnapshotRecord(0, 0)).hard_state == HardState(1, 1, 7)


async def test_a_failed_fsync_ends_the_actor_and_nothing_is_called_durable():
    bench = Bench()
    with pytest.RaisesGroup(OSError):
        async with trio.open_nursery() as nursery:
            wal = await bench.start(nursery)
            bench.disk.fail_next_sync = True
            wal.write(Write(1, None, entries(1, 1), None))
            with trio.CancelScope(shield=True), pytest.raises(ActorStopped):
                await wal.save_snapshot_record(SnapshotRecord(1, 1))
    assert bench.persisted == []


async def test_full_segments_are_cut_and_released():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        for receipt in range(1, 13):
            data = [Entry(0, 1, receipt, b"x" * 1500)]
            wal.write(Write(receipt, None, data, HardState(1, 1, receipt)))
            await trio.testing.wait_all_tasks_blocked()
        assert len(bench.writer.segments) > 3
        await wal.save_snapshot_record(SnapshotRecord(10, 1))
        removed = await wal.release(10, 1)
        assert removed
        nursery.cancel_scope.cancel()
    left = read_log(bench.disk, "wal", SnapshotRecord(10, 1))
    assert [entry.index for entry in left.entries] == [11, 12]
