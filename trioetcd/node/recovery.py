"""From a data directory to a member that can run: begin it, or find out where it was.

Layout as etcd's: `member/wal` holds the log, `member/snap` snapshot files and the database.
A new member's first entries are the changes that add the first members, as in etcd, so that
they are in the log like any later change.
Source: etcd server/etcdserver/bootstrap.go, raft.go (startNode, restartNode).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.backend.backend import Backend
from actors.backend.buckets import CONF_STATE, META
from actors.backend.engine import Engine
from actors.backend.lmdb_engine import NotOurDatabase
from actors.cluster.ids import cluster_id, member_id
from actors.cluster.member import Member, conf_state_from_json
from actors.cluster.requests import addition, removal
from actors.raft.configuration import Configuration
from actors.raft.types import (
    ConfChange,
    ConfChangeType,
    ConfState,
    Entry,
    EntryType,
    HardState,
    SnapshotMetadata,
    conf_change_of,
)
from actors.snapshot.recovery import recover
from actors.wal.disk import DataDirLocked, Disk, Lock
from actors.wal.scan import LogCorrupt
from actors.wal.segments import SegmentsBroken
from actors.wal.writer import LogWriter
from trioetcd.node.settings import NodeSettings
from trioetcd.peer.joining import Joining
from wire.network import reason
from wire.pb import etcdserverpb


class StartError(Exception):
    """The member cannot start; the message is for the operator, in one line."""


@dataclass
class Storage:
    """Everything of a member that is on disk, open."""

    member_id: int
    cluster_id: int
    log: LogWriter
    backend: Backend
    snapshot_directory: str
    snapshot: SnapshotMetadata  # the log position the member starts from
    hard_state: HardState
    entries: list[Entry]  # after the snapshot
    conf_state: ConfState  # as of what the backend has applied
    is_new: bool
    lock: Lock | None = None


def has_log(settings: NodeSettings, disk: Disk) -> bool:
    """Whether the member has begun before; then nobody asks how it is to begin.

    Raises:
        StartError: the directory is none, or cannot be read.
    """
    try:
        return any(name.endswith(".wal") for name in disk.list(_wal_directory(settings)))
    except OSError as error:
        raise StartError(f"cannot access data directory: {_words(error)}") from error


def _wal_directory(settings: NodeSettings) -> str:
    return str(settings.wal_dir or f"{settings.data_dir or ''}/member/wal")


def open_storage(
    settings: NodeSettings,
    disk: Disk,
    open_engine: Callable[[Path], Engine],
    joining: Joining | None = None,
) -> Storage:
    """Create or recover a member's storage.  Blocks.

    `joining` is what a new member of a running cluster begins with.

    Raises:
        StartError: the directory is locked, foreign, or broken.
    """
    root = str(settings.data_dir or "")
    snap = f"{root}/member/snap"
    wal = _wal_directory(settings)
    try:
        disk.mkdir(root)
        disk.mkdir(f"{root}/member")
        disk.mkdir(snap)
        lock = disk.lock(f"{root}/member/lock")
    except DataDirLocked as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"cannot access data directory: {_words(error)}") from error
    try:
        _refuse_go_database(disk, snap)
        backend = Backend(open_engine(Path(snap)))
        if disk.list(wal):
            storage = _recover(disk, wal, snap, backend)
            if settings.force_new_cluster:
                make_alone(storage, settings)
        elif joining is not None:
            storage = _join(joining, disk, wal, snap, backend)
        else:
            storage = _bootstrap(settings, disk, wal, snap, backend)
    except (NotOurDatabase, LogCorrupt, SegmentsBroken) as error:
        lock.release()
        raise StartError(str(error)) from error
    except OSError as error:
        lock.release()
        raise StartError(_words(error)) from error
    except StartError:
        lock.release()
        raise
    storage.lock = lock
    return storage


def _words(error: OSError) -> str:
    """What happened to which file, in Go's words."""
    return f"{error.filename}: {reason(error)}" if error.filename else reason(error)


def _refuse_go_database(disk: Disk, snap: str) -> None:
    if "db" in disk.list(snap):
        raise StartError(
            f"{snap}/db is a database of etcd itself; take a snapshot of it and restore that "
            "into a new directory"
        )


def _recover(disk: Disk, wal: str, snap: str, backend: Backend) -> Storage:
    recovered = recover(disk, wal, snap)
    snapshot = recovered.snapshot
    position = SnapshotMetadata() if snapshot is None else snapshot.metadata
    if backend.applied_index < position.index and backend.engine.adopt(position.index):
        backend.reload()  # a leader's snapshot had come, and was not installed yet
    if backend.applied_index < position.index:
        raise StartError(
            f"the database in {snap} ends at log index {backend.applied_index}, "
            f"but the log begins at {position.index}: a file is missing or was replaced"
        )
    metadata = etcdserverpb.Metadata.FromString(recovered.metadata)
    stored = backend.get(META, CONF_STATE)
    return Storage(
        metadata.NodeID,
        metadata.ClusterID,
        LogWriter.resume(disk, wal, recovered.log),
        backend,
        snap,
        position,
        recovered.hard_state,
        recovered.entries,
        position.conf_state if stored is None else conf_state_from_json(stored),
        is_new=False,
    )


def make_alone(storage: Storage, settings: NodeSettings) -> None:
    """--force-new-cluster: all others go, and whatever this member's log holds is committed.

    How far that was known to be committed may not have reached the disk, and what was
    acknowledged must not be forgotten; nobody is left who could know better.
    Source: etcd server/etcdserver/bootstrap.go (createConfigChangeEnts).
    """
    entries = storage.entries
    last = entries[-1].index if entries else storage.snapshot.index
    commit = max(storage.hard_state.commit, storage.backend.applied_index, last)
    configuration = Configuration.of(storage.conf_state)
    for entry in entries:
        if entry.type and entry.index > storage.backend.applied_index:
            configuration = configuration.after(conf_change_of(entry))
    own, term = storage.member_id, storage.hard_state.term
    changes = [removal(member) for member in configuration.members if member != own]
    if not configuration.is_voter(own):
        changes.insert(0, addition(Member(own, settings.peer_urls)))
    added = [
        Entry(EntryType.CONF_CHANGE, term, index, change.marshal())
        for index, change in enumerate(changes, commit + 1)
    ]
    storage.hard_state = HardState(term, storage.hard_state.vote, commit + len(added))
    storage.entries = [*entries, *added]
    storage.log.append(added, storage.hard_state)
    storage.log.write()
    storage.log.sync()


def _bootstrap(
    settings: NodeSettings, disk: Disk, wal: str, snap: str, backend: Backend
) -> Storage:
    if backend.applied_index:
        raise StartError(f"{snap} holds a database, but {wal} holds no log")
    members = first_members(settings)
    own = members.get(settings.name)
    if own is None:
        raise StartError(
            f"couldn't find local name {settings.name!r} in the initial cluster configuration"
        )
    cluster = cluster_id(member.id for member in members.values())
    metadata = etcdserverpb.Metadata(NodeID=own.id, ClusterID=cluster).SerializeToString()
    entries = first_entries(list(members.values()))
    hard_state = HardState(1, 0, len(entries))
    log = LogWriter.create(disk, wal, metadata)
    log.append(entries, hard_state)
    log.write()
    log.sync()
    return Storage(
        own.id,
        cluster,
        log,
        backend,
        snap,
        SnapshotMetadata(),
        hard_state,
        entries,
        ConfState(),
        is_new=True,
    )


def _join(joining: Joining, disk: Disk, wal: str, snap: str, backend: Backend) -> Storage:
    """Nothing is known but who we are; the leader sends the rest."""
    if backend.applied_index:
        raise StartError(f"{snap} holds a database, but {wal} holds no log")
    metadata = etcdserverpb.Metadata(NodeID=joining.own.id, ClusterID=joining.cluster_id)
    return Storage(
        joining.own.id,
        joining.cluster_id,
        LogWriter.create(disk, wal, metadata.SerializeToString()),
        backend,
        snap,
        SnapshotMetadata(),
        HardState(),
        [],
        ConfState(),
        is_new=True,
    )


def first_members(settings: NodeSettings) -> dict[str, Member]:
    """The members of the first hour, by name."""
    return {
        name: Member(member_id(urls, settings.cluster_token), tuple(urls), name=name)
        for name, urls in settings.bootstrap_cluster.items()
    }


def first_entries(members: list[Member]) -> list[Entry]:
    """The entries that add them, the same on every member: by id, in term 1."""
    entries = []
    for index, member in enumerate(sorted(members, key=lambda one: one.id), 1):
        change = ConfChange(ConfChangeType.ADD_NODE, member.id, member.to_json())
        entries.append(Entry(EntryType.CONF_CHANGE, 1, index, change.marshal()))
    return entries
