"""Snapshots go from trioetcd to Go's etcd and back; every tool says the same of them."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.interop.etcd_process import program
from tests.interop.large_snapshots import round_trip
from tests.interop.processes import running
from tests.interop.snapshots import (
    KINDS,
    PEER_URL,
    UTIL,
    fill,
    restore,
    restored,
    run,
    save,
    state_of,
)

FLIPS = 12  # in whole processes; a thousand in tests/bolt


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_begins_a_cluster_of_any_kind_with_the_same_state(kind: str, tmp_path: Path):
    with running(kind, tmp_path / "first", peer_url=PEER_URL) as server:
        fill(server)
        expected = state_of(server)
        snapshot = save(server, tmp_path / "snapshot")
        other = save(server, tmp_path / "other", version="3.5")

    for target in KINDS:
        with restored(target, snapshot, tmp_path / target) as server:
            assert state_of(server) == expected, target
            server.etcdctl("put", "key2", "after")
            server.restart()
            assert server.etcdctl("get", "key2").stdout == "key2\nafter\n"
    with restored("trioetcd", other, tmp_path / "again") as server:
        assert state_of(server) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_tool_says_the_same_of_a_snapshot(kind: str, tmp_path: Path):
    with running(kind, tmp_path / "first") as server:
        fill(server)
        alive = json.loads(server.etcdctl("get", "", "--prefix", "-w", "json").stdout)["count"]
        path = str(save(server, tmp_path / "snapshot"))

    tools = ([program("3.4", "etcdctl")], [program("3.5", "etcdctl")], [program("3.5", "etcdutl")])
    theirs = [
        json.loads(run(*tool, "snapshot", "status", path, "-w", "json").stdout) for tool in tools
    ]
    ours = json.loads(run(*UTIL, "snapshot", "status", path, "-w", "json").stdout)

    assert theirs[0] == theirs[1] == theirs[2]
    for name in ("hash", "revision", "totalSize"):
        assert ours[name] == theirs[0][name], name
    # 3.6 counts keys that are alive, and names the release whose schema it is.
    assert ours["totalKey"] == alive
    assert ours["version"] == ("3.6.0" if kind == "trioetcd" else "")
    shown = {
        style: (
            run(*UTIL, "snapshot", "status", path, "-w", style).stdout.splitlines(),
            run(*tools[2], "snapshot", "status", path, "-w", style).stdout.splitlines(),
        )
        for style in ("simple", "table", "fields")
    }
    ours_simple, theirs_simple = (lines[0].split(", ") for lines in shown["simple"])
    assert ours_simple[:2] + ours_simple[3:4] == theirs_simple[:2] + theirs_simple[3:]
    assert [line[:24] for line in shown["table"][0]] == [line[:24] for line in shown["table"][1]]
    assert [line.split()[0] for line in shown["fields"][0]][:4] == [
        line.split()[0] for line in shown["fields"][1]
    ]


def test_revisions_can_be_bumped_so_that_clients_see_none_twice(tmp_path: Path):
    with running("trioetcd", tmp_path / "first") as server:
        fill(server)
        keys = state_of(server)["keys"]
        revision = state_of(server)["revision"]
        snapshot = save(server, tmp_path / "snapshot")
    assert isinstance(revision, int)
    flags = ("--bump-revision=1000000", "--mark-compacted")

    with restored("trioetcd", snapshot, tmp_path / "bumped", *flags) as server:
        bumped = revision + 1_000_000
        found = json.loads(server.etcdctl("get", "", "--prefix", "-w", "json").stdout)
        assert found["kvs"] == keys
        assert found["header"]["revision"] == bumped
        refused = server.etcdctl("get", "key2", f"--rev={bumped - 1}", check=False)
        assert "required revision has been compacted" in refused.stderr
        put = json.loads(server.etcdctl("put", "key2", "new", "-w", "json").stdout)
        assert put["header"]["revision"] == bumped + 1
        server.restart()
        again = save(server, tmp_path / "again")

    with restored("etcd-3.5.1", again, tmp_path / "go") as server:
        found = json.loads(server.etcdctl("get", "key2", "-w", "json").stdout)
        assert found["header"]["revision"] == bumped + 1


def test_members_of_a_new_cluster_begin_from_one_snapshot(tmp_path: Path):
    """The same file, the same initial cluster: the same cluster and member ids."""
    with running("trioetcd", tmp_path / "first") as server:
        server.etcdctl("put", "a", "1")
        snapshot = save(server, tmp_path / "snapshot")
    logs = []
    for name in ("one", "two"):
        run(
            *UTIL,
            *("snapshot", "restore", str(snapshot), f"--name={name}"),
            "--initial-cluster=one=http://127.0.0.1:1,two=http://127.0.0.1:2",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{'12'[name == 'two']}",
            f"--data-dir={tmp_path / name}",
            f"--wal-dir={tmp_path / name}-wal",
        )
        logs.append(sorted(path.name for path in (tmp_path / f"{name}-wal").iterdir()))
    assert logs[0] == logs[1] == ["0000000000000000-0000000000000000.wal"]


def test_a_file_that_is_not_what_it_was_is_refused_and_nothing_is_made(tmp_path: Path):
    with running("etcd-3.5.1", tmp_path / "first") as server:
        fill(server)
        snapshot = save(server, tmp_path / "snapshot")
    whole = snapshot.read_bytes()
    rng = random.Random(3)
    for _ in range(FLIPS):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (tmp_path / "flipped").write_bytes(content)
        with pytest.raises(CalledProcessError) as caught:
            restore("trioetcd", tmp_path / "flipped", tmp_path / "data")
        assert caught.value.stderr.splitlines()[-1].startswith("Error: expected sha256 [")
        assert not (tmp_path / "data").exists()

    database = whole[:-32]
    (tmp_path / "bare").write_bytes(database)
    with pytest.raises(CalledProcessError) as caught:
        restore("trioetcd", tmp_path / "bare", tmp_path / "data")
    assert caught.value.stderr.endswith(
        "Error: snapshot missing hash but --skip-hash-check=false\n"
    )
    restore("trioetcd", tmp_path / "bare", tmp_path / "data", "--skip-hash-check")
    broken = database[: 2 * 4096] + bytes(len(database) - 2 * 4096)
    (tmp_path / "broken").write_bytes(broken + sha256(broken).digest())
    with pytest.raises(CalledProcessError) as caught:
        restore("trioetcd", tmp_path / "broken", tmp_path / "other")
    assert "Error: page " in caught.value.stderr
    assert "Traceback" not in caught.value.stderr
    assert not (tmp_path / "other").exists()


def test_the_database_of_a_data_directory_is_taken_too(tmp_path: Path):
    """With free pages, and without a digest."""
    with running("etcd-3.4.23", tmp_path / "first", peer_url=PEER_URL) as server:
        fill(server)
        for number in range(0, 40, 2):
            server.etcdctl("put", f"large{number}", "x" * 20_000)
        server.etcdctl("del", "large0", "large3")
        expected = state_of(server)
        server.stop()
        database = server.data_dir / "member" / "snap" / "db"

    with restored("trioetcd", database, tmp_path / "again", "--skip-hash-check") as server:
        assert state_of(server) == expected


@pytest.mark.parametrize("kind", ["trioetcd", "etcd-3.4.23"])
def test_many_keys_are_the_same_everywhere_and_change_alike(kind: str, tmp_path: Path):
    """The short form of scripts/snapshots.py."""
    round_trip(kind, 3000, 4, tmp_path, print)
