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

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import lmdb

from actors.backend.buckets import ALL
from actors.backend.engine import Full, Row

FILE_NAME = "db.lmdb"  # etcd's own is `db`, a bbolt file: the two must not be taken for each other
LIB_VERSION = 0  # LMDB 0.9: py-lmdb 3 also has 1.0, and neither reads the other's files
DATA_VERSION = 1  # what LMDB 0.9 writes into its meta page
PAGE_BYTES = 4096
MAGIC = b"\xde\xc0\xef\xbe"  # at byte 16 of the first page, then the data version
FIRST_MAP_BYTES = 16 << 30  # address space, not memory; doubled whenever it is too small
MAX_READERS = 64  # snapshots being streamed at once, and our own reads


class NotOurDatabase(Exception):
    """A file that this engine must not open: says what it is and what to do."""


def refuse_foreign(path: Path) -> None:
    """Check, without LMDB, that the file at `path` is one of ours.

    Raises:
        NotOurDatabase: no LMDB file, or one of the other engine's.
    """
    with open(path, "rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[16:20] != MAGIC:
        raise NotOurDatabase(f"{path} is not an LMDB database")
    version = int.from_bytes(head[20:24], "little")
    if version != DATA_VERSION:
        raise NotOurDatabase(
            f"{path} was written by an LMDB with data version {version}; "
            f"this release reads version {DATA_VERSION} (LMDB 0.9)"
        )


class LMDBEngine:
    """See `Engine`.  `begin`, `commit` and `abort` must run on one and the same thread."""

    def __init__(self, directory: Path, *, fsync: bool = True) -> None:
        """Open or create the database in `directory`.

        Raises:
            NotOurDatabase: see there.
            OSError: it cannot be opened.
        """
        self._path = directory / FILE_NAME
        self._copy = directory / (FILE_NAME + ".defrag")
        self._fsync = fsync
        self._copy.unlink(missing_ok=True)
        if self._path.exists() and self._path.stat().st_size:
            refuse_foreign(self._path)
        self._open(FIRST_MAP_BYTES)

    def _open(self, map_bytes: int) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        while map_bytes < 2 * size:
            map_bytes *= 2
        try:
            self._environment = lmdb.open(
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
        self._databases = {
            name: self._environment.open_db(name.encode(), create=True) for name in ALL
        }
        self._read = self._environment.begin()
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
        self._write.commit()
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
        return (int(self._environment.info()["last_pgno"]) + 1) * PAGE_BYTES

    def size_in_use(self) -> int:
        pages = 2  # the two meta pages
        with self._environment.begin() as transaction:
            for database in (None, *self._databases.values()):
                stat = transaction.stat(database) if database else self._environment.stat()
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(pages) * PAGE_BYTES

    def defragment(self) -> None:
        self._copy.unlink(missing_ok=True)
        self._environment.copy(str(self._copy), compact=True)
        with open(self._copy, "rb") as file:
            os.fsync(file.fileno())

    def swap(self) -> None:
        self.close()
        os.replace(self._copy, self._path)
        sync_directory(self._path.parent)
        self._open(self._map_bytes)

    def snapshot(self) -> LMDBSnapshot:
        return LMDBSnapshot(self._environment.begin(), self._databases)

    def close(self) -> None:
        self.abort()
        self._read.abort()
        self._environment.close()


class LMDBSnapshot:
    """A read transaction: it keeps the pages it sees from being reused, so close it."""

    def __init__(
        self, transaction: lmdb.Transaction[bytes], databases: dict[str, lmdb._Database]
    ) -> None:
        self._transaction = transaction
        self._databases = databases

    def rows(self, bucket: str) -> Iterator[Row]:
        return iter(self._transaction.cursor(db=self._databases[bucket]))

    def close(self) -> None:
        self._transaction.abort()


def sync_directory(directory: Path) -> None:
    """Make a rename or a new file in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
