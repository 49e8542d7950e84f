"""Work on the data directory of a member that does not run."""

from __future__ import annotations

from pathlib import Path

from actors.backend.lmdb_engine import FILE_NAME, LMDBEngine, NotOurDatabase, check_file
from actors.wal.disk import Disk


def defragment(data_dir: str, disk: Disk) -> None:
    """Give back the space of what was compacted.

    Raises:
        DataDirLocked: a member runs on it.
        NotOurDatabase: it has no database of ours.
        OSError: it cannot be read or written.
    """
    snap = Path(data_dir, "member", "snap")
    database = snap / FILE_NAME
    if not database.stat().st_size:  # as the engine would be content with, and begin anew
        raise NotOurDatabase(f"{database} is empty")
    check_file(database)
    lock = disk.lock(f"{data_dir}/member/lock")
    try:
        engine = LMDBEngine(snap)
        try:
            engine.defragment()
            engine.swap()
        finally:
            engine.close()
    finally:
        lock.release()
