"""A member's data directory, opened while no member runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.backend.engine import Engine
from actors.backend.lmdb_engine import FILE_NAME, LMDBEngine, NotOurDatabase
from actors.wal.disk import DataDirLocked, Disk
from trioetcd.util.command import Failed
from wire.network import reason


@dataclass(frozen=True)
class DataDir:
    path: str
    snap: str  # where the database and the .snap files are
    wal: str
    engine: Engine


def places(data_dir: str, wal_dir: str = "") -> tuple[str, str]:
    """Of snapshots, and of the log."""
    root = data_dir.rstrip("/") or "/"
    return f"{root}/member/snap", wal_dir or f"{root}/member/wal"


def is_go(disk: Disk, data_dir: str) -> bool:
    """Whether its database is bbolt's."""
    return "db" in listed(disk, places(data_dir)[0])


def listed(disk: Disk, directory: str) -> list[str]:
    """Raises Failed."""
    try:
        return disk.list(directory)
    except OSError as error:
        raise Failed(f"open {directory}: {reason(error)}") from error


@contextmanager
def opened(disk: Disk, data_dir: str, wal_dir: str = "") -> Iterator[DataDir]:
    """Raises Failed: it is none of ours, broken, or a member runs on it."""
    snap, wal = places(data_dir, wal_dir)
    if FILE_NAME not in listed(disk, snap):
        if is_go(disk, data_dir):
            raise Failed(
                f"{snap}/db is a database of etcd itself: etcdutl works on it, and "
                "`trioetcd util migrate` takes it over"
            )
        raise Failed(f"{data_dir} is no data directory: {snap}/{FILE_NAME} is missing")
    try:
        lock = disk.lock(f"{data_dir}/member/lock")
    except DataDirLocked as error:
        raise Failed(f"{error}; stop the member first") from error
    except OSError as error:
        raise Failed(f"open {data_dir}: {reason(error)}") from error
    try:
        if not Path(snap, FILE_NAME).stat().st_size:  # the engine would begin anew
            raise Failed(f"{snap}/{FILE_NAME} is empty")
        try:
            engine = LMDBEngine(Path(snap))
        except (NotOurDatabase, OSError) as error:
            raise Failed(str(error)) from error
        try:
            yield DataDir(data_dir, snap, wal, engine)
        finally:
            engine.close()
    finally:
        lock.release()
