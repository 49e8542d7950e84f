"""A snapshot file: a bbolt database and its SHA-256 behind it.

Pure: `Source` is a file that somebody else has opened.
Source: etcd etcdutl/snapshot/v3_snapshot.go (hasChecksum, copyAndVerifyDB, Status).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import google_crc32c
from google.protobuf.message import DecodeError

from actors.backend.buckets import KEY, META, STORAGE_VERSION
from actors.bolt.contents import check_revision
from actors.bolt.reader import BoltCorrupt, BoltReader, Source
from actors.mvcc.revision import is_tombstone, parse_row_key
from wire.pb import mvccpb

DIGEST_BYTES = 32
SECTOR_BYTES = 512  # every page size is a multiple of it: a file that is not has a digest
READ_BYTES = 1 << 20
MAX_DEFECTS = 100  # shown; a file may have one for each of its pages


class SnapshotRefused(Exception):
    """A file that is not used; the message is etcdutl's where it has one."""


@dataclass(frozen=True)
class Status:
    """What `snapshot status` shows."""

    hash: int  # CRC-32C of all buckets' names and rows
    revision: int
    keys: int  # alive
    size: int  # bytes of the database
    version: str  # of the storage; empty before 3.6
    rows: int  # of all buckets: what etcdctl and etcdutl 3.5 call keys


def database_size(source: Source) -> int:
    """Bytes before the digest, or all."""
    return source.size - (DIGEST_BYTES if has_digest(source) else 0)


def has_digest(source: Source) -> bool:
    return source.size % SECTOR_BYTES == DIGEST_BYTES


def check_digest(source: Source) -> None:
    """Raises SnapshotRefused: the file has none, or another content than when it was made."""
    if not has_digest(source):
        raise SnapshotRefused("snapshot missing hash but --skip-hash-check=false")
    size = database_size(source)
    found = sha256()
    for offset in range(0, size, READ_BYTES):
        found.update(source.read(offset, min(READ_BYTES, size - offset)))
    expected = source.read(size, DIGEST_BYTES)
    if expected != found.digest():
        raise SnapshotRefused(f"expected sha256 {_go(expected)}, got {_go(found.digest())}")


def _go(digest: bytes) -> str:
    """Bytes as Go prints them."""
    return f"[{' '.join(map(str, digest))}]"


def open_database(source: Source) -> BoltReader:
    """Raises BoltCorrupt."""
    return BoltReader(source, database_size(source))


def status_of(source: Source) -> Status:
    """Look at every row.

    Raises:
        BoltCorrupt: the file is broken.
        SnapshotRefused: its pages do not add up, or its digest is of something else.
    """
    if has_digest(source):
        check_digest(source)
    reader = open_database(source)
    checksum, revision, version, rows = 0, 0, "", 0
    alive: set[bytes] = set()
    extend = google_crc32c.extend
    for name in reader.buckets:
        checksum = extend(checksum, name)
        is_key = name == KEY.encode()
        for key, value in reader.rows(name):
            checksum = extend(checksum, key + value)
            rows += 1
            if is_key:
                revision = _count(key, value, alive)
            elif key == STORAGE_VERSION and name == META.encode():
                version = value.decode("utf-8", "replace")
    defects = reader.unaccounted()
    if defects:
        raise SnapshotRefused(
            f"snapshot file integrity check failed. {len(defects)} errors found.\n"
            + "\n".join(defects[:MAX_DEFECTS])
        )
    return Status(checksum, revision, len(alive), reader.size, version, rows)


def _count(row: bytes, keyvalue: bytes, alive: set[bytes]) -> int:
    """Note what a row of bucket KEY does to its key; returns its revision."""
    try:
        check_revision(row)
        key = mvccpb.KeyValue.FromString(keyvalue).key
    except (ValueError, DecodeError) as error:
        raise BoltCorrupt(f"bucket 'key', row {row.hex()}: {error}") from error
    if is_tombstone(row):
        alive.discard(key)
    else:
        alive.add(key)
    return parse_row_key(row)[0]
