"""Users, members and maintenance, on every server."""

from __future__ import annotations

import os
import stat

import pytest

from trioetcd import open_client
from trioetcd.client import Permission, SnapshotDamaged
from trioetcd.client.snapshot import SnapshotChunks
from wire.errors import (
    AuthFailed,
    EtcdError,
    MemberNotFound,
    PermissionDenied,
    RoleNotFound,
    UserAlreadyExists,
)
from wire.pb import etcdserverpb


async def test_roles_may_what_was_granted_and_not_yet_revoked(client):
    auth = client.auth
    await auth.add_role("reader")
    await auth.grant("reader", prefix="config/", access="read")
    await auth.grant("reader", "log", access="readwrite")
    await auth.grant("reader", "a", end="c", access="write")
    assert await auth.roles() == ["reader"]
    assert sorted(await auth.permissions("reader"), key=lambda p: p.key) == [
        Permission("write", b"a", b"c"),
        Permission("read", b"config/", b"config0"),
        Permission("readwrite", b"log", b""),
    ]
    await auth.revoke("reader", prefix="config/")
    await auth.revoke("reader", "a", end="c")
    assert await auth.permissions("reader") == [Permission("readwrite", b"log", b"")]
    await auth.delete_role("reader")
    with pytest.raises(RoleNotFound):
        await auth.permissions("reader")


async def test_a_user_is_who_knows_the_password(client, url):
    auth = client.auth
    await auth.add_role("root")
    for name in ("root", "web"):
        await auth.add_user(name, "first")
    await auth.add_user("machine")  # with a certificate alone
    with pytest.raises(UserAlreadyExists):
        await auth.add_user("web", "again")
    await auth.grant_role("root", "root")
    assert await auth.roles_of("root") == ["root"]
    await auth.change_password("web", "second")
    await auth.enable()
    async with open_client(url, user="root", password="first") as root:
        assert sorted(await root.auth.users()) == ["machine", "root", "web"]
        with pytest.raises(AuthFailed):
            async with open_client(url, user="web", password="first") as web:
                await web.get("a")
        async with open_client(url, user="web", password="second") as web:
            with pytest.raises(PermissionDenied):
                await web.get("a")
        await root.auth.delete_user("web")
        await root.auth.disable()
    assert sorted(await auth.users()) == ["machine", "root"]


async def test_members_are_added_changed_and_removed(client):
    cluster = client.cluster
    [only] = await cluster.members()
    assert not only.is_learner
    learner = await cluster.add("http://127.0.0.1:1", learner=True)
    assert (learner.name, learner.peer_urls, learner.is_learner) == (
        "",
        ("http://127.0.0.1:1",),
        True,
    )
    await cluster.update(learner.id, "http://127.0.0.1:2", "http://127.0.0.1:3")
    [changed] = [one for one in await cluster.members() if one.id == learner.id]
    assert changed.peer_urls == ("http://127.0.0.1:2", "http://127.0.0.1:3")
    with pytest.raises(EtcdError, match="learner"):  # it has not even started
        await cluster.promote(learner.id)
    await cluster.remove(learner.id)
    assert await cluster.members() == [only]
    with pytest.raises(MemberNotFound):
        await cluster.remove(learner.id)


async def test_a_member_says_how_it_is(client, url):
    await client.put("a", "1")
    status = await client.maintenance.status(url)
    assert status.is_leader
    assert status.version.startswith("3.")
    assert status.revision == 2
    assert 0 < status.db_in_use_bytes <= status.db_size_bytes
    assert await client.maintenance.alarms() == []
    before = await client.maintenance.hash_keys()
    assert (before.revision, before.compact_revision) in {(2, -1), (0, -1)}  # 3.4 does not say
    await client.put("a", "2")
    assert (await client.maintenance.hash_keys()).hash != before.hash
    assert (await client.maintenance.hash_keys(2)).hash == before.hash
    await client.maintenance.defragment(url)
    with pytest.raises(ValueError, match="not an endpoint of this client"):
        await client.maintenance.status("http://127.0.0.1:1")
    with pytest.raises(EtcdError):
        await client.maintenance.move_leader(1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


async def test_a_snapshot_is_a_file_when_it_is_whole(client, folder):
    for number in range(200):
        await client.put(f"k{number}", bytes(5000))
    told = []
    path = folder / "backup.db"
    saved = await client.maintenance.save_snapshot(path, progress=lambda *now: told.append(now))
    assert path.stat().st_size == saved.size_bytes > 1_000_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert told[-1] == (saved.size_bytes, saved.size_bytes)
    assert os.listdir(folder) == ["backup.db"]


async def test_a_snapshot_that_cannot_be_written_leaves_nothing(client, folder):
    with pytest.raises(OSError, match="No such file"):
        await client.maintenance.save_snapshot(folder / "missing" / "backup.db")

    def full(done: int, of: int) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        await client.maintenance.save_snapshot(folder / "backup.db", progress=full)
    assert os.listdir(folder) == []


class Stream:
    def __init__(self, *blobs: bytes) -> None:
        self._left = list(blobs)

    async def receive(self) -> bytes | None:
        if not self._left:
            return None
        remaining = max(0, sum(map(len, self._left[1:])) - 32)
        blob = self._left.pop(0)
        return etcdserverpb.SnapshotResponse(
            blob=blob, remaining_bytes=remaining
        ).SerializeToString()


@pytest.mark.parametrize("cut", range(0, 70))
async def test_the_digest_is_found_however_the_bytes_are_cut(cut):
    from hashlib import sha256

    data = bytes(range(60))
    whole = data + sha256(data).digest()
    chunks = SnapshotChunks(Stream(whole[:cut], whole[cut:]))
    await chunks.begin()
    assert b"".join([chunk async for chunk in chunks]) == whole


@pytest.mark.parametrize("blobs", [(), (b"x" * 32,), (b"x" * 512, bytes(32))])
async def test_what_is_not_the_servers_is_damaged(blobs):
    chunks = SnapshotChunks(Stream(*blobs))
    await chunks.begin()
    with pytest.raises(SnapshotDamaged):
        async for _ in chunks:
            pass
