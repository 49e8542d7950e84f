"""Two disks, one contract; and what only one of them can show."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.wal.disk import DataDirLocked, Disk, DiskFull, RealDisk
from actors.wal.scan import SECTOR_BYTES
from trioetcd.testing.disk import SimulatedDisk


def new_simulated_disk() -> Disk:
    return SimulatedDisk(random.Random(1))


@pytest.mark.parametrize("new_disk", [RealDisk, new_simulated_disk])
class TestContract:
    """Of RealDisk and SimulatedDisk alike."""

    def test_writes_follow_each_other_from_the_offset(
        self, new_disk: Callable[[], Disk], tmp_path: Path
    ):
        disk, path = new_disk(), f"{tmp_path}/a/b/file"
        disk.mkdir(f"{tmp_path}/a/b")
        file = disk.create(path, 100)
        file.write(b"one")
        file.write(b"two")
        file.datasync()
        file.close()
        file = disk.append(path, 3)
        file.write(b"TWO, three")
        file.close()
        reader = disk.open(path)
        assert reader.size == 100
        assert reader.read(0, 1000) == b"oneTWO, three".ljust(100, b"\0")
        assert reader.read(95, 3) == b"\0\0\0"
        assert reader.read(100, 3) == b""
        reader.close()

    def test_a_file_grows_with_zeros_and_shrinks(
        self, new_disk: Callable[[], Disk], tmp_path: Path
    ):
        disk, path = new_disk(), f"{tmp_path}/file"
        disk.mkdir(str(tmp_path))
        file = disk.create(path, 0)
        file.write(b"abc")
        file.truncate(2)
        file.truncate(4)
        file.close()
        assert disk.open(path).read(0, 10) == b"ab\0\0"

    def test_creating_replaces(self, new_disk: Callable[[], Disk], tmp_path: Path):
        disk, path = new_disk(), f"{tmp_path}/file"
        disk.mkdir(str(tmp_path))
        disk.create(path, 10).close()
        disk.create(path, 5).close()
        assert disk.open(path).size == 5

    def test_names(self, new_disk: Callable[[], Disk], tmp_path: Path):
        disk, root = new_disk(), str(tmp_path)
        disk.mkdir(f"{root}/x.tmp")
        disk.mkdir(f"{root}/x.tmp")
        for name in ("b", "a"):
            disk.create(f"{root}/x.tmp/{name}", 0).close()
        disk.rename(f"{root}/x.tmp", f"{root}/x")
        disk.sync_directory(root)
        disk.unlink(f"{root}/x/b")
        disk.create(f"{root}/x/c", 3).close()
        disk.rename(f"{root}/x/c", f"{root}/x/a")
        disk.sync_directory(f"{root}/x")
        assert disk.list(f"{root}/x") == ["a"]
        assert disk.open(f"{root}/x/a").size == 3
        assert disk.list(root) == ["x"]
        assert disk.list(f"{root}/nowhere") == []

    def test_what_is_not_there_is_not_found(self, new_disk: Callable[[], Disk], tmp_path: Path):
        disk, nothing = new_disk(), f"{tmp_path}/nothing"
        for ask in (
            lambda: disk.open(nothing),
            lambda: disk.append(nothing, 0),
            lambda: disk.unlink(nothing),
            lambda: disk.rename(nothing, nothing + "2"),
            lambda: disk.create(f"{nothing}/file", 0),
        ):
            with pytest.raises(FileNotFoundError):
                ask()

    def test_a_lock_is_one_holders(self, new_disk: Callable[[], Disk], tmp_path: Path):
        disk, path = new_disk(), f"{tmp_path}/lock"
        disk.mkdir(str(tmp_path))
        lock = disk.lock(path)
        with pytest.raises(DataDirLocked, match=f"another process is using '{tmp_path}' and holds"):
            disk.lock(path)
        lock.release()
        disk.lock(path).release()


def test_directories_and_files_are_for_their_owner_only(tmp_path: Path):
    disk = RealDisk()
    disk.mkdir(f"{tmp_path}/data/member/snap")
    disk.create(f"{tmp_path}/data/member/snap/file", 0).close()
    for path in ("data", "data/member", "data/member/snap"):
        assert stat.S_IMODE(os.stat(tmp_path / path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "data/member/snap/file").st_mode) == 0o600


def test_a_preallocated_file_has_its_blocks(tmp_path: Path):
    RealDisk().create(f"{tmp_path}/file", 1 << 20).close()
    assert os.stat(tmp_path / "file").st_blocks * 512 >= 1 << 20


def test_a_full_real_disk_has_a_name():
    with pytest.raises(DiskFull, match=r"no space left on device: '/dev/full'"):
        RealDisk().append("/dev/full", 0).write(b"x")


def test_another_processs_lock_holds_until_it_dies(tmp_path: Path):
    program = (
        "import sys; from actors.wal.disk import RealDisk\n"
        "lock = RealDisk().lock(sys.argv[1]); print('locked', flush=True); sys.stdin.read()"
    )
    path = f"{tmp_path}/lock"
    arguments = [sys.executable, "-c", program, path]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(DataDirLocked):
            RealDisk().lock(path)
        other.kill()
        other.wait()
        RealDisk().lock(path).release()


def test_without_fsync_nothing_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "fdatasync", refuse)
    disk = RealDisk(fsync=False)
    disk.mkdir(f"{tmp_path}/a")
    file = disk.create(f"{tmp_path}/a/file", 4096)
    file.write(b"x")
    file.datasync()
    file.truncate(1)
    file.close()
    disk.sync_directory(f"{tmp_path}/a")
    assert disk.open(f"{tmp_path}/a/file").read(0, 2) == b"x"


# The simulated disk's crashes


def crashed(seed: int, write: Callable[[SimulatedDisk], None]) -> SimulatedDisk:
    disk = SimulatedDisk(random.Random(seed))
    disk.mkdir("d")
    write(disk)
    disk.crash()
    return disk


def test_what_is_synced_survives_and_of_the_rest_any_sectors():
    def write(disk: SimulatedDisk) -> None:
        file = disk.create("d/file", 8 * SECTOR_BYTES)
        disk.sync_directory("d")
        file.write(b"a" * SECTOR_BYTES)
        file.datasync()
        file.write(b"b" * 3 * SECTOR_BYTES)

    seen = {crashed(seed, write).peek("d/file") for seed in range(200)}
    for data in seen:
        sectors = [data[n : n + SECTOR_BYTES] for n in range(0, len(data), SECTOR_BYTES)]
        assert set(sectors[0]) == {ord("a")}
        assert all(set(sector) in ({0}, {ord("b")}) for sector in sectors[1:4])
    assert len(seen) == 2**3


def test_a_name_survives_if_its_directory_was_synced_and_else_perhaps():
    def write(disk: SimulatedDisk) -> None:
        disk.create("d/sure", 0)
        disk.create("d/old", 0)
        disk.sync_directory("d")
        disk.create("d/new", 0)
        disk.rename("d/old", "d/renamed")
        disk.unlink("d/sure")

    seen = {tuple(crashed(seed, write).list("d")) for seed in range(100)}
    assert seen == {
        ("old", "sure"),
        ("new", "old", "sure"),
        ("new", "renamed", "sure"),
        ("new", "renamed"),
    }


def test_a_crash_is_a_function_of_the_seed():
    def write(disk: SimulatedDisk) -> None:
        file = disk.create("d/file", 1 << 16)
        file.write(random.Random(5).randbytes(1 << 15))

    for seed in range(20):
        first, second = crashed(seed, write), crashed(seed, write)
        assert first.list("d") == second.list("d")
        assert [first.peek(f"d/{name}") for name in first.list("d")] == [
            second.peek(f"d/{name}") for name in second.list("d")
        ]


def test_what_a_failed_sync_lost_no_later_one_brings_back():
    disk = SimulatedDisk(random.Random(1))
    disk.mkdir("d")
    file = disk.create("d/file", SECTOR_BYTES)
    disk.sync_directory("d")
    file.write(b"x")
    disk.fail_next_sync = True
    with pytest.raises(OSError, match="input/output"):
        file.datasync()
    file.datasync()
    assert disk.peek("d/file")[:1] == b"x"
    disk.crash()
    assert disk.peek("d/file")[:1] == b"\0"


def test_a_dead_process_writes_no_more():
    disk = SimulatedDisk(random.Random(1))
    disk.mkdir("d")
    file = disk.create("d/file", 0)
    lock = disk.lock("d/lock")
    disk.kill()
    for use in (lambda: file.write(b"x"), file.datasync, lambda: file.truncate(0)):
        with pytest.raises(OSError, match="process that opened it is gone"):
            use()
    disk.lock("d/lock")
    del lock
    assert disk.list("d") == ["file"]


def test_a_simulated_disk_fills_up_and_empties():
    disk = SimulatedDisk(random.Random(1))
    disk.mkdir("d")
    disk.room_bytes = 100
    file = disk.create("d/a", 60)
    with pytest.raises(DiskFull):
        disk.create("d/b", 41)
    file.write(b"x" * 50)
    with pytest.raises(DiskFull):
        file.write(b"y" * 60)
    assert disk.peek("d/a") == b"x" * 50
    disk.unlink("d/a")
    disk.create("d/c", 100)
