"""Three members begun from one snapshot are one cluster with its state."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.interop.processes import GO, Server, running
from tests.interop.snapshots import UTIL, fill, run, save
from tests.system.cluster import Cluster, cluster_of
from wire.pb import etcdserverpb


def saved_by(kind: str, directory: Path) -> tuple[Path, str]:
    """A snapshot, and what hashkv says of what it holds."""

    def hash_of(server: Server) -> str:
        return server.etcdctl("endpoint", "hashkv").stdout.split(", ")[1].strip()

    with running(kind, directory / "first") as server:
        fill(server)
        return save(server, directory / "snapshot"), hash_of(server)


async def restore_members(cluster: Cluster, snapshot: Path) -> None:
    members = cluster.members.values()
    for member in members:
        member.home.mkdir(parents=True, exist_ok=True)
        await trio.to_thread.run_sync(
            run,
            *UTIL,
            *("snapshot", "restore", str(snapshot), f"--name={member.name}"),
            f"--data-dir={member.home / 'data'}",
            f"--initial-advertise-peer-urls={member.peer_url}",
            "--initial-cluster=" + ",".join(f"{one.name}={one.peer_url}" for one in members),
        )


@pytest.mark.parametrize("kind", ["trioetcd", [*GO][-1]])
async def test_members_begun_from_one_snapshot_are_a_cluster(kind: str, tmp_path: Path):
    snapshot, expected = await trio.to_thread.run_sync(saved_by, kind, tmp_path)
    async with cluster_of("trioetcd", tmp_path / "cluster", size=0) as cluster:
        for name in ("m0", "m1", "m2"):
            await cluster.add(name)
        await restore_members(cluster, snapshot)
        for member in cluster.members.values():
            member.start()
        leader = await cluster.leader()
        _, found = await cluster.alike()
        assert str(found) == expected
        put = etcdserverpb.PutRequest(key=b"new", value=b"1").SerializeToString()
        await leader.ask("/etcdserverpb.KV/Put", put)
        await cluster.alike()
        # One that comes late gets what it has missed.
        await leader.end()
        successor = await cluster.leader()
        await successor.ask("/etcdserverpb.KV/Put", put)
        leader.start()
        await cluster.alike()
        assert len(cluster.running) == 3
