"""`.snap` files: up to which entry the database certainly holds everything.

A file is a snappb.snapshot, a CRC-32C over a raftpb.Snapshot.  The state itself is in the
database; the snapshot's data say only what etcd's do for a v3 member, nothing.  One counts only
if the log has a record of it too, since that is written after the file.
Source: etcd server/etcdserver/api/snap/snapshotter.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import google_crc32c
from google.protobuf.message import DecodeError

from actors.raft.types import ConfChangeMalformed, ConfState, Snapshot, SnapshotMetadata
from actors.wal.disk import Disk
from actors.wal.records import conf_state_message
from wire.pb import raftpb, snappb

_NAME = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16})\.snap")
_SCRATCH = ".tmp"
_MAX_BYTES = 64 << 20  # of one file; etcd's, with a v2 store inside, are far smaller


class SnapshotBroken(Exception):
    """A file that does not hold what was written into it."""


def name_of(metadata: SnapshotMetadata) -> str:
    return f"{metadata.term:016x}-{metadata.index:016x}.snap"


def save(disk: Disk, directory: str, snapshot: Snapshot) -> None:
    """Write a file whole or not at all; durable when this returns.  May block."""
    path = f"{directory}/{name_of(snapshot.metadata)}"
    file = disk.create(path + _SCRATCH, 0)
    try:
        file.write(marshal(snapshot))
        file.datasync()
    finally:
        file.close()
    disk.rename(path + _SCRATCH, path)
    disk.sync_directory(directory)


def marshal(snapshot: Snapshot) -> bytes:
    """A file's content."""
    index, term, conf_state = snapshot.metadata
    metadata = raftpb.SnapshotMetadata(
        conf_state=conf_state_message(conf_state), index=index, term=term
    )
    data = raftpb.Snapshot(data=snapshot.data, metadata=metadata).SerializeToString()
    return snappb.snapshot(crc=google_crc32c.value(data), data=data).SerializeToString()


def read(disk: Disk, path: str) -> Snapshot:
    """Raises SnapshotBroken."""
    file = disk.open(path)
    try:
        framed = file.read(0, _MAX_BYTES)
    finally:
        file.close()
    try:
        frame = snappb.snapshot.FromString(framed)
        if not frame.data or google_crc32c.value(frame.data) != frame.crc:
            raise SnapshotBroken(f"{path}: crc mismatch")
        parsed = raftpb.Snapshot.FromString(frame.data)
        conf_state = ConfState.unmarshal(parsed.metadata.conf_state.SerializeToString())
    except (DecodeError, ConfChangeMalformed) as error:
        raise SnapshotBroken(f"{path}: {error}") from error
    metadata = SnapshotMetadata(parsed.metadata.index, parsed.metadata.term, conf_state)
    return Snapshot(metadata, parsed.data)


def newest_first(disk: Disk, directory: str) -> Iterator[Snapshot]:
    """The whole snapshots.

    On the way broken files are renamed to `.broken`, and half written ones removed.
    """
    for name in disk.list(directory):
        if name.endswith(".snap" + _SCRATCH):
            disk.unlink(f"{directory}/{name}")
    for name in reversed(_names(disk, directory)):
        path = f"{directory}/{name}"
        try:
            yield read(disk, path)
        except SnapshotBroken:
            disk.rename(path, path + ".broken")


def purge(disk: Disk, directory: str, index: int, keep: int) -> list[str]:
    """Remove all but the newest `keep` (0: keep all) of those up to `index`; returns their names.

    `index` is that of a snapshot that counts.  Later ones may not: a leader's whose installation
    was cut short must not push out the one that is needed.
    """
    names = [name for name in _names(disk, directory) if _index_of(name) <= index]
    removed = names[:-keep] if keep else []
    for name in removed:
        disk.unlink(f"{directory}/{name}")
    return removed


def _names(disk: Disk, directory: str) -> list[str]:
    """Oldest first."""
    names = [name for name in disk.list(directory) if _NAME.fullmatch(name)]
    return sorted(names, key=_index_of)


def _index_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1], 16) if match else -1
