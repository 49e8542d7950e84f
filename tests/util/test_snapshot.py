"""`trioetcd util snapshot`: etcdutl's flags and words, and directories that members start from."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from actors.backend.lmdb_engine import LMDBEngine
from actors.bolt.contents import buckets_of
from actors.bolt.writer import BoltWriter
from actors.mvcc.keyvalue import encode_put
from actors.mvcc.revision import row_key
from actors.wal.disk import RealDisk
from tests.node.caller import Caller
from trioetcd.api.snapshot import PATH
from trioetcd.cli.main import main
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings
from trioetcd.util.status_output import show_size
from wire.pb import etcdserverpb

PEER_URL = "http://localhost:2380"  # of etcdutl's default initial cluster


@pytest.fixture
async def snapshot(tmp_path: Path) -> Path:
    """Of a member with ten keys, the last revision being 11."""
    async with open_node(NodeSettings()) as node:
        caller = Caller(node)
        for number in range(10):
            await caller.put(b"key%d" % number)
        messages = (await caller.stream(PATH, etcdserverpb.SnapshotRequest())).sent
    blobs = [etcdserverpb.SnapshotResponse.FromString(message).blob for message in messages]
    path = tmp_path / "snapshot"
    path.write_bytes(b"".join(blobs))
    return path


async def test_a_member_starts_from_a_restored_directory(snapshot: Path, tmp_path: Path):
    data = tmp_path / "data"
    assert main(["util", "snapshot", "restore", str(snapshot), f"--data-dir={data}"]) == 0

    async with open_node(NodeSettings(data_dir=data)) as node:
        assert [member.peer_urls for member in node.parts.membership.all] == [(PEER_URL,)]
        found = await Caller(node).get(b"key", b"kez")
        assert (found.count, found.header.revision) == (10, 11)


async def test_a_bumped_revision_is_where_the_store_goes_on(snapshot: Path, tmp_path: Path):
    data = tmp_path / "data"
    words = ["util", "snapshot", "restore", str(snapshot), f"--data-dir={data}"]
    assert main([*words, "--bump-revision", "500", "--mark-compacted"]) == 0

    async with open_node(NodeSettings(data_dir=data)) as node:
        caller = Caller(node)
        found = await caller.get(b"key", b"kez")
        assert (found.count, found.header.revision) == (10, 511)
        assert (await caller.put(b"key0")).header.revision == 512


async def test_the_status_is_shown_in_etcdutls_formats(
    snapshot: Path, capsys: pytest.CaptureFixture[str]
):
    path = str(snapshot)
    for words in (
        ["-w", "json", "snapshot", "status", path],
        ["snapshot", "status", path, "-wjson"],
    ):
        assert main(["util", *words]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["revision"] == 11
        assert shown["totalKey"] == 10
    assert main(["util", "snapshot", "status", path]) == 0
    assert capsys.readouterr().out == f"{shown['hash']:x}, 11, 10, 16 kB, 3.6.0\n"
    assert main(["util", "snapshot", "status", path, "--write-out=table"]) == 0
    assert "|   HASH   | REVISION | TOTAL KEYS | TOTAL SIZE | VERSION |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("snapshot status", 128, "snapshot status requires exactly one argument"),
        ("snapshot status a b", 128, "snapshot status requires exactly one argument"),
        ("snapshot status /none", 1, "stat /none: no such file or directory"),
        ("snapshot status FILE -w xml", 4, "unsupported output format"),
        ("snapshot status FILE -w protobuf", 4, "protobuf not supported as output format"),
        ("snapshot restore", 128, "snapshot restore requires exactly one argument"),
        ("snapshot restore /none", 1, "open /none: no such file or directory"),
        (
            "snapshot restore FILE --bump-revision=1",
            128,
            "--mark-compacted required if --revision-bump > 0",
        ),
        (
            "snapshot restore FILE --mark-compacted",
            128,
            "--mark-compacted required if --revision-bump > 0",
        ),
        (
            f"snapshot restore FILE --mark-compacted --bump-revision={(1 << 63) - 1}",
            1,
            "revision 11 cannot be bumped by 9223372036854775807",
        ),
        ("snapshot restore FILE --data-dir=.", 1, 'data-dir "." not empty or could not be read'),
        ("snapshot restore FILE --wal-dir=/tmp", 1, 'wal-dir "/tmp" exists'),
        (
            "snapshot restore FILE --name=other",
            1,
            'couldn\'t find local name "other" in the initial cluster configuration',
        ),
        (
            "snapshot restore FILE --initial-advertise-peer-urls=localhost",
            1,
            "URL scheme must be http, https, unix, or unixs: localhost",
        ),
        ("snapshot restore --foo", 1, "unknown flag: --foo"),
        ("snapshot restore -x", 1, "unknown shorthand flag: 'x' in -x"),
        ("snapshot restore FILE --name", 1, "flag needs an argument: --name"),
        ("snapshot forget", 1, 'unknown command "forget" for "trioetcd util"'),
    ],
)
async def test_mistakes_get_etcdutls_words(
    words: str,
    status: int,
    message: str,
    snapshot: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(snapshot.parent)
    assert main(["util", *words.replace("FILE", str(snapshot)).split()]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert errors == [f"Error: {message}"]
    assert [path.name for path in snapshot.parent.iterdir()] == ["snapshot"]


async def test_help_shows_the_flags(capsys: pytest.CaptureFixture[str]):
    assert main(["util", "snapshot", "restore", "--help"]) == 0
    out = capsys.readouterr().out
    assert "\n      --name string                          Human-readable name" in out
    assert main(["util"]) == 0
    assert "snapshot restore" in capsys.readouterr().out


def test_a_restored_database_holds_what_was_in_the_file(tmp_path: Path):
    """Also rows in several transactions."""
    directory = tmp_path / "first"
    directory.mkdir()
    engine = LMDBEngine(directory)
    rows = [(row_key(at, 0), encode_put(b"%d" % at, b"", at, at, 1, 0)) for at in range(2, 25_000)]
    engine.begin()
    engine.append("key", rows)
    engine.commit()
    snapshot = engine.snapshot()
    writer = BoltWriter(lambda: buckets_of(snapshot, "3.6.0"))
    for _ in writer.layout():
        pass
    database = b"".join(writer.pages())
    snapshot.close()
    engine.close()
    path = tmp_path / "snapshot"
    path.write_bytes(database + sha256(database).digest())

    words = ["util", "snapshot", "restore", str(path), f"--data-dir={tmp_path / 'data'}"]
    assert main(words) == 0

    restored = LMDBEngine(tmp_path / "data/member/snap")
    restored.renew()
    assert restored.scan("key", b"", None, 1 << 30) == rows
    restored.close()
    assert RealDisk().list(str(tmp_path / "data/member/wal")) != []


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (9, "9 B"), (99, "99 B"), (1000, "1.0 kB"), (1549, "1.5 kB"), (9949, "9.9 kB"),
     (16384, "16 kB"), (999_999, "1000 kB"), (45_000_000, "45 MB")],
)  # fmt: skip
def test_sizes_are_shown_as_go_humanize_does(size: int, text: str):
    assert show_size(size) == text
