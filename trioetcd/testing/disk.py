"""A disk that can crash: what was not synced may be lost, whole or in sectors.

Obeys the contract of `actors.wal.disk.Disk`.  Deterministic: what a crash spares is drawn from
the random numbers it was given.  Faults (an fsync that fails, a disk that is full, a flipped
bit) are injected by setting attributes and calling methods.
"""

from __future__ import annotations

import errno
import os.path
import random
from typing import NamedTuple

from actors.wal.disk import DataDirLocked, DiskFull
from actors.wal.scan import SECTOR_BYTES


class SimulatedDisk:
    """Files and directories in memory.

    A file has what was synced and what the system would show now; so has the tree of names.
    Directories themselves are durable at once, as `mkdir` promises.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._files: dict[str, _Inode] = {}  # what the system shows
        self._durable: dict[str, _Inode] = {}  # the names that survive a crash
        self._renamings: list[_Renaming] = []  # what leads from the one to the other, in order
        self._directories: set[str] = {"", ".", "/"}
        self._locks: set[str] = set()
        self._boot = 0  # how often files were closed by a crash or a kill
        self.fail_next_sync = False  # with EIO; what was unsynced then never becomes durable
        self.fail_next_write = False  # with EIO, having written about half
        self.room_bytes: int | None = None  # files cannot grow by more than this together
        self.syncs = 0

    # The contract

    def mkdir(self, path: str) -> None:
        while path not in self._directories:
            self._directories.add(path)
            path = os.path.dirname(path)

    def list(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        names = [*self._files, *self._directories]
        return sorted(
            {name[len(prefix) :].split("/")[0] for name in names if name.startswith(prefix)} - {""}
        )

    def create(self, path: str, preallocate: int) -> _File:
        if os.path.dirname(path) not in self._directories:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        if path in self._files:
            self._give_back(self._files[path].size)
        inode = self._files[path] = _Inode()
        self._renamings.append(_Renaming(path, inode=inode))
        file = _File(self, path, inode, 0)
        if preallocate:
            file.truncate(preallocate)
        return file

    def append(self, path: str, offset: int) -> _File:
        return _File(self, path, self._inode(path), offset)

    def open(self, path: str) -> _Reader:
        return _Reader(self._inode(path))

    def rename(self, old: str, new: str) -> None:
        if not any(_under(name, old) for name in (*self._files, *self._directories)):
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", old)
        _move(self._files, old, new)
        if old in self._directories:
            self._directories.remove(old)
            self._directories.add(new)
            self._renamings = [one.within(old, new) for one in self._renamings]
        self._renamings.append(_Renaming(old, new))

    def unlink(self, path: str) -> None:
        self._give_back(self._inode(path).size)
        del self._files[path]
        self._renamings.append(_Renaming(path))

    def sync_directory(self, path: str) -> None:
        self._sync()
        path = "" if path == "." else path
        mine = [one for one in self._renamings if os.path.dirname(one.path) == path]
        self._renamings = [one for one in self._renamings if one not in mine]
        for renaming in mine:
            renaming.apply(self._durable)

    def lock(self, path: str) -> _Lock:
        if path in self._locks:
            raise DataDirLocked(os.path.dirname(path))
        self._locks.add(path)
        return _Lock(self._locks, path)

    # Faults

    def kill(self) -> None:
        """The process dies: its files are closed and its locks free; nothing else is lost."""
        self._boot += 1
        self._locks.clear()

    def crash(self) -> None:
        """Lose power.  Of each unsynced sector either the old or the new content stays."""
        self.kill()
        for renaming in self._renamings[: self._rng.randint(0, len(self._renamings))]:
            renaming.apply(self._durable)  # names reach the journal in order
        self._renamings.clear()
        self._files = dict(self._durable)
        spared = self._rng.choice((0.0, 0.5, 0.9, 1.0))
        for name in sorted(self._files):
            self._files[name].crash(self._rng, spared)

    def peek(self, path: str) -> bytes:
        """What the system shows of a file now."""
        return self._inode(path).read(0, self._inode(path).size)

    def peek_synced(self, path: str) -> bytes:
        """What of a file certainly survives, if its name does."""
        inode = self._inode(path)
        return bytes(inode.synced[: inode.synced_size].ljust(inode.synced_size, b"\0"))

    def poke(self, path: str, data: bytes) -> None:
        """Put other bytes into a file behind everyone's back, or make a file; durable."""
        inode = self._files.setdefault(path, _Inode())
        inode.data, inode.synced = bytearray(data), bytearray(data)
        inode.size = inode.synced_size = len(data)
        inode.dirty.clear()
        self._durable[path] = inode

    def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        data = bytearray(self.peek(path))
        data[offset] ^= 1 << bit
        self.poke(path, bytes(data))

    # For the files

    @property
    def boot(self) -> int:
        return self._boot

    def _inode(self, path: str) -> _Inode:
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None

    def _sync(self) -> None:
        self.syncs += 1
        if self.fail_next_sync:
            self.fail_next_sync = False
            raise OSError(errno.EIO, "input/output error")

    def _take_room(self, count: int) -> int:
        """How much of a growth by `count` bytes there is room for."""
        if self.room_bytes is not None:
            count = min(count, self.room_bytes)
            self.room_bytes -= count
        return count

    def _give_back(self, count: int) -> None:
        if self.room_bytes is not None:
            self.room_bytes += count


class _Renaming(NamedTuple):
    """A change of names that is not yet durable: made (`inode`), renamed (`to`) or removed."""

    path: str
    to: str | None = None
    inode: _Inode | None = None

    def apply(self, names: dict[str, _Inode]) -> None:
        if self.inode is not None:
            names[self.path] = self.inode
        elif self.to is not None:
            _move(names, self.path, self.to)
        else:
            names.pop(self.path, None)

    def within(self, old: str, new: str) -> _Renaming:
        """The same, after the directory it happened in was renamed."""
        if not self.path.startswith(old + "/"):
            return self
        to = None if self.to is None else new + self.to[len(old) :]
        return self._replace(path=new + self.path[len(old) :], to=to)


def _move(names: dict[str, _Inode], old: str, new: str) -> None:
    for name in [name for name in names if _under(name, old)]:
        names[new + name[len(old) :]] = names.pop(name)


def _under(name: str, path: str) -> bool:
    return name == path or name.startswith(path + "/")


class _Inode:
    """A file's content; zeros from the end of `data` to `size`, as after a preallocation."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0
        self.synced = bytearray()
        self.synced_size = 0
        self.dirty: list[tuple[int, int]] = []  # ranges written since the last sync

    def read(self, offset: int, count: int) -> bytes:
        count = max(0, min(count, self.size - offset))
        return bytes(self.data[offset : offset + count].ljust(count, b"\0"))

    def write(self, offset: int, data: bytes) -> None:
        _put(self.data, offset, data)
        self.size = max(self.size, len(self.data))
        self.dirty.append((offset, offset + len(data)))

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.size = size

    def sync(self) -> None:
        for start, stop in self.dirty:
            _put(self.synced, start, self.data[start:stop])
        self.dirty.clear()
        self.synced_size = self.size
        del self.synced[self.size :]

    def crash(self, rng: random.Random, spared: float) -> None:
        # A longer file may have been noted before its sectors were.
        size = rng.choice((self.synced_size, self.size))
        sectors = {
            n for a, b in self.dirty for n in range(a // SECTOR_BYTES, -(-b // SECTOR_BYTES))
        }
        for sector in sorted(sectors):
            if rng.random() < spared:
                start = sector * SECTOR_BYTES
                _put(self.synced, start, self.data[start : start + SECTOR_BYTES])
        del self.synced[size:]
        self.data = bytearray(self.synced)
        self.size = self.synced_size = size
        self.dirty.clear()


def _put(into: bytearray, offset: int, data: bytes | bytearray) -> None:
    if len(into) < offset:
        into.extend(bytes(offset - len(into)))
    into[offset : offset + len(data)] = data


class _File:
    def __init__(self, disk: SimulatedDisk, path: str, inode: _Inode, offset: int) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._offset = offset
        self._boot = disk.boot

    def _check_open(self) -> None:
        if self._boot != self._disk.boot:
            raise OSError(errno.EBADF, "the process that opened it is gone", self._path)

    def write(self, data: bytes) -> None:
        self._check_open()
        if self._disk.fail_next_write:
            self._disk.fail_next_write = False
            middle = (self._offset + len(data) // 2) // SECTOR_BYTES * SECTOR_BYTES
            self._inode.write(self._offset, data[: max(0, middle - self._offset)])
            raise OSError(errno.EIO, "input/output error", self._path)
        growth = max(0, self._offset + len(data) - self._inode.size)
        room = self._disk._take_room(growth)
        if room < growth:
            self._disk._give_back(room + self._inode.size - self._offset)
            self._inode.resize(self._offset)
            raise DiskFull(self._path)
        self._inode.write(self._offset, data)
        self._offset += len(data)

    def datasync(self) -> None:
        self._check_open()
        try:
            self._disk._sync()
        except OSError:
            self._inode.dirty.clear()  # the system tries once and takes them for written
            raise
        self._inode.sync()

    def truncate(self, size: int) -> None:
        self._check_open()
        growth = size - self._inode.size
        if growth > 0:
            room = self._disk._take_room(growth)
            if room < growth:
                self._disk._give_back(room)
                raise DiskFull(self._path)
        else:
            self._disk._give_back(-growth)
        self._inode.resize(size)
        self.datasync()

    def close(self) -> None:
        self._boot = -1


class _Reader:
    def __init__(self, inode: _Inode) -> None:
        self._inode = inode
        self.size = inode.size

    def read(self, offset: int, count: int) -> bytes:
        return self._inode.read(offset, count)

    def close(self) -> None:
        pass


class _Lock:
    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        self._locks.discard(self._path)
