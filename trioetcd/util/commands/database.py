"""defrag, hashkv.

Source: etcd etcdutl/etcdutl/defrag_command.go, hashkv_command.go, printer.go.
"""

from __future__ import annotations

import json

from actors.backend.backend import Backend
from actors.backend.engine import Engine, MemoryEngine
from actors.bolt.contents import rows_for_new_cluster
from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import open_database
from actors.lease.table import LeaseTable
from actors.mvcc.hash import KVHash
from actors.mvcc.store import Store
from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import Table, show_size
from trioetcd.util.command import BAD_FEATURE, Command, Failed, Invocation
from trioetcd.util.data_dir import opened
from wire.errors import EtcdError
from wire.network import reason

MIN_TTL = 1  # of no importance to a store that is only read


def defrag(said: Invocation) -> None:
    """The database is copied without what is free, and the copy takes its place."""
    said.no_arguments("defrag command takes no arguments")
    with opened(said.disk, said.needed("data-dir")) as found:
        before = found.engine.size()
        try:
            found.engine.defragment()
            found.engine.swap()
        except OSError as error:
            raise Failed(f"Failed to defragment etcd data[{found.path}] ({error})") from error
        after = found.engine.size()
    said.print(
        f"Finished defragmenting etcd data[{said.parsed.text('data-dir')}]: "
        f"{show_size(before)} before, {show_size(after)} now\n"
    )


def hashkv(said: Invocation) -> None:
    path = said.parsed.text("data-dir")
    if path:
        said.no_arguments("hashkv takes a file or --data-dir, not both")
        with opened(said.disk, path) as found:
            _show(said, _hash(found.engine, said.parsed.number("rev")))
        return
    path = said.only_argument("hashkv requires exactly one argument")
    try:
        source = said.disk.open(path)
    except OSError as error:
        raise Failed(f"stat {path}: {reason(error)}") from error
    try:
        engine = MemoryEngine()
        engine.begin()
        for bucket, row in rows_for_new_cluster(open_database(source)):
            engine.append(bucket, [row])
        engine.commit()
        _show(said, _hash(engine, said.parsed.number("rev")))
    except BoltCorrupt as error:
        raise Failed(str(error)) from error
    finally:
        source.close()


def _hash(engine: Engine, revision: int) -> KVHash:
    """Raises Failed."""
    rows = Backend(engine)
    store = Store(rows, LeaseTable(rows, min_ttl=MIN_TTL))
    store.restore()
    try:
        found = KVHash(store, revision)
    except EtcdError as error:
        raise Failed(str(error).removeprefix("etcdserver: ")) from error
    while found.step():
        pass
    return found


def _show(said: Invocation, found: KVHash) -> None:
    names = ("hash", "hashRevision", "compactRevision")
    values = (found.value, found.revision, found.compact_revision)
    match said.style:
        case "json":
            text = json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":")) + "\n"
        case "fields":
            labels = ("Hash", "Hash revision", "Compact revision")
            text = "".join(
                f'"{label}" : {value}\n' for label, value in zip(labels, values, strict=True)
            )
        case "table":
            columns = ("hash", "hash revision", "compact revision")
            text = Table(columns, [tuple(map(str, values))]).draw()
        case "simple":
            text = ", ".join(map(str, values)) + "\n"
        case style:
            raise Failed(f"{style} not supported as output format", BAD_FEATURE)
    said.print(text)


COMMANDS = [
    Command(
        ("defrag",),
        "Defragments the database of a member that does not run",
        defrag,
        "--data-dir {data dir}",
        {"data-dir": Flag("", "Required. The data directory of the member")},
    ),
    Command(
        ("hashkv",),
        "Prints the KV history hash of a given file, or of a data directory",
        hashkv,
        "<filename>",
        {
            "rev": Flag(0, "maximum revision to hash (default: latest revision)"),
            "data-dir": Flag("", "A data directory of trioetcd, in place of a file"),
        },
    ),
]
