"""snapshot status, snapshot restore.

Source: etcd etcdutl/etcdutl/snapshot_command.go.
"""

from __future__ import annotations

import sys

from actors.backend.lmdb_engine import LMDBEngine
from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import SnapshotRefused, status_of
from actors.cluster.initial import BadInitialCluster
from actors.cluster.urls import BadURL
from trioetcd.cli.logs import LineLog
from trioetcd.cli.pflag import Flag
from trioetcd.node.restore import Restoration, restore
from trioetcd.util.command import BAD_ARGUMENTS, BAD_FEATURE, Command, Failed, Invocation
from trioetcd.util.status_output import UnsupportedFormat, show_status
from wire.network import reason

RESTORE = {
    "data-dir": Flag("", "Path to the output data directory"),
    "wal-dir": Flag("", "Path to the WAL directory (use --data-dir if none given)"),
    "initial-cluster": Flag(
        "default=http://localhost:2380", "Initial cluster configuration for restore bootstrap"
    ),
    "initial-cluster-token": Flag(
        "etcd-cluster", "Initial cluster token for the etcd cluster during restore bootstrap"
    ),
    "initial-advertise-peer-urls": Flag(
        "http://localhost:2380",
        "List of this member's peer URLs to advertise to the rest of the cluster",
    ),
    "name": Flag("default", "Human-readable name for this member"),
    "skip-hash-check": Flag(
        False, "Ignore snapshot integrity hash value (required if copied from data directory)"
    ),
    "initial-memory-map-size": Flag(0, "Taken for etcdutl's sake; the database here needs none"),
    "bump-revision": Flag(0, "How much to increase the latest revision after restore"),
    "mark-compacted": Flag(
        False,
        "Mark the latest revision after restore as the point of scheduled compaction "
        "(required if --bump-revision > 0, disallowed otherwise)",
    ),
}


def status(said: Invocation) -> None:
    path = said.only_argument("snapshot status requires exactly one argument")
    try:
        source = said.disk.open(path)
        try:
            found = status_of(source)
        finally:
            source.close()
        said.print(show_status(found, said.style))
    except UnsupportedFormat as error:
        raise Failed(str(error), BAD_FEATURE) from error
    except (BoltCorrupt, SnapshotRefused) as error:
        raise Failed(str(error)) from error
    except OSError as error:
        raise Failed(f"stat {path}: {reason(error)}") from error


def restore_snapshot(said: Invocation) -> None:
    path = said.only_argument("snapshot restore requires exactly one argument")
    parsed = said.parsed
    bump = parsed.number("bump-revision")
    if bool(bump) != parsed.is_on("mark-compacted"):
        raise Failed("--mark-compacted required if --revision-bump > 0", BAD_ARGUMENTS)
    name = parsed.text("name")
    data_dir = parsed.text("data-dir") or f"{name}.etcd"
    task = Restoration(
        snapshot=path,
        data_dir=data_dir,
        wal_dir=parsed.text("wal-dir") or f"{data_dir}/member/wal",
        name=name,
        initial_cluster=parsed.text("initial-cluster"),
        cluster_token=parsed.text("initial-cluster-token"),
        peer_urls=tuple(parsed.text("initial-advertise-peer-urls").split(",")),
        skip_hash_check=parsed.is_on("skip-hash-check"),
        bump_revision=bump,
    )
    try:
        restore(task, said.disk, LMDBEngine, LineLog([sys.stderr], as_json=False))
    except (BadURL, BadInitialCluster, BoltCorrupt, SnapshotRefused) as error:
        raise Failed(str(error)) from error
    except OSError as error:
        where = error.filename or path
        raise Failed(f"open {where}: {reason(error)}") from error


COMMANDS = [
    Command(
        ("snapshot", "status"),
        "Gets backend snapshot status of a given file",
        status,
        "<filename>",
    ),
    Command(
        ("snapshot", "restore"),
        "Restores an etcd member snapshot to a data directory of trioetcd",
        restore_snapshot,
        "<filename> --data-dir {output dir} [options]",
        RESTORE,
    ),
]
