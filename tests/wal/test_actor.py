"""Group commit: one fdatasync for all that waited, and nothing is called durable before it."""

from __future__ import annotations

import random

import pytest
import trio

from actors.kernel import ActorStopped, InlineWorker
from actors.raft.ready import Write
from actors.raft.types import ConfState, Entry, HardState, Snapshot, SnapshotMetadata
from actors.snapshot import files
from actors.snapshot.recovery import recover
from actors.wal.actor import Wal, run_wal
from actors.wal.disk import DiskFull
from actors.wal.reader import read_log
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter
from trioetcd.testing.disk import SimulatedDisk
from wire.durations import Durations

START = SnapshotRecord(0, 0)


class Bench:
    def __init__(self) -> None:
        self.disk = SimulatedDisk(random.Random(1))
        self.disk.mkdir("snap")
        self.writer = LogWriter.create(self.disk, "wal", b"m", 4096)
        self.times = Durations()
        self.persisted: list[tuple[int, int]] = []  # receipt, entries durable then

    def save_snapshot(self, snapshot: Snapshot) -> None:
        files.save(self.disk, "snap", snapshot)

    def durable(self) -> int:
        """The last index that would certainly survive a crash now."""
        other = SimulatedDisk(random.Random(2))
        for directory in ("wal", "snap"):
            for name in self.disk.list(directory):
                path = f"{directory}/{name}"
                other.poke(path, self.disk.peek_synced(path))
        recovered = recover(other, "wal", "snap")
        start = recovered.snapshot.metadata.index if recovered.snapshot else 0
        return start + len(recovered.entries)

    async def start(self, nursery: trio.Nursery) -> Wal:
        async def run(*, task_status: trio.TaskStatus[Wal]) -> None:
            await run_wal(
                Wal(),
                self.writer,
                InlineWorker(),
                lambda receipt: self.persisted.append((receipt, self.durable())),
                self.times,
                save_snapshot=self.save_snapshot,
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
        assert sum(bench.times.counts) == 1
        nursery.cancel_scope.cancel()


async def test_a_commit_index_alone_is_not_synced_but_goes_out_with_the_next_write():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        wal.write(Write(1, None, entries(1, 2), HardState(1, 1, 0)))
        await trio.testing.wait_all_tasks_blocked()
        before = bench.disk.syncs
        wal.write(Write(None, None, [], HardState(1, 1, 2)))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.disk.syncs == before
        wal.write(Write(2, None, entries(3, 1), None))
        await trio.testing.wait_all_tasks_blocked()
        assert bench.disk.syncs == before + 1
        nursery.cancel_scope.cancel()
    bench.disk.crash()
    assert read_log(bench.disk, "wal", START).hard_state == HardState(1, 1, 2)


async def test_a_commit_index_that_is_left_over_goes_out_at_the_end():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        wal.write(Write(1, None, entries(1, 2), HardState(1, 1, 0)))
        wal.write(Write(None, None, [], HardState(1, 1, 1)))
        await trio.testing.wait_all_tasks_blocked()
        wal.write(Write(None, None, [], HardState(1, 1, 2)))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert read_log(bench.disk, "wal", START).hard_state == HardState(1, 1, 2)


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


async def test_a_leaders_snapshot_is_saved_before_the_log_speaks_of_it():
    bench = Bench()
    metadata = SnapshotMetadata(50, 3, ConfState(voters=(1, 2)))
    async with trio.open_nursery() as nursery:
        wal = await bench.start(nursery)
        wal.write(Write(1, None, entries(1, 3), HardState(1, 1, 2)))
        write = Write(2, Snapshot(metadata), entries(51, 2), HardState(3, 0, 50))
        wal.write(write._replace(entries=[one._replace(term=3) for one in write.entries]))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    bench.disk.crash()
    recovered = recover(bench.disk, "wal", "snap")
    assert recovered.snapshot == Snapshot(metadata)
    assert [entry.index for entry in recovered.entries] == [51, 52]


async def test_a_full_disk_ends_the_actor_by_name_and_the_log_is_good_when_there_is_room():
    bench = Bench()
    with pytest.RaisesGroup(DiskFull):
        async with trio.open_nursery() as nursery:
            wal = await bench.start(nursery)
            wal.write(Write(1, None, entries(1, 2), HardState(1, 1, 0)))
            await trio.testing.wait_all_tasks_blocked()
            bench.disk.room_bytes = 1000
            wal.write(Write(2, None, [Entry(0, 1, 3, b"x" * 8000)], None))
    assert bench.persisted == [(1, 2)]
    bench.disk.kill()
    contents = read_log(bench.disk, "wal", START)
    assert contents.entries == entries(1, 2)
    bench.disk.room_bytes = None
    again = LogWriter.resume(bench.disk, "wal", contents, 4096)
    again.append(entries(3, 1))
    again.write()
    again.sync()
    assert read_log(bench.disk, "wal", START).entries == entries(1, 3)
