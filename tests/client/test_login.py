"""Users and tokens: asked for once, and again when the server forgets them."""

from __future__ import annotations

import pytest
import trio

from actors.kernel import InlineWorker
from tests.client.conftest import SERVERS
from tests.interop.processes import GO, Server, running
from trioetcd import NodeSettings, open_client, open_node
from trioetcd.client import open_client as open_memory_client
from trioetcd.node.embedding import INSIDE, serve_clients
from trioetcd.node.settings import SimpleTokenSettings
from wire.errors import AuthFailed
from wire.memory_network import MemoryNetwork

PASSWORDS = {"root": "first"}
AUTHENTICATE = b"/etcdserverpb.Auth/Authenticate"
KINDS = {"trioetcd": "trioetcd", **{version: kind for kind, version in GO.items()}}


async def with_users(client) -> None:
    """Authentication is on, and `root` knows his password."""
    await client.auth.add_user("root", "first")
    await client.auth.grant_role("root", "root")
    await client.auth.enable()


@pytest.fixture(params=SERVERS)
def process(request, tmp_path):
    """A server that can be started again."""
    with running(KINDS[request.param], tmp_path, ["--bcrypt-cost=4"]) as server:
        yield server


async def restart(server: Server) -> None:
    await trio.to_thread.run_sync(server.kill)
    await trio.to_thread.run_sync(server.start)


async def test_tokens_that_a_restart_has_lost_are_asked_for_again(process):
    url = f"http://{process.address}"
    async with open_client(url) as nobody:
        await with_users(nobody)
    async with open_client(url, user="root", password="first") as client:
        await client.put("a", "1")
        lease_id, _ = await client.grant_lease(60)
        async with client.watch("a") as batches:
            await restart(process)
            with trio.fail_after(30):
                while (await client.get("a")).text != "2":
                    await client.put("a", "2")
                assert (await anext(batches)).events[0].value == b"2"
                assert await client.keep_alive_once(lease_id) == 60
                async with client.maintenance.snapshot() as chunks:
                    assert len(await anext(chunks)) > 0


async def test_a_changed_password_is_asked_for(process):
    known = {"password": "first"}
    url = f"http://{process.address}"
    async with open_client(url) as nobody:
        await with_users(nobody)
    async with (
        open_client(url, user="root", password=lambda: known["password"]) as client,
        open_client(url, user="root", password="first") as stubborn,
    ):
        await client.put("a", "1")
        await stubborn.put("a", "1")
        await client.auth.change_password("root", "second")
        with pytest.raises(AuthFailed):
            await stubborn.put("a", "2")
        known["password"] = "second"
        await client.put("a", "3")


async def test_authentication_may_be_switched_on_and_off_under_way(process):
    url = f"http://{process.address}"
    async with (
        open_client(url) as nobody,
        open_client(url, user="root", password="first") as client,
    ):
        await client.put("a", "1")  # nobody asks who it is
        await with_users(nobody)
        await client.put("a", "2")
        await client.auth.disable()
        await nobody.put("a", "3")
        await client.put("a", "4")


# -- On a clock of the test's own


async def test_many_calls_wait_for_one_log_in(autojump_clock):
    async with quick_node() as node, node.client() as nobody:
        await with_users(nobody)
        count = node.registry.methods[AUTHENTICATE].counts
        async with node.client(user="root", password="first") as client:
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(client.put, f"k{number}", "x")
            assert count.started == 1
            await trio.sleep(100)  # more than a token lives
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(client.put, f"k{number}", "y")
            assert count.started == 2


async def test_a_wrong_password_is_said_to_all_and_tried_once(autojump_clock):
    async with quick_node() as node, node.client() as nobody:
        await with_users(nobody)
        count = node.registry.methods[AUTHENTICATE].counts
        refused = []
        async with node.client(user="root", password="wrong") as client:

            async def put(number: int) -> None:
                try:
                    await client.put(f"k{number}", "x")
                except AuthFailed:
                    refused.append(number)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(put, number)
        assert len(refused) == 20
        assert count.started == 1


async def test_who_waits_for_a_log_in_that_is_given_up_goes_himself(autojump_clock):
    network = MemoryNetwork()
    async with quick_node() as node, node.client() as nobody:
        await with_users(nobody)
        async with open_memory_client(
            INSIDE, user="root", password="first", network=network
        ) as client:
            with trio.move_on_after(1):  # nobody is there yet: the first one gives up
                await client.get("a")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.put, "b", "2")
                async with serve_clients(node, INSIDE, network=network):
                    await client.put("a", "1")
                    nursery.cancel_scope.cancel()
            async with serve_clients(node, INSIDE, network=network):
                assert (await client.get("a")).text == "1"


async def test_a_token_that_is_over_ends_no_watch_and_no_lease(autojump_clock):
    async with quick_node() as node, node.client() as nobody:
        await with_users(nobody)
        async with (
            node.client(user="root", password="first") as client,
            client.watch("a") as batches,
            client.lease(ttl=30) as lease,
        ):
            await trio.sleep(300)
            assert (await client.time_to_live(lease.id)).remaining > 0
            await client.put("a", "1")
            assert (await anext(batches)).events[0].value == b"1"


def quick_node():
    """Passwords are hashed on the loop: a clock that jumps must not jump past a thread."""
    settings = NodeSettings(tokens=SimpleTokenSettings(ttl=20), bcrypt_cost=4)
    return open_node(settings, password_worker=InlineWorker())
