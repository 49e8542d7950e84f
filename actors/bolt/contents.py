"""Which rows of our database stand in a snapshot file, and which of a file's are taken over.

Our buckets and rows are etcd's already (`actors/backend/buckets.py`), so nearly all is a copy.
Pure.
Source: etcd server/storage/schema (bucket.go, schema.go, membership.go, auth*.go, lease.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from google.protobuf.message import DecodeError

from actors.backend.buckets import (
    ALARM,
    ALL,
    AUTH_ROLES,
    AUTH_USERS,
    CLUSTER,
    CONF_STATE,
    CONSISTENT_INDEX,
    FINISHED_COMPACTION,
    KEY,
    LEASE,
    MEMBERS,
    MEMBERS_REMOVED,
    META,
    SCHEDULED_COMPACTION,
    STORAGE_VERSION,
    TERM,
)
from actors.backend.engine import Snapshot
from actors.bolt.pages import Row
from actors.bolt.reader import BoltCorrupt, BoltReader
from actors.mvcc.revision import ROW_BYTES, TOMBSTONE_BYTES
from wire.pb import authpb, etcdserverpb, leasepb, mvccpb

MAX_KEY_BYTES = 511  # of a row of ours; LMDB's limit.  Keys of clients are values there.
_REPLACED = (CONSISTENT_INDEX, TERM, CONF_STATE, STORAGE_VERSION)  # meta rows of the old cluster
_MEMBERSHIP = (MEMBERS, MEMBERS_REMOVED, CLUSTER)


def buckets_of(snapshot: Snapshot, storage_version: str) -> Iterator[tuple[bytes, Iterable[Row]]]:
    """A file's buckets: all of ours, by name.

    The storage version, which etcd has a row for since 3.6, is that of our release.
    """
    for name in sorted(ALL):
        if name == META:
            meta = dict(snapshot.rows(META)) | {STORAGE_VERSION: storage_version.encode()}
            yield META.encode(), sorted(meta.items())
        else:
            yield name.encode(), snapshot.rows(name)


def rows_for_new_cluster(reader: BoltReader) -> Iterator[tuple[str, Row]]:
    """What a cluster begun from a file takes over, bucket by bucket, in order.

    Membership, positions in the old cluster's log, and buckets unknown here are left out.

    Raises:
        BoltCorrupt: the file is broken, or a row is not what etcd writes into its bucket.
    """
    for name in reader.buckets:
        bucket = name.decode("utf-8", "replace")
        check = _CHECKS.get(bucket)
        for key, value in reader.rows(name):  # pages are checked also where nothing is taken
            if bucket not in ALL or bucket in _MEMBERSHIP:
                continue
            if len(key) > MAX_KEY_BYTES:
                raise BoltCorrupt(f"bucket {bucket!r}: a key of {len(key)} bytes")
            if check is not None:
                try:
                    check(key, value)
                except (DecodeError, ValueError) as error:
                    raise BoltCorrupt(f"bucket {bucket!r}, row {key.hex()}: {error}") from error
            if bucket != META or key not in _REPLACED:
                yield bucket, (key, value)


# -- What each row must be.  Each raises ValueError or DecodeError.


def check_revision(row: bytes) -> None:
    tail = row[ROW_BYTES:]
    if len(row) not in (ROW_BYTES, TOMBSTONE_BYTES) or row[8:9] != b"_" or tail not in (b"", b"t"):
        raise ValueError("not a revision")
    if row[0] & 0x80 or row[9] & 0x80:
        raise ValueError("a negative revision")


def _check_key(row: bytes, keyvalue: bytes) -> None:
    check_revision(row)
    mvccpb.KeyValue.FromString(keyvalue)


def _check_meta(name: bytes, value: bytes) -> None:
    if name in (SCHEDULED_COMPACTION, FINISHED_COMPACTION):
        check_revision(value)


def _check_lease(row: bytes, value: bytes) -> None:
    if len(row) != 8:
        raise ValueError("not a lease id")
    if int.from_bytes(row, "big", signed=True) != leasepb.Lease.FromString(value).ID:
        raise ValueError("the lease has another id")


def _check_alarm(row: bytes, _: bytes) -> None:
    etcdserverpb.AlarmMember.FromString(row)


def _check_user(name: bytes, value: bytes) -> None:
    if authpb.User.FromString(value).name != name:
        raise ValueError("the user has another name")


def _check_role(name: bytes, value: bytes) -> None:
    if authpb.Role.FromString(value).name != name:
        raise ValueError("the role has another name")


_CHECKS: dict[str, Callable[[bytes, bytes], None]] = {
    KEY: _check_key,
    META: _check_meta,
    LEASE: _check_lease,
    ALARM: _check_alarm,
    AUTH_USERS: _check_user,
    AUTH_ROLES: _check_role,
}
