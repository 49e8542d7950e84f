"""A machine that can lose power: its disk, its database, and work that takes time.

A `Mount` is the disk as one boot sees it.  When power is lost everything that was opened before
fails from that moment on, so that the tasks of the dead process, which Trio lets end in order,
cannot change what the next boot finds.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from typing import TypeVar

import outcome
import trio

from actors.backend.engine import Engine, MemoryEngine
from actors.wal.disk import Lock, ReadableFile, WritableFile
from trioetcd.testing.disk import SimulatedDisk

T = TypeVar("T")


class Mount:
    """`actors.wal.disk.Disk` until the power fails."""

    def __init__(self, disk: SimulatedDisk, power_fails: Callable[[], None]) -> None:
        """`power_fails` is called when `operations_left` have been done."""
        self._disk = disk
        self._boot = disk.boot
        self._power_fails = power_fails
        self.operations_left: int | None = None

    @property
    def is_gone(self) -> bool:
        return self._boot != self._disk.boot

    def touch(self) -> None:
        """Before every operation that changes something."""
        if self.operations_left is not None and not self.is_gone:
            self.operations_left -= 1
            if self.operations_left < 0:
                self._power_fails()
        if self.is_gone:
            raise OSError(errno.EIO, "the machine has no power")

    def mkdir(self, path: str) -> None:
        self.touch()
        self._disk.mkdir(path)

    def list(self, path: str) -> list[str]:
        return self._disk.list(path)

    def create(self, path: str, preallocate: int) -> WritableFile:
        self.touch()
        return _MountedFile(self, self._disk.create(path, preallocate))

    def append(self, path: str, offset: int) -> WritableFile:
        self.touch()
        return _MountedFile(self, self._disk.append(path, offset))

    def open(self, path: str) -> ReadableFile:
        return self._disk.open(path)

    def rename(self, old: str, new: str) -> None:
        self.touch()
        self._disk.rename(old, new)

    def unlink(self, path: str) -> None:
        self.touch()
        self._disk.unlink(path)

    def sync_directory(self, path: str) -> None:
        self.touch()
        self._disk.sync_directory(path)

    def lock(self, path: str) -> Lock:
        self.touch()
        return _MountedLock(self, self._disk.lock(path))


class _MountedFile:
    def __init__(self, mount: Mount, file: WritableFile) -> None:
        self._mount = mount
        self._file = file

    def write(self, data: bytes) -> None:
        self._mount.touch()
        self._file.write(data)

    def datasync(self) -> None:
        self._mount.touch()
        self._file.datasync()

    def truncate(self, size: int) -> None:
        self._mount.touch()
        self._file.truncate(size)

    def close(self) -> None:
        self._file.close()


class _MountedLock:
    def __init__(self, mount: Mount, lock: Lock) -> None:
        self._mount = mount
        self._lock = lock

    def release(self) -> None:
        if not self._mount.is_gone:  # else another boot may hold it by now
            self._lock.release()


class SimulatedEngine(MemoryEngine):
    """A database whose commits survive a crash, whole or not at all."""

    def __init__(self, mount: Mount, before: SimulatedEngine | None) -> None:
        """With what the last boot's engine had committed."""
        super().__init__()
        self._mount = mount
        if before is not None:
            self._buckets, self._bytes, self._kept = before._buckets, before._bytes, before._kept

    def commit(self) -> None:
        self._mount.touch()
        super().commit()

    def keep(self, received: Engine, index: int) -> None:
        self._mount.touch()
        super().keep(received, index)

    def adopt(self, index: int) -> bool:
        self._mount.touch()
        return super().adopt(index)


class SlowWorker:
    """A `Worker` whose work takes time, during which anything else may happen."""

    def __init__(self, rng: random.Random, mean_seconds: float) -> None:
        self._rng = rng
        self._mean_seconds = mean_seconds

    async def run(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await trio.sleep(self._rng.expovariate(1 / self._mean_seconds))
            result = outcome.capture(function, *args)
            await trio.sleep(self._rng.expovariate(1 / self._mean_seconds))
        return result.unwrap()
