"""A disk that takes no more: the member ends, and has everything it acknowledged afterwards.

The limit is one on the size of a file, which needs no rights and no file system of its own: the
kernel refuses the same writes, in the middle of a file, with another errno.
"""

from __future__ import annotations

from pathlib import Path

from tests.interop.differential.clients import Client
from tests.interop.processes import Server, running
from tests.interop.snapshots import UTIL, run, save
from wire.pb import etcdserverpb as pb

MIB = 1 << 20
LIMIT_BYTES = 72 * MIB  # more than a segment of the log, which is allocated at once
MOST_PUTS = 200  # of a MiB each


class LimitedServer(Server):
    """Its files may have `limit_bytes`; None is no limit."""

    limit_bytes: int | None = None

    def _command(self) -> list[str]:
        limit = [] if self.limit_bytes is None else ["prlimit", f"--fsize={self.limit_bytes}"]
        return [*limit, *super()._command()]


def test_a_full_disk_ends_the_member_and_loses_nothing_acknowledged(tmp_path: Path):
    server = LimitedServer("trioetcd", tmp_path)
    server.limit_bytes = LIMIT_BYTES
    server.start()
    acknowledged = put_until_full(server)
    assert server.wait() == 1
    assert "member failed" in server.log[-1]
    assert "mdb_txn_commit" in server.log[-1]

    server.limit_bytes = None
    server.start()
    try:
        found = read(server)
        assert acknowledged.items() <= found.items()
        assert len(found) - len(acknowledged) <= 1  # the put that was not answered
        assert server.etcdctl("put", "after", "1").stdout == "OK\n"
    finally:
        server.kill()


def put_until_full(server: Server) -> dict[bytes, int]:
    """What was acknowledged: keys and their revisions."""
    client = Client(server.address)
    acknowledged = {}
    for number in range(MOST_PUTS):
        put = pb.PutRequest(key=b"%d" % number, value=b"%03d" % number * (MIB // 3))
        answer = client.call("etcdserverpb.KV/Put", put.SerializeToString())
        if answer.code != "OK":
            break
        revision = pb.PutResponse.FromString(answer.body).header.revision
        acknowledged[put.key] = revision
    client.close()
    assert 0 < len(acknowledged) < MOST_PUTS
    return acknowledged


def read(server: Server) -> dict[bytes, int]:
    """Every key and its revision; the values are whole."""
    client = Client(server.address)
    request = pb.RangeRequest(key=b"\0", range_end=b"\0").SerializeToString()
    answer = client.call("etcdserverpb.KV/Range", request)
    client.close()
    kvs = pb.RangeResponse.FromString(answer.body).kvs
    assert all(kv.value == b"%03d" % int(kv.key) * (MIB // 3) for kv in kvs)
    return {kv.key: kv.mod_revision for kv in kvs}


def test_a_restore_onto_a_full_disk_says_so_and_leaves_no_member(tmp_path: Path):
    with running("trioetcd", tmp_path / "first") as server:
        client = Client(server.address)
        for number in range(4):
            put = pb.PutRequest(key=b"%d" % number, value=bytes(MIB))
            client.call("etcdserverpb.KV/Put", put.SerializeToString())
        client.close()
        snapshot = save(server, tmp_path / "snapshot")
    for limit in (2 * MIB, 16 * MIB):  # of the database, of the log
        data = tmp_path / f"data{limit}"
        done = run(
            *("prlimit", f"--fsize={limit}", *UTIL),
            *("snapshot", "restore", str(snapshot), f"--data-dir={data}"),
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("Error: "), done.stderr
        assert "Traceback" not in done.stderr
        assert not (data / "member").exists()
