"""Downgrades are announced and called off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.caller import Caller
from trioetcd.node.node import Node, open_node
from trioetcd.node.settings import NodeSettings
from wire.errors import UnknownMethod
from wire.pb import etcdserverpb

PATH = "/etcdserverpb.Maintenance/Downgrade"
Request = etcdserverpb.DowngradeRequest


async def ask(node: Node, action: str, version: str = "") -> str:
    """The cluster's version, or why not."""
    request = Request(action=action, version=version)
    answer = await Caller(node).call(PATH, request, etcdserverpb.DowngradeResponse)
    return answer if isinstance(answer, str) else answer.version


async def announced(node: Node) -> tuple[bool, str]:
    request = etcdserverpb.StatusRequest()
    path = "/etcdserverpb.Maintenance/Status"
    status = await Caller(node).call(path, request, etcdserverpb.StatusResponse)
    return status.downgradeInfo.enabled, status.downgradeInfo.targetVersion


async def test_a_downgrade_is_announced_kept_and_called_off(tmp_path: Path):
    settings = NodeSettings(data_dir=tmp_path / "n.etcd")
    async with open_node(settings) as node:
        assert await ask(node, "VALIDATE", "3.5.0") == "3.6"
        assert await announced(node) == (False, "")
        assert await ask(node, "ENABLE", "3.5") == "3.6"
        assert await ask(node, "ENABLE", "3.5.0") == (
            "etcdserver: cluster has a downgrade job in progress"
        )
    async with open_node(settings) as node:
        assert await announced(node) == (True, "3.5.0")
        assert await ask(node, "CANCEL") == "3.6"
        assert await announced(node) == (False, "")
        assert await ask(node, "CANCEL") == "etcdserver: no inflight downgrade job"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("", "etcdserver: wrong downgrade target version format"),
        ("three", "etcdserver: wrong downgrade target version format"),
        ("3.4.0", "etcdserver: invalid downgrade target version"),
        ("3.6.0", "etcdserver: invalid downgrade target version"),
        ("4.5.0", "etcdserver: invalid downgrade target version"),
    ],
)
async def test_only_the_release_before_may_be_meant(version: str, words: str):
    async with open_node(NodeSettings()) as node:
        assert await ask(node, "VALIDATE", version) == words


async def test_an_unknown_action_is_refused():
    async with open_node(NodeSettings()) as node:
        answer = await Caller(node).call(PATH, Request(action=7), etcdserverpb.DowngradeResponse)
        assert answer == UnknownMethod.text
