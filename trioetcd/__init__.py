"""etcd v3 on Trio: a distributed, strongly consistent key-value store.

`trioetcd.open_client` and `trioetcd.open_node` are loaded when they are first used: a program
that wants the client need not wait for the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioetcd.client import Client, open_client
    from trioetcd.node.node import Node, open_node
    from trioetcd.node.settings import NodeSettings

_HOMES = {
    "Client": "trioetcd.client",
    "open_client": "trioetcd.client",
    "Node": "trioetcd.node.node",
    "open_node": "trioetcd.node.node",
    "NodeSettings": "trioetcd.node.settings",
}

__all__ = ["Client", "Node", "NodeSettings", "open_client", "open_node"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
