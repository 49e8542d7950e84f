"""snapshot save, and status and restore, which are `trioetcd util`'s now.

Source: etcd etcdctl/ctlv3/command/snapshot_command.go, client/v3/snapshot/v3_snapshot.go.
"""

from __future__ import annotations

import trio

from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import SnapshotRefused, Status, status_of
from actors.wal.disk import RealDisk
from trioetcd.cli.shown import Table, show_size
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.errors import CommandFailed, Exit, words
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import lines
from trioetcd.ctl.progress import Bar
from trioetcd.ctl.session import TIMED_OUT, check_style
from trioetcd.util import command as offline
from trioetcd.util.commands.snapshot import RESTORE, restore_snapshot
from wire.errors import EtcdError
from wire.network import reason

_COLUMNS = ("hash", "revision", "total keys", "total size")  # etcdctl's, to 3.5


# save


async def save(said: Invocation) -> None:
    """Takes as long as it takes, unless --command-timeout is given."""
    path = said.only_argument("snapshot save expects one argument")
    session = said.session
    if len(session.endpoints) != 1:
        raise CommandFailed(
            "snapshot must be requested to one selected node, not multiple "
            f"[{' '.join(session.endpoints)}]",
            Exit.INTERRUPTED,
        )
    client = await session.client()
    limit = trio.CancelScope()
    if "command-timeout" in session.parsed.given:
        limit = trio.move_on_after(session.parsed.seconds("command-timeout"))
    version = ""
    try:
        with Bar(session.console, 0) as bar, limit:
            version = (await client.maintenance.save_snapshot(path, progress=bar.reach)).version
    except EtcdError as error:
        raise CommandFailed(words(error), Exit.INTERRUPTED) from error
    except OSError as error:
        part = f"{path}.part"
        why = f"could not open {part} (open {part}: {reason(error)})"
        raise CommandFailed(why, Exit.INTERRUPTED) from error
    if limit.cancelled_caught:
        raise CommandFailed(TIMED_OUT, Exit.INTERRUPTED)
    session.console.print(f"Snapshot saved at {path}\n")
    if version:
        session.console.print(f"Server version {version}\n")


# status


async def status(said: Invocation) -> None:
    _deprecated(said, "status")
    path = said.only_argument("snapshot status requires exactly one argument")
    check_style(said.parsed)
    try:
        source = RealDisk().open(path)
        try:
            found = status_of(source)
        finally:
            source.close()
    except (BoltCorrupt, SnapshotRefused) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        step = "stat" if isinstance(error, FileNotFoundError) else "open"
        raise CommandFailed(f"{step} {path}: {reason(error)}") from error
    said.session.show(_shown(found))


def _shown(status: Status) -> Answer:
    """As etcdctl to 3.5: every row is a key, and the storage has no version."""
    row = (f"{status.hash:x}", str(status.revision), str(status.rows), show_size(status.size))
    rows = [
        ("Hash", status.hash),
        ("Revision", status.revision),
        ("Keys", status.rows),
        ("Size", status.size),
    ]
    return Answer(
        None,
        ", ".join(row) + "\n",
        fields=lambda: lines(rows),
        json=lambda: {
            "hash": status.hash,
            "revision": status.revision,
            "totalKey": status.rows,
            "totalSize": status.size,
        },
        table=Table(_COLUMNS, [row]),
        is_message=False,
    )


# restore


async def restore(said: Invocation) -> None:
    _deprecated(said, "restore")
    path = said.only_argument("snapshot restore requires exactly one argument")
    try:
        restore_snapshot(offline.Invocation(said.parsed, [path], RealDisk()))
    except offline.Failed as failed:
        raise CommandFailed(str(failed), failed.status) from failed


def _deprecated(said: Invocation, command: str) -> None:
    said.session.console.complain(f"Deprecated: Use `trioetcd util snapshot {command}` instead.\n")


COMMANDS = [
    Command(("snapshot",), "Manages etcd node snapshots", usage="<subcommand>"),
    Command(
        ("snapshot", "restore"),
        "Restores an etcd member snapshot to an etcd directory",
        restore,
        "<filename> [options]",
        "The same as `trioetcd util snapshot restore`.",
        RESTORE,
        is_offline=True,
    ),
    Command(
        ("snapshot", "save"),
        "Stores an etcd node backend snapshot to a given file",
        save,
        "<filename>",
    ),
    Command(
        ("snapshot", "status"),
        "[deprecated] Gets backend snapshot status of a given file",
        status,
        "<filename>",
        "A line has hash, revision, total keys and total size; every row of the database counts.\n"
        "`trioetcd util snapshot status` counts keys, and shows the storage's version, too.",
        is_offline=True,
    ),
]
