"""Calls over a connection, as /metrics tells of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.metrics.test_page import scrape
from trioetcd.node.listening import Answers, make_port
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import EtcdError
from wire.grpc.channel import Channel, open_channel
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.log import NullLog
from wire.memory_network import MemoryNetwork
from wire.network import Address
from wire.pb import etcdserverpb

PUT, WATCH = "/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch"
ADDRESS = Address("server", 2379)


@asynccontextmanager
async def served(**settings: bool) -> AsyncIterator[tuple[Node, Channel]]:
    """A member, and a channel to it over a network in memory."""
    network = MemoryNetwork("test")
    async with open_node(NodeSettings(**settings)) as node, trio.open_nursery() as nursery:
        listeners = await network.host("server").listen(ADDRESS)
        clock = node.parts.unix_seconds
        answers = Answers(node.registry, node.web.handle, Limits(), KeepAlive(), clock, drain=0.0)
        await nursery.start(make_port(listeners, answers, None, NullLog()).run)
        async with open_channel(network.host("client"), ADDRESS, random.Random(1)) as channel:
            yield node, channel
        nursery.cancel_scope.cancel()


def put(key: bytes) -> bytes:
    return etcdserverpb.PutRequest(key=key, value=b"v").SerializeToString()


async def test_unary_calls_are_counted_by_method_and_code(autojump_clock):
    async with served() as (node, channel):
        request = put(b"a")
        answer = await channel.unary(PUT, request)
        with pytest.raises(EtcdError, match="key is not provided"):
            await channel.unary(PUT, put(b""))
        found = await scrape(node)
    of_put = 'grpc_method="Put"'
    assert found.total("grpc_server_started_total", of_put) == 2
    assert found.total("grpc_server_handled_total", of_put, 'grpc_code="OK"') == 1
    assert found.total("grpc_server_handled_total", of_put, 'grpc_code="InvalidArgument"') == 1
    assert found.total("grpc_server_msg_received_total", of_put) == 2
    assert found.total("grpc_server_msg_sent_total", of_put) == 1
    received = len(request) + len(put(b""))
    assert found.total("etcd_network_client_grpc_received_bytes_total") == received
    assert found.total("etcd_network_client_grpc_sent_bytes_total") == len(answer)


async def test_a_stream_is_handled_when_it_ends(autojump_clock):
    """The dashboard's active streams are those started and not handled."""
    async with served() as (node, channel):
        of_watch = 'grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"'
        async with channel.stream(WATCH) as watch:
            create = etcdserverpb.WatchCreateRequest(key=b"a")
            await watch.send(etcdserverpb.WatchRequest(create_request=create).SerializeToString())
            await watch.receive()
            await channel.unary(PUT, put(b"a"))
            await watch.receive()
            found = await scrape(node)
            assert found.total("grpc_server_started_total", of_watch) == 1
            assert found.total("grpc_server_handled_total", of_watch) == 0
            assert found.total("etcd_debugging_mvcc_watcher_total") == 1
            assert found.total("etcd_debugging_mvcc_watch_stream_total") == 1
            assert found.total("etcd_debugging_mvcc_events_total") == 1
        await trio.sleep(1)
        found = await scrape(node)
        assert found.total("grpc_server_handled_total", of_watch) == 1
        assert found.total("etcd_debugging_mvcc_watcher_total") == 0


async def test_clients_are_counted_by_the_version_they_say(autojump_clock):
    async with served() as (node, channel):
        for version in (b"3.5", b"3.5", b"3.4", b"x" * 100):
            metadata = ((b"client-api-version", version),)
            await channel.unary(PUT, put(b"a"), metadata=metadata)
        await channel.unary(PUT, put(b"a"))
        found = await scrape(node)
    requests = "etcd_server_client_requests_total"
    assert found.total(requests, 'client_api_version="3.5"', 'type="unary"') == 2
    assert found.total(requests, 'client_api_version="3.4"') == 1
    assert found.total(requests, 'client_api_version="unknown"') == 1
    assert found.total(requests, f'client_api_version="{"x" * 32}"') == 1


async def test_clients_that_say_ever_new_versions_are_counted_together(autojump_clock):
    async with served() as (node, channel):
        for number in range(100):
            metadata = ((b"client-api-version", b"%d" % number),)
            await channel.unary(PUT, put(b"a"), metadata=metadata)
        found = await scrape(node)
    requests = "etcd_server_client_requests_total"
    assert found.total(requests) == 100
    assert sum(sample.startswith(requests) for sample in found.samples) <= 33


async def test_handling_is_timed_when_that_was_asked_for(autojump_clock):
    async with served(extensive_metrics=True) as (node, channel):
        await channel.unary(PUT, put(b"a"))
        found = await scrape(node)
        assert found.total("grpc_server_handling_seconds_count", 'grpc_method="Put"') == 1
        assert found.total("grpc_server_handling_seconds_count", 'grpc_method="Range"') == 0
        assert found.total("grpc_server_handled_total", 'grpc_method="Put"') == 1
    async with served() as (node, channel):
        assert "grpc_server_handling_seconds" not in (await scrape(node)).types
