"""An asyncio client of etcd against a node in the same Trio program."""

from __future__ import annotations

import asyncio

import aetcd
import trio
import trio_asyncio
from trio_asyncio import aio_as_trio

from trioetcd import open_node


async def talk(port: int) -> list[bytes]:
    seen: list[bytes] = []
    async with aetcd.Client(host="127.0.0.1", port=port) as client:
        lease = await client.lease(30)
        watched = await client.watch(b"w")

        async def watch() -> None:
            async for event in watched:
                seen.append(event.kv.value)
                if len(seen) == 3:
                    return

        watching = asyncio.ensure_future(watch())
        for value in (b"1", b"2", b"3"):
            await client.put(b"w", value, lease=lease)
        await watching
        await asyncio.gather(*(client.put(b"k%d" % number, b"x") for number in range(50)))
        assert len(list(await client.get_prefix(b"k"))) == 50
        await client.revoke_lease(lease.id)
        assert await client.get(b"w") is None
    return seen


async def test_aetcd_talks_to_a_node_in_its_own_program():
    async with open_node(listen=["http://127.0.0.1:0"]) as node, trio_asyncio.open_loop():
        port = int(node.client_urls[0].rpartition(":")[2])
        with trio.fail_after(20):
            assert await aio_as_trio(talk)(port) == [b"1", b"2", b"3"]
        async with node.client() as client:
            assert await client.count("k") == 50
