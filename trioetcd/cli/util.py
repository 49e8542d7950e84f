"""`trioetcd util`: work on files, without a server.  Commands, flags and words are etcdutl's.

Source: etcd etcdutl/ctl.go, etcdutl/etcdutl/snapshot_command.go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from actors.backend.lmdb_engine import LMDBEngine
from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import SnapshotRefused, status_of
from actors.cluster.initial import BadInitialCluster
from actors.cluster.urls import BadURL
from actors.wal.disk import Disk, RealDisk
from trioetcd.cli.logs import LineLog
from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, Parsed, parse_flags, usage
from trioetcd.cli.shown import FORMATS
from trioetcd.cli.status_output import UnsupportedFormat, show_status
from trioetcd.node.restore import Restoration, restore
from wire.network import reason

ERROR, BAD_FEATURE, BAD_ARGUMENTS = 1, 4, 128  # exit statuses; cobrautl's
GLOBAL = {
    "write-out": Flag(
        "simple", "set the output format (fields, json, protobuf, simple, table)", short="w"
    )
}
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
USAGE = """Usage:
  trioetcd util [command]

Available Commands:
  snapshot status    Gets backend snapshot status of a given file
  snapshot restore   Restores an etcd member snapshot to a data directory of trioetcd

Global Flags:
"""


class Failed(Exception):
    """The command cannot do what it was told: what to say, and the exit status."""

    def __init__(self, message: str, status: int = ERROR) -> None:
        super().__init__(message)
        self.status = status


def util(words: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    match _command(words):
        case ["snapshot", "status"]:
            return _run("snapshot status <filename>", {}, words, status_command)
        case ["snapshot", "restore"]:
            how = "snapshot restore <filename> --data-dir {output dir} [options]"
            return _run(how, RESTORE, words, restore_command)
        case [] | ["snapshot"] | ["help", *_]:
            sys.stdout.write(USAGE + usage(GLOBAL))
            return 0
        case ["snapshot", unknown] | [unknown, *_]:
            sys.stderr.write(
                f'Error: unknown command "{unknown}" for "trioetcd util"\n'
                "Run 'trioetcd util --help' for usage.\n"
            )
    return ERROR


def _command(words: Sequence[str]) -> list[str]:
    """The first two words that are neither flags nor their values."""
    valued = {f"--{name}" for name, flag in (GLOBAL | RESTORE).items() if flag.type} | {"-w"}
    before = ["", *words]
    return [
        word
        for word, last in zip(words, before, strict=False)
        if not word.startswith("-") and last not in valued
    ][:2]


def _run(
    how: str,
    flags: dict[str, Flag],
    words: Sequence[str],
    command: Callable[[Parsed, list[str], Disk], None],
) -> int:
    own = f"Flags:\n{usage(flags)}\n" if flags else ""
    text = f"Usage:\n  trioetcd util {how} [flags]\n\n{own}Global Flags:\n{usage(GLOBAL)}"
    try:
        parsed = parse_flags(GLOBAL | flags, words)
        command(parsed, list(parsed.all_arguments[2:]), RealDisk())
    except HelpAsked:
        sys.stdout.write(text)
        return 0
    except BadFlags as error:
        sys.stderr.write(f"Error: {error}\n{text}\n")
        return ERROR
    except Failed as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.status
    return 0


def status_command(parsed: Parsed, arguments: list[str], disk: Disk) -> None:
    """Raises Failed."""
    if len(arguments) != 1:
        raise Failed("snapshot status requires exactly one argument", BAD_ARGUMENTS)
    if parsed.text("write-out") not in FORMATS:
        raise Failed("unsupported output format", BAD_FEATURE)
    try:
        source = disk.open(arguments[0])
        try:
            status = status_of(source)
        finally:
            source.close()
        sys.stdout.write(show_status(status, parsed.text("write-out")))
    except UnsupportedFormat as error:
        raise Failed(str(error), BAD_FEATURE) from error
    except (BoltCorrupt, SnapshotRefused) as error:
        raise Failed(str(error)) from error
    except OSError as error:
        raise Failed(f"stat {arguments[0]}: {reason(error)}") from error


def restore_command(parsed: Parsed, arguments: list[str], disk: Disk) -> None:
    """Raises Failed."""
    if len(arguments) != 1:
        raise Failed("snapshot restore requires exactly one argument", BAD_ARGUMENTS)
    bump = parsed.number("bump-revision")
    if bool(bump) != parsed.is_on("mark-compacted"):
        raise Failed("--mark-compacted required if --revision-bump > 0", BAD_ARGUMENTS)
    name = parsed.text("name")
    data_dir = parsed.text("data-dir") or f"{name}.etcd"
    task = Restoration(
        snapshot=arguments[0],
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
        restore(task, disk, LMDBEngine, LineLog([sys.stderr], as_json=False))
    except (BadURL, BadInitialCluster, BoltCorrupt, SnapshotRefused) as error:
        raise Failed(str(error)) from error
    except OSError as error:
        where = error.filename or arguments[0]
        raise Failed(f"open {where}: {reason(error)}") from error
