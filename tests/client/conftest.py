"""Servers for the client's tests: a node in this process, and Go's etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.interop.etcd_process import etcd_process
from trioetcd import NodeSettings, open_client, open_node
from trioetcd.node.embedding import serve_clients

SERVERS = ("trioetcd", "3.4", "3.5")


@asynccontextmanager
async def open_server(kind: str, folder: Path) -> AsyncIterator[str]:
    """Its client URL."""
    if kind == "trioetcd":
        async with (
            open_node(NodeSettings()) as node,
            serve_clients(node, "http://127.0.0.1:0") as urls,
        ):
            yield urls[0]
    else:
        async with etcd_process(kind, folder / "data") as etcd:
            yield etcd.client_url


@pytest.fixture(params=SERVERS)
async def url(request, tmp_path):
    async with open_server(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def client(url):
    async with open_client(url) as opened:
        yield opened
