"""A node and its client in one program."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio

from trioetcd import NodeSettings, open_client, open_node
from trioetcd.client import LeaseLost
from trioetcd.node.embedding import open_node_client, serve_clients
from wire.network import NetworkError


async def test_a_client_needs_no_socket():
    async with open_node(NodeSettings()) as node, open_node_client(node) as client:
        await client.put("a", "1")
        assert (await client.get("a")).text == "1"


async def test_a_node_serves_on_a_unix_socket(tmp_path):
    url = f"unix://{tmp_path}/node.sock"
    async with (
        open_node(NodeSettings()) as node,
        serve_clients(node, url, "http://127.0.0.1:0") as urls,
        open_client(*urls) as client,
    ):
        for number in range(4):
            await client.put("a", str(number))
        assert (await client.get("a")).version == 4


async def test_an_hour_of_a_lease_takes_no_time(autojump_clock):
    async with open_node(NodeSettings()) as node, open_node_client(node) as client:
        lease_id, _ = await client.grant_lease(3600)
        await client.put("a", "1", lease_id=lease_id)
        await trio.sleep(3590)
        assert await client.get("a") is not None
        await trio.sleep(20)
        assert await client.get("a") is None


async def test_a_block_ends_before_its_lease_when_the_server_is_gone(autojump_clock):
    async with open_node(NodeSettings()) as node, trio.open_nursery() as nursery:
        serving = trio.CancelScope()
        ready: list = []
        opened = trio.Event()

        async def serve():
            with serving:
                async with open_node_client(node) as client:
                    ready.append(client)
                    opened.set()
                    await trio.sleep_forever()

        nursery.start_soon(serve)
        await opened.wait()
        client = ready[0]
        began = trio.current_time()

        async def work():
            async with client.lease(ttl=10):
                for channel in client._endpoints.channels:
                    channel.close()  # from now on no keep-alive gets through
                try:
                    await trio.sleep_forever()
                finally:
                    ended = trio.current_time()
                    assert 8 <= ended - began < 10

        with pytest.raises(LeaseLost):
            await work()
        serving.cancel()


async def test_what_the_block_raises_is_in_no_group():
    with pytest.raises(NetworkError):
        async with open_client("http://127.0.0.1:1"):
            raise NetworkError(None, "x")


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (["__all__"], ["trio", "google.protobuf", "wire", "actors"]),
        (
            ["open_client", "EtcdError", "STM", "TLSSettings"],
            ["actors", "cryptography", "lmdb", "jwt", "bcrypt", "yaml", "dns", "h11", "rich"],
        ),
        (["open_node", "NodeSettings"], ["trioetcd.client", "cryptography", "jwt", "yaml", "dns"]),
        (["aio"], ["actors", "cryptography"]),
    ],
)
def test_names_load_only_what_they_need(names: list[str], absent: list[str]):
    program = (
        "import sys, trioetcd\n"
        f"for name in {names}: getattr(trioetcd, name)\n"
        "loaded = {'.'.join(name.split('.')[:n]) for name in sys.modules for n in (1, 2)}\n"
        f"assert not loaded & set({absent}), loaded & set({absent})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
