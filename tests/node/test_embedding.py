"""A node inside a program: where it listens, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

import trioetcd
from actors.snapshot import files
from actors.snapshot.actor import Retention
from tests.wire.certificates import Authority
from trioetcd import NodeSettings, StartError, open_client, open_node
from trioetcd.testing.disk import SimulatedDisk
from wire.network import RealNetwork, parse_url
from wire.tls import TLSSettings


async def works(client: trioetcd.Client) -> None:
    await client.put("a", "1")
    found = await client.get("a")
    assert found is not None
    assert found.text == "1"


async def test_a_node_needs_no_settings_and_no_socket():
    async with open_node() as node, node.client() as client:
        assert node.client_urls == ()
        await works(client)


async def test_it_listens_where_it_is_told(tmp_path: Path):
    socket = f"unix://{tmp_path}/node.sock"
    async with open_node(listen=["http://127.0.0.1:0", socket]) as node:
        url = node.client_urls[0]
        assert not url.endswith(":0")
        assert node.client_urls[1] == socket
        for one in node.client_urls:
            async with open_client(one) as client:
                await works(client)
                [member] = await client.cluster.members()
                assert member.client_urls == node.client_urls  # others are told where it is
        assert await over_http(url, "/v3/kv/range", {"key": "YQ=="}) == "1"


async def over_http(url: str, path: str, body: dict[str, str]) -> str:
    stream = await RealNetwork().connect(parse_url(url))
    text = json.dumps(body)
    async with stream:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        await stream.send_all(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        answer = bytearray()
        while data := await stream.receive_some(65536):
            answer += data
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["count"])


async def test_it_serves_with_a_certificate(tmp_path: Path):
    authority = Authority(tmp_path)
    pair = authority.issue("server", hosts=["127.0.0.1"])
    tls = TLSSettings(cert_file=pair.cert_file, key_file=pair.key_file)
    async with open_node(listen=["https://127.0.0.1:0"], tls=tls) as node:
        trusting = TLSSettings(trusted_ca_file=authority.ca_file)
        async with open_client(*node.client_urls, tls=trusting) as client:
            await works(client)


async def test_three_members_are_one_cluster_in_one_program():
    async with (
        trioetcd.testing.open_cluster(3) as nodes,
        nodes[0].client() as first,
        nodes[2].client() as last,
    ):
        await first.put("a", "1")
        assert (await last.get("a")).text == "1"
        assert len(await last.cluster.members()) == 3


# -- How it ends


async def fails(**how: object) -> str:
    with pytest.raises(StartError) as refused:
        async with open_node(**how):  # type: ignore[arg-type]
            pass
    return str(refused.value)


async def test_what_is_wrong_at_the_start_is_said(tmp_path: Path):
    async with open_node(listen=["http://127.0.0.1:0"]) as node:
        [taken] = node.client_urls
        assert await fails(listen=[taken]) == f"listen {taken}: address already in use"
    assert "scheme" in await fails(listen=["ftp://127.0.0.1:0"])
    assert await fails(listen=["https://127.0.0.1:0"]) == "an https URL needs a certificate: `tls`"
    missing = TLSSettings(cert_file="/nowhere.crt", key_file="/nowhere.key")
    assert "nowhere" in await fails(listen=["https://127.0.0.1:0"], tls=missing)
    (tmp_path / "file").touch()
    assert "not a directory" in await fails(settings=NodeSettings(data_dir=tmp_path / "file"))
    settings = NodeSettings(data_dir=tmp_path / "data")
    async with open_node(settings):
        assert "already" in await fails(settings=settings) or "lock" in await fails(
            settings=settings
        )
    with (
        (tmp_path / "data" / "member" / "wal")
        .joinpath(sorted(os.listdir(tmp_path / "data" / "member" / "wal"))[0])
        .open("r+b") as log
    ):
        log.seek(9)
        log.write(b"\xff" * 20)
    assert "wal" in (await fails(settings=settings)).lower()


async def test_what_the_block_raises_is_raised_as_it_is():
    with pytest.raises(KeyError):
        async with open_node(listen=["http://127.0.0.1:0"]):
            raise KeyError


async def test_a_failed_part_ends_the_block_and_is_named():
    disk = SimulatedDisk(random.Random(1))

    async def use() -> None:
        async with open_node(disk=disk) as node, node.client() as client:
            disk.fail_next_sync = True
            await client.put("a", "1")
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup, match="durable") as failed, trio.fail_after(10):
        await use()
    assert "wal" in str(failed.value.exceptions[0])
    leaf: BaseException = failed.value
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, OSError)


async def test_a_snapshot_file_that_cannot_be_synced_ends_the_member(
    monkeypatch: pytest.MonkeyPatch,
):
    def save(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(files, "save", save)

    async def use() -> None:
        settings = NodeSettings(retention=Retention(snapshot_count=5))
        async with open_node(settings) as node, node.client() as client:
            for _ in range(5):
                await client.put("a", "1")
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup, match="durable") as failed, trio.fail_after(10):
        await use()
    assert "snapshotter" in str(failed.value.exceptions[0])


class CancelAt(trio.abc.Instrument):
    """Cancels a scope after so many steps of tasks."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self.scope = scope
        self.steps = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps -= 1
        if self.steps == 0:
            self.scope.cancel()


@pytest.mark.parametrize("on_disk", [False, True])
async def test_its_start_can_be_cancelled_at_every_step(on_disk: bool, tmp_path: Path):
    """And its end, which comes then: a member that is cancelled is gone soon, and its data good."""
    settings = NodeSettings(data_dir=tmp_path / "data" if on_disk else None)
    steps = 0
    is_done = False
    while not is_done:
        steps += 1 + steps // (10 if on_disk else 30)
        with trio.fail_after(20), trio.CancelScope() as scope:
            watch = CancelAt(scope, steps)
            trio.lowlevel.add_instrument(watch)
            try:
                async with (
                    open_node(settings, listen=["http://127.0.0.1:0"]) as node,
                    node.client() as client,
                ):
                    await works(client)
                    is_done = True
            finally:
                trio.lowlevel.remove_instrument(watch)
    assert steps > 100
    async with open_node(settings) as node, node.client() as client:
        await works(client)


# -- What it leaves behind


def open_files() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


async def test_it_leaves_no_task_thread_or_file(tmp_path: Path):
    async with open_node(NodeSettings(data_dir=tmp_path / "first")):
        pass  # what is made once a process is made
    frozen, tasks = gc.get_freeze_count(), trio.lowlevel.current_statistics().tasks_living
    threads, files = set(threading.enumerate()), open_files()
    socket = f"unix://{tmp_path}/node.sock"
    settings = NodeSettings(data_dir=tmp_path / "second")
    async with (
        open_node(settings, listen=["http://127.0.0.1:0", socket]) as node,
        open_client(*node.client_urls) as client,
    ):
        await works(client)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert {one for one in threading.enumerate() if "trio" not in one.name.lower()} <= threads
    assert open_files() <= files
    assert not (tmp_path / "node.sock").exists()
    assert gc.get_freeze_count() == frozen


OTHER_CLIENT = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

other = descriptor_pb2.FileDescriptorProto(
    name="rpc.proto",
    package="etcdserverpb",
    syntax="proto3",
    message_type=[descriptor_pb2.DescriptorProto(name="PutRequest")],
)
pool = descriptor_pool.Default()
pool.AddSerializedFile(other.SerializeToString())
theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName("etcdserverpb.PutRequest"))
assert not theirs().ListFields()
"""
OURS = """
import trio, trioetcd

async def main():
    async with trioetcd.open_node() as node, node.client() as client:
        await client.put("a", "1")
        assert (await client.get("a")).text == "1"

trio.run(main)
"""


@pytest.mark.parametrize("program", [OTHER_CLIENT + OURS, OURS + OTHER_CLIENT])
def test_other_messages_of_the_same_names_may_be_there(program: str):
    """As when the program also imports another client of etcd, before or after."""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
