"""/debug/vars: the process's command line, its limit of descriptors, and raft's status, as JSON.

Go's programs show such pages; what etcd's has of the Go runtime is not here.
Source: etcd server/etcdserver/api/etcdhttp/debug.go; raft status.go (MarshalJSON).
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

import trio

from actors.raft.ready import Status
from wire.http import HTTPRequest, HTTPResponse

SECRET = "password"  # in the name of a flag whose value is nobody's business
_JSON = [(b"content-type", b"application/json; charset=utf-8")]


class VariablesPage:
    """`status` is asked anew for each request."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    async def __call__(self, request: HTTPRequest) -> HTTPResponse:
        await trio.lowlevel.checkpoint()
        shown = {
            "cmdline": without_secrets(sys.argv),
            "file_descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "raft.status": raft_status(self._status()),
        }
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
            for name, value in shown.items()
        )
        return HTTPResponse(200, f"{{\n{lines}\n}}\n".encode(), list(_JSON))


def raft_status(status: Status) -> dict[str, Any]:
    """With the names of etcd's raft; ids are in hexadecimal, progress is the leader's alone."""
    progress = {
        f"{node:x}": {"match": peer.match, "next": peer.next, "state": _state(peer.state.name)}
        for node, peer in status.peers.items()
    }
    if status.leader == status.node_id:  # a leader counts itself as well
        last = status.last_index
        own = {"match": last, "next": last + 1, "state": _state("REPLICATE")}
        progress[f"{status.node_id:x}"] = own
    return {
        "id": f"{status.node_id:x}",
        "term": status.term,
        "vote": f"{status.vote:x}",
        "commit": status.commit,
        "lead": f"{status.leader:x}",
        "raftState": _state(status.role.name),
        "applied": status.applied,
        "progress": progress,
        "leadtransferee": f"{status.transferring_to:x}",
    }


def _state(name: str) -> str:
    return f"State{name.title().replace('_', '')}"


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line whose passwords are left out, behind `=` or as words of their own."""
    shown: list[str] = []
    hides_next = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hides_next:
            argument = "..."
        elif equals and SECRET in name:
            argument = f"{name}=..."
        hides_next = not hides_next and not equals and name.startswith("-") and SECRET in name
        shown.append(argument)
    return shown
