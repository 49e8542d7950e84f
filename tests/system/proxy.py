"""The network between members that are processes: every connection passes here, and may be cut.

A member advertises its proxy's address.  Who connects is found out from the kernel's table of
sockets, so that each direction of each pair of members has rules of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import trio

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Rule:
    """For what goes from one member to another."""

    is_cut: bool = False  # connections end, and none can be made
    is_lost: bool = False  # nothing arrives, and nobody is told
    delay: float = 0.0  # seconds


OPEN = Rule()
CUT, LOST = Rule(is_cut=True), Rule(is_lost=True)


class Network:
    """`pids` says which processes belong to which member."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._rules: dict[tuple[str, str], Rule] = {}
        self._changed = trio.Event()
        self._connections: dict[trio.CancelScope, tuple[str, str]] = {}

    def rule(self, sender: str, receiver: str) -> Rule:
        return self._rules.get((sender, receiver), OPEN)

    def set(self, pairs: Iterable[tuple[str, str]], rule: Rule) -> None:
        for pair in pairs:
            self._rules[pair] = rule
        if rule.is_cut:
            for scope, ends in list(self._connections.items()):
                if self.rule(*ends).is_cut or self.rule(*reversed(ends)).is_cut:
                    scope.cancel()
        self._changed.set()
        self._changed = trio.Event()

    def isolate(self, members: Iterable[str], everybody: Iterable[str], rule: Rule) -> None:
        """Between these members and the others, both ways."""
        inside = set(members)
        pairs = [
            pair
            for pair in permutations(everybody, 2)
            if (pair[0] in inside) != (pair[1] in inside)
        ]
        self.set(pairs, rule)

    def heal(self) -> None:
        self._rules.clear()
        self._changed.set()
        self._changed = trio.Event()

    async def serve(self, member: str, listen_port: int, port: int, nursery: trio.Nursery) -> None:
        """Stand in front of a member, that listens on `port`."""
        serve = partial(self._pass_on, member, port)
        await nursery.start(partial(trio.serve_tcp, serve, listen_port, host="127.0.0.1"))

    async def _pass_on(self, member: str, port: int, near: trio.SocketStream) -> None:
        """One connection, to its end."""
        peer_port = near.socket.getpeername()[1]
        sender = await trio.to_thread.run_sync(self._whose, peer_port) or "?"
        if self.rule(sender, member).is_cut or self.rule(member, sender).is_cut:
            return
        try:
            far = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            return
        async with far:
            with trio.CancelScope() as scope:
                self._connections[scope] = sender, member
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, near, far, sender, member, scope)
                    nursery.start_soon(self._pump, far, near, member, sender, scope)
            del self._connections[scope]

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        sender: str,
        receiver: str,
        scope: trio.CancelScope,
    ) -> None:
        try:
            while data := await source.receive_some(CHUNK_BYTES):
                while self.rule(sender, receiver).is_lost:
                    await self._changed.wait()
                delay = self.rule(sender, receiver).delay
                if delay:
                    await trio.sleep(delay)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    def _whose(self, port: int) -> str | None:
        """The member whose socket has this local port."""
        inode = _inode_of(port)
        for member, pid in list(self._pids.items()):
            folder = f"/proc/{pid}/fd"
            try:
                links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
            except OSError:
                continue  # it has ended, or closed the file
            if f"socket:[{inode}]" in links:
                return member
        return None


def _inode_of(port: int) -> str:
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for line in table:
            columns = line.split()
            if int(columns[1].partition(":")[2], 16) == port:
                return columns[9]
    return ""
