"""A disk that can crash: what was not synced may be lost, whole or in sectors.

Obeys the contract of `actors.wal.disk.Disk`.  Deterministic: what a crash spares is drawn from
the random numbers it was given.  Faults (an fsync that fails, a disk that is full, a flipped
bit) are injected by setting attributes.
"""

from __future__ import annotations

import errno
import random

from actors.wal.disk import DataDirLocked
from actors.wal.records import SECTOR_BYTES


class SimulatedDisk:
    """Files and directories in memory.

    A file has what was synced and what the system would show now; a directory likewise.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.files: dict[str, _Inode] = {}  # what the system shows
        self._durable: dict[str, _Inode] = {}  # what survives a crash
        self._directories: set[str] = {""}
        self._locks: set[str] = set()
        self.fail_next_sync = False
        self.room_bytes: int | None = None  # writes beyond this fail with ENOSPC
        self.syncs = 0

    # -- The contract

    def mkdir(self, path: str) -> None:
        self._directories.add(path)

    def list(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        return sorted(
            {name[len(prefix) :].split("/")[0] for name in self.files if name.startswith(prefix)}
        )

    def create(self, path: str, preallocate: int) -> _File:
        inode = _Inode(self)
        self.files[path] = inode
        file = _File(self, inode, 0)
        if preallocate:
            file.truncate(preallocate)
        return file

    def append(self, path: str, offset: int) -> _File:
        return _File(self, self._inode(path), offset)

    def open(self, path: str) -> _Reader:
        return _Reader(bytes(self._inode(path).data))

    def rename(self, old: str, new: str) -> None:
        moved = {name: inode for name, inode in self.files.items() if _under(name, old)}
        if not moved:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", old)
        for name, inode in moved.items():
            del self.files[name]
            self.files[new + name[len(old) :]] = inode

    def unlink(self, path: str) -> None:
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)

    def sync_directory(self, path: str) -> None:
        self._sync()
        for name in [name for name in self._durable if _under(name, path)]:
            del self._durable[name]
        self._durable |= {name: inode for name, inode in self.files.items() if _under(name, path)}

    def lock(self, path: str) -> _Lock:
        if path in self._locks:
            raise DataDirLocked(f"{path} is in use by another process")
        self._locks.add(path)
        return _Lock(self._locks, path)

    # -- Faults

    def crash(self) -> None:
        """Lose power.  Of each unsynced sector either the old or the new content stays."""
        self.files = dict(self._durable)
        for name in sorted(self.files):
            self.files[name].crash(self._rng)
        self._locks.clear()

    def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        inode = self._inode(path)
        inode.data[offset] ^= 1 << bit
        inode.synced = bytes(inode.data)

    def _inode(self, path: str) -> _Inode:
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None

    def _sync(self) -> None:
        self.syncs += 1
        if self.fail_next_sync:
            self.fail_next_sync = False
            raise OSError(errno.EIO, "Input/output error")

    def _use(self, count: int) -> None:
        if self.room_bytes is not None:
            if count > self.room_bytes:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room_bytes -= count


def _under(name: str, path: str) -> bool:
    return name == path or name.startswith(path.rstrip("/") + "/")


class _Inode:
    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.data = bytearray()
        self.synced = b""

    def crash(self, rng: random.Random) -> None:
        size = len(self.synced)
        if len(self.data) > size:  # a longer file may have been noted before its sectors were
            size = rng.choice((size, len(self.data)))
        survived = bytearray(self.synced.ljust(size, b"\0")[:size])
        for start in range(0, size, SECTOR_BYTES):
            stop = min(start + SECTOR_BYTES, size)
            if survived[start:stop] != self.data[start:stop] and rng.random() < 0.5:
                survived[start:stop] = self.data[start:stop].ljust(stop - start, b"\0")
        self.data = survived
        self.synced = bytes(survived)


class _File:
    def __init__(self, disk: SimulatedDisk, inode: _Inode, offset: int) -> None:
        self._disk = disk
        self._inode = inode
        self._offset = offset

    def write(self, data: bytes) -> None:
        self._disk._use(max(0, self._offset + len(data) - len(self._inode.data)))
        self._inode.data[self._offset : self._offset + len(data)] = data
        self._offset += len(data)

    def datasync(self) -> None:
        self._disk._sync()
        self._inode.synced = bytes(self._inode.data)

    def truncate(self, size: int) -> None:
        data = self._inode.data
        self._disk._use(max(0, size - len(data)))
        if size < len(data):
            del data[size:]
        else:
            data.extend(bytes(size - len(data)))
        self._disk._sync()
        self._inode.synced = bytes(data)

    def close(self) -> None:
        pass


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]

    def close(self) -> None:
        pass


class _Lock:
    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        self._locks.discard(self._path)
