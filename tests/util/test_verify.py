"""`trioetcd util verify`: what is whole is called so, and whatever is not is named."""

from __future__ import annotations

import pytest

from actors.backend.buckets import AUTH_USERS, KEY, LEASE, MEMBERS
from actors.backend.lmdb_engine import LMDBEngine
from actors.snapshot.actor import Retention
from tests.interop.processes import running
from tests.util.conftest import live
from trioetcd import NodeSettings, open_node
from trioetcd.client import delete, key, put
from wire.pb import mvccpb

SNAPSHOTS = 50  # entries between two


@pytest.fixture
async def data_dir(tmp_path):
    await live(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
async def longer(tmp_path):
    """With snapshots, the last of which is in the middle of the last day's work."""
    await live(tmp_path / "data", snapshot_every=SNAPSHOTS, rounds=2)
    retention = Retention(snapshot_count=SNAPSHOTS, catchup_entries=10)
    settings = NodeSettings(data_dir=tmp_path / "data", retention=retention)
    async with open_node(settings) as node, node.client() as client:
        lease, _ = await client.grant_lease(1000)
        old, _ = await client.grant_lease(1000)
        await client.put("early", "x", lease_id=old)
        for number in range(90):
            await client.put(f"b/{number % 9}", str(number))
            if number % 10 == 5:
                await client.delete(f"b/{number % 9}")
                await client.delete("not there")
                await client.txn(when=[key("b/1").exists], then=[put("c", "x"), delete("b/2")])
        await client.revoke_lease(old)
        await client.put("late", "x", lease_id=lease)
    return tmp_path / "data"


async def test_a_directory_is_whole_after_a_life(run, data_dir):
    done = run("verify", data_dir)
    assert (done.status, done.err) == (0, "")
    assert "replayed from the first entry" in done.out
    assert done.out.endswith(f"{data_dir} is whole\n")
    assert run("verify", data_dir, "-w", "json").json["ok"] is True
    assert run("verify", data_dir, "-w", "table").status == 4


@pytest.mark.parametrize("flags", [[], ["--since-snapshot"]])
async def test_it_is_whole_after_snapshots_too(run, longer, flags):
    done = run("verify", longer, *flags)
    assert (done.status, done.err) == (0, "")
    assert ("replayed from the snapshot on" in done.out) == bool(flags), done.out


def test_it_is_whole_after_crashes(run, tmp_path):
    with running("trioetcd", tmp_path) as server:
        for number in range(3):
            for turn in range(20):
                server.etcdctl("put", f"k{turn % 7}", f"{number} {turn}")
            server.kill()
            server.start()
        server.etcdctl("compaction", "30")
        server.kill()
    done = run("verify", server.data_dir)
    assert (done.status, done.err) == (0, ""), done.err


def edit(data_dir, bucket: str, change) -> None:
    engine = LMDBEngine(data_dir / "member" / "snap")
    try:
        rows = engine.scan(bucket, b"", None, 1 << 30)
        engine.begin()
        engine.write(bucket, change(rows))
        engine.commit()
        engine.renew()
    finally:
        engine.close()


def drop_last(rows):
    return [(rows[-1][0], None)]


def flip_value(rows):
    key, value = rows[len(rows) // 2]
    kv = mvccpb.KeyValue.FromString(value)
    kv.value = bytes([kv.value[0] ^ 1]) + kv.value[1:]
    return [(key, kv.SerializeToString())]


def flip_version(rows):
    key, value = rows[-1]
    kv = mvccpb.KeyValue.FromString(value)
    kv.version += 1
    return [(key, kv.SerializeToString())]


def garble(rows):
    return [(rows[-1][0], b"\xff" * 9)]


def invent(rows):
    return [(b"\0" * 7 + b"\xee_" + b"\0" * 8, rows[-1][1])]


@pytest.mark.parametrize("change", [drop_last, flip_value, flip_version, garble, invent])
async def test_a_changed_row_is_found_and_named(run, data_dir, change):
    edit(data_dir, KEY, change)
    done = run("verify", data_dir)
    assert done.status == 1
    assert "revision" in done.err or "row" in done.err, done.err
    assert "is whole" not in done.out


@pytest.mark.parametrize("change", [drop_last, flip_value, flip_version, garble])
async def test_so_it_is_since_a_snapshot(run, longer, change):
    edit(longer, KEY, lambda rows: change(rows[-20:]))
    done = run("verify", longer, "--since-snapshot")
    assert done.status == 1
    assert "not replayed" not in done.out


@pytest.mark.parametrize("bucket", [LEASE, AUTH_USERS, MEMBERS])
async def test_a_lost_row_of_any_bucket_is_found(run, data_dir, bucket):
    edit(data_dir, bucket, drop_last)
    done = run("verify", data_dir)
    assert done.status == 1
    assert bucket in done.err or "lease" in done.err
    assert "secret" not in done.err


async def test_a_damaged_log_is_named_by_file_and_offset(run, data_dir):
    [segment] = sorted((data_dir / "member" / "wal").glob("*.wal"))
    data = bytearray(segment.read_bytes())
    data[2000] ^= 1
    segment.write_bytes(data)
    done = run("verify", data_dir)
    assert done.status == 1
    assert segment.name in done.err
    assert "at offset" in done.err


async def test_a_database_that_is_ahead_of_its_log_is_found(run, data_dir, tmp_path):
    await live(tmp_path / "other", rounds=2)
    snap = "member/snap/db.lmdb"
    (data_dir / snap).write_bytes((tmp_path / "other" / snap).read_bytes())
    done = run("verify", data_dir)
    assert done.status == 1
    assert "the log has 1 to" in done.err


async def test_other_directories_are_refused(run, tmp_path, data_dir):
    assert run("verify", tmp_path / "nowhere").err.startswith("Error: ")
    (tmp_path / "go" / "member" / "snap").mkdir(parents=True)
    (tmp_path / "go" / "member" / "snap" / "db").write_bytes(b"x")
    assert "database of etcd itself" in run("verify", tmp_path / "go").err
    (data_dir / "member" / "snap" / "db.lmdb").write_bytes(b"garbage" * 1000)
    assert run("verify", data_dir).status == 1
    assert run("verify").status == 128


async def test_a_running_member_is_left_alone(run, tmp_path):
    async with open_node(NodeSettings(data_dir=tmp_path / "data")):
        assert "stop the member first" in run("verify", tmp_path / "data").err
