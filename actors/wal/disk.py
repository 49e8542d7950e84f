"""The disk seam: what the log and the snapshot files ask of a file system.

`RealDisk` is the operating system's.  The simulator has another, which forgets at a crash what
was not synced.  Paths are plain strings; errors are OSError, of which `DiskFull` has a name of
its own.
Source: etcd client/pkg/fileutil (fileutil.go, preallocate_unix.go, lock_flock.go).
"""

from __future__ import annotations

import errno
import fcntl
import os
import os.path
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol


class DataDirLocked(Exception):
    """Another process uses the data directory."""

    def __init__(self, directory: str) -> None:
        super().__init__(f"another process is using {directory!r} and holds the file lock")


class DiskFull(OSError):
    """There is no room, or no more of the user's: what was to be written is not."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOSPC, "no space left on device", path)


class WritableFile(Protocol):
    def write(self, data: bytes) -> None:
        """Append `data` where the last write ended, all of it.

        Raises:
            DiskFull: nothing of it stays, and the file ends where it was to begin.
        """
        ...

    def datasync(self) -> None:
        """Make what was written durable; may block."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file, or fill it with zeros, to `size` bytes; durable when this returns."""
        ...

    def close(self) -> None: ...


class ReadableFile(Protocol):
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    def mkdir(self, path: str) -> None:
        """Create a directory and its parents, for this user only; durable when this returns.

        One that exists is fine.
        """
        ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; none when there is no such directory."""
        ...

    def create(self, path: str, preallocate: int) -> WritableFile:
        """A new file of `preallocate` zero bytes, written from its beginning.

        Replaces one that exists.  Raises DiskFull.
        """
        ...

    def append(self, path: str, offset: int) -> WritableFile:
        """Write on at `offset` in a file that exists."""
        ...

    def open(self, path: str) -> ReadableFile: ...

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def sync_directory(self, path: str) -> None:
        """Make creations, renames and removals in a directory durable."""
        ...

    def lock(self, path: str) -> Lock:
        """Take a lock file, until it is released or the process ends.  Raises DataDirLocked."""
        ...


class Lock(Protocol):
    def release(self) -> None: ...


class RealDisk:
    """The operating system's files."""

    def __init__(self, *, fsync: bool = True) -> None:
        """Without `fsync` (--unsafe-no-fsync) nothing is durable before the kernel likes."""
        self._fsync = fsync

    def mkdir(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path) or "."
        self.mkdir(parent)
        os.mkdir(path, mode=0o700)
        self.sync_directory(parent)

    def list(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def create(self, path: str, preallocate: int) -> RealFile:
        with _full_disks_named(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        file = RealFile(path, descriptor, 0, self._fsync)
        if preallocate:
            try:
                file.truncate(preallocate)
            except OSError:
                file.close()
                raise
        return file

    def append(self, path: str, offset: int) -> RealFile:
        return RealFile(path, os.open(path, os.O_RDWR | os.O_CLOEXEC), offset, self._fsync)

    def open(self, path: str) -> RealReader:
        return RealReader(path)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        if not self._fsync:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> RealLock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirLocked(os.path.dirname(path)) from None
        return RealLock(descriptor)


class RealFile:
    def __init__(self, path: str, descriptor: int, offset: int, fsync: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._offset = offset
        self._fsync = fsync

    def write(self, data: bytes) -> None:
        view, offset = memoryview(data), self._offset
        try:
            with _full_disks_named(self._path):
                while view:
                    written = os.pwrite(self._descriptor, view, offset)
                    offset += written
                    view = view[written:]
        except DiskFull:
            with suppress(OSError):  # full is what matters; a torn end is repaired
                os.ftruncate(self._descriptor, self._offset)
            raise
        self._offset = offset

    def datasync(self) -> None:
        if self._fsync:
            with _full_disks_named(self._path):
                os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        with _full_disks_named(self._path):
            if size > os.fstat(self._descriptor).st_size:
                self._preallocate(size)
            else:
                os.ftruncate(self._descriptor, size)
            if self._fsync:
                os.fsync(self._descriptor)

    def _preallocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            os.ftruncate(self._descriptor, size)  # this file system cannot: zeros all the same

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def _full_disks_named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path) from error
        raise


class RealReader:
    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        pieces = []
        while count:
            piece = os.pread(self._descriptor, count, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        os.close(self._descriptor)


class RealLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)
