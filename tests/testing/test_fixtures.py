"""pytest's fixtures, in tests that are async and in others."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest
import trio

from trioetcd.client import put
from trioetcd.testing import serve
from wire.errors import KeyNotProvided

HOUR = 3600


async def test_in_trio(etcd, etcd_client):
    await etcd_client.put("a", "1")
    assert (await etcd_client.maintenance.status()).member_id == etcd.member_id
    async with etcd.client() as other:
        assert (await other.get("a")).text == "1"


async def test_an_hour_takes_no_time(etcd_client, autojump_clock):
    lease_id, _ = await etcd_client.grant_lease(HOUR)
    await etcd_client.put("a", "1", lease_id=lease_id)
    began, real = trio.current_time(), time.monotonic()
    await trio.sleep(HOUR - 10)
    assert await etcd_client.get("a") is not None
    async with etcd_client.watch("a") as batches:
        assert (await anext(batches)).events[0].is_delete
    assert HOUR <= trio.current_time() - began < HOUR + 10
    assert time.monotonic() - real < 20


async def test_a_cluster_survives_its_leader(etcd_cluster, autojump_clock):
    async with etcd_cluster.client() as client:
        await client.put("a", "1")
        await etcd_cluster.stop(etcd_cluster.leader)
        assert len(etcd_cluster) == 2
        await etcd_cluster.wait_leader()
        assert (await client.get("a")).text == "1"
        await client.put("a", "2")


async def test_a_write_waits_for_the_next_leader(etcd_cluster, autojump_clock):
    """Its member knows that the leader is lost: what it would send there would be lost, too."""
    followers = [one for one in etcd_cluster if one is not etcd_cluster.leader]
    await etcd_cluster.stop(etcd_cluster.leader)
    for number, member in enumerate(followers):
        async with member.client() as client:
            await client.put(f"{number}", "1")
            assert (await client.get(f"{number}")).text == "1"


def test_in_a_program_that_is_not_async(etcd, etcd_client):
    etcd_client.put("a", "1")
    assert etcd_client.get("a").text == "1"
    assert etcd_client.txn(then=[put("b", "2")]).succeeded
    assert etcd_client.maintenance.status().is_leader
    assert etcd_client.cluster.members()[0].client_urls == (etcd.url,)
    with urllib.request.urlopen(f"{etcd.url}/health", timeout=10) as page:
        assert json.load(page)["health"] == "true"
    with pytest.raises(KeyNotProvided):
        etcd_client.put("", "x")
    with pytest.raises(AttributeError, match="needs a block that is async"):
        etcd_client.lock("a")


def test_whatever_takes_a_block_runs_over_there(etcd):
    async def hold(client):
        async with client.lock("a") as lock:
            return lock.token

    assert etcd.run(hold) > 1


def test_a_cluster_beside_a_program(etcd_cluster):
    assert len(set(etcd_cluster.urls)) == 3
    etcd_cluster.client.put("a", "1")
    assert len(etcd_cluster.client.cluster.members()) == 3


def test_several_servers_know_nothing_of_each_other():
    with serve() as one, serve() as other:
        one.client.put("a", "1")
        assert other.client.get("a") is None
        assert one.url != other.url


def test_a_test_of_asyncio_gets_a_server_on_a_thread(pytester: pytest.Pytester):
    pytester.makeconftest(
        """
import asyncio, inspect

def pytest_pyfunc_call(pyfuncitem):  # as plugins for asyncio do
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True
"""
    )
    pytester.makepyfile(
        """
import asyncio

async def test_ports_and_calls(etcd, etcd_client):
    etcd_client.put("a", "1")
    host, port = etcd.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()
"""
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
