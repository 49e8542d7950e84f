"""etcd v3 on Trio: a distributed, strongly consistent key-value store.

    async with trioetcd.open_client("http://127.0.0.1:2379") as client: ...
    async with trioetcd.open_node() as node, node.client() as client: ...

What is named here is loaded when it is first used: a program that wants the client need not wait
for the server.  `trioetcd.client` has the client's other names, `trioetcd.testing` what helps
tests, `trioetcd.aio` the client for asyncio programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioetcd import aio, testing
    from trioetcd.client import (
        STM,
        Client,
        Compacted,
        EtcdError,
        LeaseLost,
        MaybeApplied,
        NotApplied,
        TLSSettings,
        open_client,
    )
    from trioetcd.node.node import Node, open_node
    from trioetcd.node.recovery import StartError
    from trioetcd.node.settings import NodeSettings

_HOMES = {
    **dict.fromkeys(
        (
            *("STM", "Client", "Compacted", "EtcdError", "LeaseLost", "MaybeApplied"),
            *("NotApplied", "TLSSettings", "open_client"),
        ),
        "trioetcd.client",
    ),
    "Node": "trioetcd.node.node",
    "open_node": "trioetcd.node.node",
    "StartError": "trioetcd.node.recovery",
    "NodeSettings": "trioetcd.node.settings",
}
_MODULES = {"aio", "testing"}

__all__ = [
    "STM",
    "Client",
    "Compacted",
    "EtcdError",
    "LeaseLost",
    "MaybeApplied",
    "Node",
    "NodeSettings",
    "NotApplied",
    "StartError",
    "TLSSettings",
    "aio",
    "open_client",
    "open_node",
    "testing",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"trioetcd.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
