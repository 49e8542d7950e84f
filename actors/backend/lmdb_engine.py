"""The database on disk: LMDB, one file, one named database a bucket.

Threads, and why a commit has three parts.  py-lmdb gives the GIL away around every row it
writes.  A thread that writes 10,000 rows while the event loop is busy waits up to 5 ms for it
10,000 times: 9 s were measured for what takes 30 ms alone.  So the rows go in on the event
loop (0.4 µs each, nobody to wait for) and only `begin` and `commit`, one C call each, run on
the worker.  LMDB asks that the thread which began a transaction commits it, so the worker must
be a single thread; in between, the transaction is used by one thread at a time, and that is
all it asks there.

Never WRITEMAP: with it a stray write or a full disk becomes corruption or SIGBUS.

This module is the disk seam of the backend.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lmdb

from actors.backend.buckets import ALL
from actors.backend.engine import Engine, Full, Row
from actors.backend.lmdb_format import NotOurDatabase as NotOurDatabase
from actors.backend.lmdb_format import check_database

FILE_NAME = "db.lmdb"  # etcd's own is `db`, a bbolt file: the two must not be taken for each other
LIB_VERSION = 0  # LMDB 0.9: py-lmdb 3 also has 1.0, and neither reads the other's files
FIRST_MAP_BYTES = 16 << 30  # address space, not memory; doubled whenever it is too small
INCOMING_NAME = "incoming.lmdb"  # another member's database while it is being received
KEPT_SUFFIX = ".snap.lmdb"  # and once it is here, behind its log index; etcd's `.snap.db`
MAX_READERS = 64  # snapshots being streamed at once, and our own reads


def check_file(path: Path) -> None:
    """Look at the file at `path` without LMDB, which would trust whatever is in it.

    Raises:
        NotOurDatabase: see there.
    """
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        try:
            check_database(view)
        except NotOurDatabase as error:
            raise NotOurDatabase(f"{path} {error}") from None


@dataclass
class _Opened:
    """An LMDB environment, and the snapshots that read it.

    A defragmentation replaces it while snapshots may be under way.  The file it has open is
    then nobody else's, and stays until the last of them is done.
    """

    environment: lmdb.Environment
    databases: dict[str, lmdb._Database]
    snapshots: int = 0
    replaced: bool = False

    def close_if_unused(self) -> None:
        if self.replaced and not self.snapshots:
            self.environment.close()


class LMDBEngine:
    """See `Engine`.  `begin`, `commit` and `abort` must run on one and the same thread."""

    def __init__(self, directory: Path, *, fsync: bool = True, name: str = FILE_NAME) -> None:
        """Open or create the database called `name` in `directory`.

        Raises:
            NotOurDatabase: see there.
            OSError: it cannot be opened.
        """
        self._path = directory / name
        self._lock = directory / (name + "-lock")  # LMDB's table of readers
        self._copy = directory / (name + ".defrag")
        self._fsync = fsync
        self._copy.unlink(missing_ok=True)
        if self._path.exists() and self._path.stat().st_size:
            check_file(self._path)
        self._open(FIRST_MAP_BYTES)

    def _open(self, map_bytes: int) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        while map_bytes < 2 * size:
            map_bytes *= 2
        try:
            environment = lmdb.open(
                str(self._path),
                subdir=False,
                map_size=map_bytes,
                max_dbs=len(ALL),
                max_readers=MAX_READERS,
                max_spare_txns=2,
                readahead=False,
                sync=self._fsync,
                mode=0o600,
                lib_version=LIB_VERSION,
            )
        except lmdb.Error as error:
            raise OSError(f"cannot open {self._path}: {error}") from error
        self._map_bytes = map_bytes
        self._page_bytes = environment.stat()["psize"]
        self._databases = {name: environment.open_db(name.encode(), create=True) for name in ALL}
        self._environment = environment
        self._opened = _Opened(environment, self._databases)
        self._read = environment.begin()
        self._write: lmdb.Transaction | None = None

    # -- Reads

    def get(self, bucket: str, key: bytes) -> bytes | None:
        value: bytes | None = self._read.get(key, db=self._databases[bucket])
        return value

    def scan(self, bucket: str, start: bytes, stop: bytes | None, limit: int) -> list[Row]:
        rows: list[Row] = []
        cursor = self._read.cursor(db=self._databases[bucket])
        if not cursor.set_range(start):
            return rows
        for row in cursor:
            if len(rows) >= limit or (stop is not None and row[0] >= stop):
                break
            rows.append(row)
        return rows

    # -- Writes

    def begin(self) -> None:
        self._write = self._environment.begin(write=True)

    def append(self, bucket: str, rows: list[Row]) -> None:
        assert self._write is not None
        try:
            self._write.cursor(db=self._databases[bucket]).putmulti(rows, append=True)
        except lmdb.MapFullError as error:
            raise Full from error

    def write(self, bucket: str, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        assert self._write is not None
        database = self._databases[bucket]
        try:
            for key, value in changes:
                if value is None:
                    self._write.delete(key, db=database)
                else:
                    self._write.put(key, value, db=database)
        except lmdb.MapFullError as error:
            raise Full from error

    def commit(self) -> None:
        assert self._write is not None
        try:
            self._write.commit()
        except lmdb.Error as error:
            raise OSError(f"cannot write {self._path}: {error}") from error
        self._write = None

    def abort(self) -> None:
        if self._write is not None:
            self._write.abort()
            self._write = None

    def grow(self) -> None:
        self._read.abort()
        self._map_bytes *= 2
        self._environment.set_mapsize(self._map_bytes)
        self._read = self._environment.begin()

    def renew(self) -> None:
        """Let reads see the last commit."""
        self._read.abort()
        self._read = self._environment.begin()

    # -- The file

    def size(self) -> int:
        return (int(self._environment.info()["last_pgno"]) + 1) * self._page_bytes

    def size_in_use(self) -> int:
        pages = 2  # the two meta pages
        with self._environment.begin() as transaction:
            for database in (None, *self._databases.values()):
                stat = transaction.stat(database) if database else self._environment.stat()
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages) * self._page_bytes

    def readers(self) -> int:
        return 1 + self._opened.snapshots

    def defragment(self) -> None:
        self._copy.unlink(missing_ok=True)
        try:
            self._environment.copy(str(self._copy), compact=True)
            with open(self._copy, "rb") as file:
                os.fsync(file.fileno())
        except (lmdb.Error, OSError) as error:
            self._copy.unlink(missing_ok=True)
            raise OSError(f"cannot copy {self._path}: {error}") from error

    def swap(self) -> None:
        self._replace(self._copy)

    def _replace(self, other: Path) -> None:
        os.replace(other, self._path)
        sync_directory(self._path.parent)
        self._lock.unlink(missing_ok=True)  # the file that is replaced keeps its own
        self._read.abort()
        old = self._opened
        self._open(self._map_bytes)
        old.replaced = True
        old.close_if_unused()

    def snapshot(self) -> LMDBSnapshot:
        return LMDBSnapshot(self._opened)

    # -- Another member's database

    def receive(self) -> LMDBEngine:
        directory = self._path.parent
        for leftover in [directory / INCOMING_NAME, *directory.glob("*" + KEPT_SUFFIX)]:
            leftover.unlink(missing_ok=True)
        return LMDBEngine(directory, fsync=False, name=INCOMING_NAME)

    def keep(self, received: Engine, index: int) -> None:
        assert isinstance(received, LMDBEngine)
        received.close()
        if self._fsync:
            with open(received._path, "rb") as file:
                os.fsync(file.fileno())
        os.replace(received._path, self._kept(index))
        received._lock.unlink(missing_ok=True)
        sync_directory(self._path.parent)

    def adopt(self, index: int) -> bool:
        kept = self._kept(index)
        if not kept.exists():
            return False
        check_file(kept)
        self._replace(kept)
        return True

    def _kept(self, index: int) -> Path:
        return self._path.parent / f"{index:016x}{KEPT_SUFFIX}"

    def close(self) -> None:
        """Snapshots are to be closed before."""
        self.abort()
        self._read.abort()
        self._environment.close()


class LMDBSnapshot:
    """A read transaction: it keeps the pages it sees from being reused, so close it."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened
        self._transaction = opened.environment.begin()
        opened.snapshots += 1

    def rows(self, bucket: str) -> Iterator[Row]:
        return iter(self._transaction.cursor(db=self._opened.databases[bucket]))

    def close(self) -> None:
        self._transaction.abort()
        self._opened.snapshots -= 1
        self._opened.close_if_unused()


def sync_directory(directory: Path) -> None:
    """Make a rename or a new file in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
