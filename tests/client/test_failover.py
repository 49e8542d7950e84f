"""Several servers: calls take turns, and go past those that are gone; what is not known is said."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from tests.wire.certificates import Authority
from trioetcd import open_client, open_node
from trioetcd.client import LeaseLost, MaybeApplied, NotApplied, Retry
from trioetcd.node.embedding import INSIDE, serve_clients
from trioetcd.testing import open_cluster
from wire.errors import EtcdError
from wire.memory_network import MemoryNetwork
from wire.tls import TLSSettings

PUT, RANGE = b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range"


def asked(node, method: bytes) -> int:
    return node.registry.methods[method].counts.started


async def test_calls_take_turns_among_the_servers(autojump_clock):
    async with open_cluster(3) as cluster, cluster.client() as client:
        for number in range(30):
            await client.put(f"k{number}", "x")
        assert [asked(node, PUT) for node in cluster] == [10, 10, 10]


async def test_the_death_of_a_leader_is_survived(autojump_clock):
    """Every value is unique, so a put that was repeated would show."""
    done, unknown = [], []
    async with open_cluster(3) as cluster, cluster.client() as client:
        async with client.watch(prefix="k", start_revision=1) as batches:

            async def write() -> None:
                for number in range(200):
                    value = b"%d" % number
                    try:
                        await client.put("k", value)
                        done.append(value)
                    except MaybeApplied:
                        unknown.append(value)
                    await trio.sleep(0.05)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.sleep(2)
                await cluster.stop(await cluster.wait_leader())
            last = await client.put("k", "last")
            seen = []
            async for batch in batches:
                seen += [(event.revision, event.value) for event in batch.events]
                if batch.revision == last.revision:
                    break
        values = [value for _, value in seen[:-1]]
        assert len(set(values)) == len(values)
        assert set(done) <= set(values) <= {*done, *unknown}
        assert [revision for revision, _ in seen] == sorted({revision for revision, _ in seen})
        assert seen == [
            (kv.mod_revision, kv.value) for kv in [await at(client, r) for r, _ in seen]
        ]
        assert len(done) > 150


async def at(client, revision: int):
    return await client.get("k", revision=revision)


async def test_locks_and_leases_survive_it_too(autojump_clock):
    async with (
        open_cluster(3) as cluster,
        cluster.client() as client,
        client.lock("l", ttl=20) as lock,
        client.leadership("v", "me", ttl=20) as term,
    ):
        await cluster.stop(await cluster.wait_leader())
        await trio.sleep(100)
        assert (await client.time_to_live(lock.lease.id)).remaining > 0
        await term.proclaim("still me")


async def test_without_a_majority_a_lock_is_lost_in_time(autojump_clock):
    async def hold(client, cluster) -> None:
        async with client.lock("l", ttl=20):
            began = trio.current_time()
            for node in list(cluster)[:2]:
                await cluster.stop(node)
            try:
                await trio.sleep_forever()
            finally:
                assert trio.current_time() - began < 20

    async with open_cluster(3) as cluster, cluster.client() as client:
        with pytest.raises(LeaseLost):
            await hold(client, cluster)


async def test_a_write_that_no_server_has_seen_is_not_applied(autojump_clock):
    retry = Retry(rounds=3)
    async with open_client("http://nowhere:1", network=MemoryNetwork(), retry=retry) as client:
        with pytest.raises(NotApplied):
            await client.put("a", "1")
        with pytest.raises(EtcdError) as refused:
            await client.get("a")
        assert not isinstance(refused.value, NotApplied | MaybeApplied)


async def test_a_write_that_may_have_been_seen_is_said_to_be_so_and_not_repeated(autojump_clock):
    network = MemoryNetwork()
    async with open_cluster(3) as cluster, open_client(INSIDE, network=network) as client:
        first, second, third = cluster
        async with serve_clients(third, INSIDE, network=network):
            await client.put("a", "0")
            await cluster.stop(first)
            await cluster.stop(second)  # from now on a write waits for a majority
            refused = []

            async def put() -> None:
                try:
                    await client.put("a", "1")
                except MaybeApplied as error:
                    refused.append(str(error))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(put)
                await trio.testing.wait_all_tasks_blocked()
                await cluster.stop(third)
    assert len(refused) == 1
    assert "maybe applied" in refused[0]
    assert asked(third, PUT) == 2


async def test_a_watch_waits_for_servers_as_long_as_it_is_waited_for(autojump_clock):
    network = MemoryNetwork()
    async with (
        open_node() as node,
        node.client() as direct,
        open_client(INSIDE, network=network) as client,
        AsyncExitStack() as watching,
    ):
        async with serve_clients(node, INSIDE, network=network):
            watch = await watching.enter_async_context(client.watch("a"))
        with trio.move_on_after(1000) as waited:  # nobody is there
            await anext(watch)
        assert waited.cancelled_caught
        await direct.put("a", "1")  # missed meanwhile
        async with serve_clients(node, INSIDE, network=network):
            with trio.fail_after(30):
                assert (await anext(watch)).events[0].value == b"1"


async def test_a_slow_reader_makes_its_own_watch_wait_and_no_other(autojump_clock):
    value, count = bytes(100_000), 300  # 30 MB
    async with (
        open_node() as node,
        node.client() as writer,
        node.client() as client,
        client.watch(prefix="k") as slow,
        client.watch(prefix="k") as quick,
    ):
        taken = 0
        for number in range(count):
            await writer.put(f"k{number}", value)
            taken += len((await anext(quick)).events)
        assert taken == count
        stream = slow._stream
        assert stream is not None
        kept = sum(len(message) for message, _ in stream._messages)
        assert 0 < kept < 2_000_000  # its window, and no more
        with trio.fail_after(60):
            seen = [event.key for _ in range(count) for event in (await anext(slow)).events]
        assert seen == [b"k%d" % number for number in range(count)]


async def test_time_that_is_left_is_told_to_the_server(autojump_clock):
    async with open_cluster(3) as cluster, cluster.client() as client:
        await client.put("a", "1")
        for node in list(cluster)[:2]:
            await cluster.stop(node)  # the last one waits for a majority
        began = trio.current_time()
        with pytest.raises(trio.TooSlowError), trio.fail_after(3):
            await client.put("a", "2")
        assert trio.current_time() - began == pytest.approx(3, abs=0.1)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def test_certificates_say_who_is_who_both_ways(authority):
    server = authority.issue("server")
    client_pair = authority.issue("client", common_name="me")
    tls = TLSSettings(
        cert_file=server.cert_file,
        key_file=server.key_file,
        trusted_ca_file=authority.ca_file,
        client_cert_auth=True,
    )
    known = TLSSettings(
        trusted_ca_file=authority.ca_file,
        client_cert_file=client_pair.cert_file,
        client_key_file=client_pair.key_file,
    )
    stranger = TLSSettings(trusted_ca_file=authority.ca_file)
    async with open_node(listen=["https://127.0.0.1:0"], tls=tls) as node:
        async with open_client(*node.client_urls, tls=known) as client:
            await client.put("a", "1")
            async with client.watch("a", start_revision=1) as batches:
                assert (await anext(batches)).events[0].value == b"1"
        for unknown in (stranger, TLSSettings()):
            retry = Retry(rounds=1)
            async with open_client(*node.client_urls, tls=unknown, retry=retry) as client:
                with pytest.raises(NotApplied):
                    await client.put("a", "2")
