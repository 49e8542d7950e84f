"""pytest fixtures: `etcd`, `etcd_client`, `etcd_cluster`.

A test of pytest-trio's gets a node on its own loop, and so on its own clock: with `autojump_clock`
an hour takes no time.  Any other test, also of asyncio, gets a server on a thread.

    async def test_in_trio(etcd_client):       def test_elsewhere(etcd_client):
        await etcd_client.put("a", "1")            etcd_client.put("a", "1")

pytest finds them by itself where trioetcd is installed.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trioetcd.client import Client
    from trioetcd.node.node import Node
    from trioetcd.testing.nodes import Cluster
    from trioetcd.testing.server import Server


def _chosen(request: pytest.FixtureRequest, in_trio: str, elsewhere: str) -> Any:
    is_async = inspect.iscoroutinefunction(getattr(request, "function", None))
    is_trios = is_async and request.node.get_closest_marker("trio") is not None
    return request.getfixturevalue(in_trio if is_trios else elsewhere)


@pytest.fixture
def etcd(request: pytest.FixtureRequest) -> Node | Server:
    """An etcd of one member, in memory: a `Node`, or a `Server` with its `url`."""
    found: Node | Server = _chosen(request, "etcd_node", "etcd_server")
    return found


@pytest.fixture
def etcd_client(request: pytest.FixtureRequest) -> Any:
    """A client of `etcd`; its methods block if the test is not one of Trio."""
    return _chosen(request, "etcd_node_client", "etcd_server_client")


@pytest.fixture
def etcd_cluster(request: pytest.FixtureRequest) -> Cluster | Server:
    """An etcd of three members: a `Cluster`, or a `Server` with its `urls`."""
    found: Cluster | Server = _chosen(request, "etcd_node_cluster", "etcd_server_cluster")
    return found


# -- Tests of Trio


@pytest.fixture
async def etcd_node() -> AsyncIterator[Node]:
    from actors.kernel import InlineWorker
    from trioetcd.node.node import open_node

    async with open_node(password_worker=InlineWorker()) as node:  # no clock jumps past a thread
        yield node


@pytest.fixture
async def etcd_node_client(etcd_node: Node) -> AsyncIterator[Client]:
    async with etcd_node.client() as client:
        yield client


@pytest.fixture
async def etcd_node_cluster() -> AsyncIterator[Cluster]:
    from trioetcd.testing.nodes import open_cluster

    async with open_cluster(3) as cluster:
        yield cluster


# -- Other tests


@pytest.fixture
def etcd_server() -> Iterator[Server]:
    from trioetcd.testing.server import serve

    with serve() as server:
        yield server


@pytest.fixture
def etcd_server_client(etcd_server: Server) -> Any:
    return etcd_server.client


@pytest.fixture
def etcd_server_cluster() -> Iterator[Server]:
    from trioetcd.testing.server import serve

    with serve(3) as server:
        yield server
