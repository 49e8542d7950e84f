"""For tests of programs that use etcd, and for our own: nodes, faults, simulated clusters.

`open_cluster` and `serve` are for any program; `trioetcd.testing.fixtures` are pytest's; the rest
is what whole clusters are simulated with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioetcd.testing.nodes import Cluster, open_cluster
    from trioetcd.testing.server import Server, serve

_HOMES = {
    "Cluster": "trioetcd.testing.nodes",
    "open_cluster": "trioetcd.testing.nodes",
    "Server": "trioetcd.testing.server",
    "serve": "trioetcd.testing.server",
}

__all__ = ["Cluster", "Server", "open_cluster", "serve"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
