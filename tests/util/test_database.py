"""`trioetcd util defrag`, `hashkv`, `migrate` and `wal dump`, beside etcd's own tools."""

from __future__ import annotations

import json
import subprocess

import pytest
import trio

from tests.interop.etcd_process import program
from tests.interop.processes import running
from tests.util.conftest import live
from trioetcd import NodeSettings, open_client, open_node


@pytest.fixture
async def life(tmp_path):
    """A data directory; its revision and hash."""
    revision, hashed = await live(tmp_path / "data")
    return tmp_path / "data", revision, hashed


def etcdutl(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("3.5", "etcdutl"), *map(str, words)], capture_output=True, text=True, timeout=60
    )


async def test_a_directory_is_defragmented_and_goes_on(run, life):
    data_dir, revision, _ = life
    done = run("defrag", "--data-dir", data_dir)
    assert done.status == 0
    assert "Finished defragmenting" in done.out
    async with open_node(NodeSettings(data_dir=data_dir)) as node, node.client() as client:
        assert (await client.maintenance.status()).revision == revision
        assert "stop the member first" in run("defrag", "--data-dir", data_dir).err
    assert run("defrag").err == 'Error: required flag(s) "data-dir" not set\n'


async def test_keys_are_hashed_as_the_member_hashes_them(run, life, tmp_path):
    data_dir, _, hashed = life
    done = run("hashkv", "--data-dir", data_dir, "-w", "json")
    expected = {
        "hash": hashed.hash,
        "hashRevision": hashed.revision,
        "compactRevision": hashed.compact_revision,
    }
    assert done.json == expected
    async with open_node(NodeSettings(data_dir=data_dir)) as node, node.client() as client:
        await client.maintenance.save_snapshot(tmp_path / "backup.db")
        earlier = await client.maintenance.hash_keys(hashed.revision - 3)
    assert run("hashkv", tmp_path / "backup.db", "-w", "json").json == expected
    simple = run("hashkv", tmp_path / "backup.db", "--rev", hashed.revision - 3).out
    assert simple.split(", ")[0] == str(earlier.hash)
    assert run("hashkv", tmp_path / "backup.db", "--rev", 1).status == 1
    assert "no such file" in run("hashkv", tmp_path / "none.db").err


def test_hashes_of_go_are_the_same(run, tmp_path):
    with running("etcd-3.5.1", tmp_path) as server:
        for number in range(30):
            server.etcdctl("put", f"k{number % 7}", str(number))
        server.etcdctl("compaction", "12", "--physical")
        shown = json.loads(server.etcdctl("endpoint", "hashkv", "-w", "json").stdout)
        server.etcdctl("snapshot", "save", str(tmp_path / "go.db"))
    done = run("hashkv", tmp_path / "go.db", "-w", "json")
    assert done.json["hash"] == shown[0]["HashKV"]["hash"]


async def test_data_go_to_etcd_and_come_back(run, life, tmp_path):
    """Keys, revisions, leases and users are the same in every house."""
    data_dir, revision, _ = life
    file, gone, back = tmp_path / "out.db", tmp_path / "go" / "data", tmp_path / "back"
    done = run("migrate", "--data-dir", data_dir, "--output", file)
    assert (done.status, done.err) == (0, "")
    restored = etcdutl("snapshot", "restore", file, "--data-dir", gone)
    assert restored.returncode == 0, restored.stderr
    with running("etcd-3.5.1", tmp_path / "go") as server:
        async with open_client(f"http://{server.address}") as client:
            seen = await everything_of(client)
        await trio.to_thread.run_sync(server.stop)
    assert seen[0] == revision
    done = run("migrate", "--data-dir", gone, "--output", back)
    assert done.status == 0, done.err
    async with open_node(NodeSettings(data_dir=back)) as node, node.client() as client:
        assert await everything_of(client) == seen


async def everything_of(client) -> tuple[object, ...]:
    status = await client.maintenance.status()
    listing = await client.get_prefix("")
    leases = sorted(await client.leases())
    users = await client.auth.users()
    permissions = await client.auth.permissions("reader")
    return (status.revision, listing.items, leases, users, permissions)


def test_a_log_ahead_of_its_database_is_not_taken_over(run, tmp_path):
    with running("etcd-3.5.1", tmp_path) as server:
        server.etcdctl("put", "a", "1")
        server.kill()  # before the database was written, which takes 100 ms
    done = run("migrate", "--data-dir", server.data_dir, "--output", tmp_path / "new")
    if done.status:
        assert "start the member once more" in done.err
    assert not (tmp_path / "new" / "member").exists() or done.status == 0


async def test_nothing_need_be_done_between_releases(run, life):
    data_dir = life[0]
    done = run("migrate", "--data-dir", data_dir, "--target-version", "3.6")
    assert (done.status, done.out) == (0, "storage version 3.6.0 needs no migration\n")


# -- The log


async def test_a_log_is_shown_without_values_and_secrets(run, life):
    data_dir = life[0]
    done = run("wal", "dump", data_dir)
    assert done.status == 0, done.err
    for words in (
        'put            key="a/0" value="(9 bytes)"',
        "lease_grant",
        "conf change",
        "txn",
    ):
        assert words in done.out, words
    for secret in ("value 0 1", "secret-password", "$2"):
        assert secret not in done.out, secret
    assert 'value="value 0 1"' in run("wal", "dump", data_dir, "--values").out
    rows = [
        json.loads(line) for line in run("wal", "dump", data_dir, "-w", "json").out.splitlines()
    ]
    assert rows[0]["type"] == "crc"
    entries = [row for row in rows if row["type"] == "entry"]
    assert [row["index"] for row in entries] == list(range(1, len(entries) + 1))
    wal = data_dir / "member" / "wal"
    chosen = run(
        *("wal", "dump", wal, "--type", "lease_grant,compaction", "--start-index", "3"),
        *("-w", "json"),
    )
    shown = [json.loads(line)["request"] for line in chosen.out.splitlines()]
    assert sorted(set(shown)) == ["compaction", "lease_grant"]


def test_logs_of_go_are_shown_too(run, tmp_path):
    with running("etcd-3.5.1", tmp_path) as server:
        server.etcdctl("put", "greeting", "hello")
        server.etcdctl("lease", "grant", "100")
    done = run("wal", "dump", server.data_dir)
    assert done.status == 0, done.err
    assert 'key="greeting" value="(5 bytes)"' in done.out
    assert "lease_grant" in done.out


async def test_a_broken_record_is_named_and_a_torn_end_is_none(run, life, tmp_path):
    [segment] = (life[0] / "member" / "wal").glob("*.wal")
    whole = segment.read_bytes()
    end = len(whole.rstrip(b"\0"))
    segment.write_bytes(whole[: end - 10])
    assert "torn end" in run("wal", "dump", life[0]).out
    broken = bytearray(whole)
    broken[600] ^= 4
    segment.write_bytes(broken)
    done = run("wal", "dump", life[0])
    assert done.status == 1
    assert "at offset" in done.err
    assert segment.name in done.err
    assert "no log in" in run("wal", "dump", tmp_path).err


def test_help_and_mistakes(run):
    shown = run("--help").out
    for name in ("snapshot restore", "defrag", "hashkv", "migrate", "verify", "wal dump", "certs"):
        assert name in shown
    assert "Usage:\n  trioetcd util verify <data dir>" in run("verify", "--help").out
    assert run("nonsense").status == 1
    assert 'unknown command "x"' in run("wal", "x").err
    assert run("version").out.startswith("trioetcd util version: 3.")
    assert run("hashkv", "f", "-w", "poem").status == 4
