"""migrate: a member's data, of Go's etcd for trioetcd and the other way.

Both ways go by the database, as a snapshot does, so the keys, revisions, leases, users and roles
are the same, and the cluster is a new one.
"""

from __future__ import annotations

import sys
from hashlib import sha256

from actors.backend.buckets import CONSISTENT_INDEX, META
from actors.backend.lmdb_engine import LMDBEngine
from actors.bolt.contents import buckets_of
from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import SnapshotRefused, open_database
from actors.bolt.writer import BoltWriter
from actors.cluster.initial import BadInitialCluster
from actors.cluster.urls import BadURL
from actors.wal.scan import LogCorrupt
from actors.wal.segments import SegmentsBroken
from trioetcd.cli.logs import LineLog
from trioetcd.cli.pflag import Flag
from trioetcd.node.restore import Restoration, restore
from trioetcd.util.command import Command, Failed, Invocation
from trioetcd.util.commands.snapshot import RESTORE
from trioetcd.util.data_dir import DataDir, is_go, opened, places
from trioetcd.util.log_text import lines
from wire.network import reason
from wire.version import STORAGE_VERSION

_CLUSTER = ("name", "initial-cluster", "initial-cluster-token", "initial-advertise-peer-urls")
MIGRATE = {
    "data-dir": Flag("", "Required. The data directory of a member that does not run"),
    "output": Flag("", "A new data directory, of Go's data; a snapshot file, of trioetcd's"),
    "target-version": Flag("", "Taken for etcdutl's sake: data are the same for all releases"),
    "force": Flag(False, "Taken for etcdutl's sake"),
    **{name: RESTORE[name] for name in _CLUSTER},
}


def migrate(said: Invocation) -> None:
    said.no_arguments("migrate command takes no arguments")
    path, output = said.needed("data-dir"), said.parsed.text("output")
    if is_go(said.disk, path):
        _from_go(said, path, said.needed("output"))
        return
    with opened(said.disk, path) as found:
        _must_be_whole(said, found)
        if output:
            _to_go(said, found, output)
        else:
            said.print(f"storage version {STORAGE_VERSION} needs no migration\n")


def _from_go(said: Invocation, path: str, output: str) -> None:
    snap, wal = places(path)
    database = f"{snap}/db"
    parsed = said.parsed
    task = Restoration(
        snapshot=database,
        data_dir=output,
        wal_dir=f"{output}/member/wal",
        name=parsed.text("name"),
        initial_cluster=parsed.text("initial-cluster"),
        cluster_token=parsed.text("initial-cluster-token"),
        peer_urls=tuple(parsed.text("initial-advertise-peer-urls").split(",")),
        skip_hash_check=True,
    )
    try:
        source = said.disk.open(database)
        try:
            meta = dict(open_database(source).rows(META.encode()))
        finally:
            source.close()
        _check_whole(said, wal, int.from_bytes(meta.get(CONSISTENT_INDEX, b""), "big"))
        restore(task, said.disk, LMDBEngine, LineLog([sys.stderr], as_json=False))
    except (BadURL, BadInitialCluster, BoltCorrupt, SnapshotRefused) as error:
        raise Failed(str(error)) from error
    except OSError as error:
        raise Failed(f"open {error.filename or database}: {reason(error)}") from error
    said.print(f"{output} is ready for `trioetcd serve --data-dir {output}`\n")


def _must_be_whole(said: Invocation, found: DataDir) -> None:
    applied = int.from_bytes(found.engine.get(META, CONSISTENT_INDEX) or b"", "big")
    _check_whole(said, found.wal, applied)


def _check_whole(said: Invocation, wal: str, applied: int) -> None:
    """What is committed must be in the database: the log itself is not taken along.

    Raises Failed.
    """
    commit = 0
    try:
        for line in lines(said.disk, wal):
            if line.kind == "state" and line.details is not None:
                commit = line.details["commit"]
    except (LogCorrupt, SegmentsBroken) as error:
        raise Failed(str(error)) from error
    if commit > applied:
        raise Failed(
            f"the log is committed up to {commit}, and the database holds it up to {applied}: "
            "start the member once more and stop it with SIGTERM, or take a snapshot of it"
        )


def _to_go(said: Invocation, found: DataDir, output: str) -> None:
    """A snapshot file, which etcdutl restores."""
    snapshot = found.engine.snapshot()
    try:
        writer = BoltWriter(lambda: buckets_of(snapshot, STORAGE_VERSION))
        for _ in writer.layout():
            pass
        digest = sha256()
        file = said.disk.create(f"{output}.part", 0)
        try:
            for page in writer.pages():
                digest.update(page)
                file.write(page)
            file.write(digest.digest())
            file.datasync()
        finally:
            file.close()
        said.disk.rename(f"{output}.part", output)
    except OSError as error:
        raise Failed(f"open {error.filename or output}: {reason(error)}") from error
    finally:
        snapshot.close()
    said.print(f"{output} is ready for `etcdutl snapshot restore {output}`\n")


COMMANDS = [
    Command(
        ("migrate",),
        "Takes over the data of a member of Go's etcd, or gives it trioetcd's",
        migrate,
        "--data-dir {data dir} --output {data dir or file}",
        MIGRATE,
    )
]
