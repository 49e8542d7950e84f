"""A way to a server that is cut, at any byte, in any manner.

Each connection gets a number of bytes, in both directions together, after which one of `MISHAPS`
befalls it.  From time to time the whole way goes silent, for new connections too.
"""

from __future__ import annotations

import struct
from collections import Counter
from random import Random

import trio
from trio import socket as trio_socket

MOST_BYTES = 20_000  # of a connection, before it is cut
CHUNK = 4096
RESET, CLOSED, HALF_CLOSED, SILENT = "reset", "closed", "half-closed", "silent"
MISHAPS = (*(RESET,) * 4, *(CLOSED,) * 3, HALF_CLOSED, SILENT)
SILENCE_CHANCE, SILENCE_SECONDS = 0.01, 4.0  # of the whole way, after a cut


class FaultProxy:
    """`run` must be running; clients connect to `url`."""

    def __init__(self, address: str, rng: Random) -> None:
        host, _, port = address.rpartition(":")
        self._target = host, int(port)
        self._rng = rng
        self._silent_until = -float("inf")
        self.cuts: Counter[str] = Counter()
        self.url = ""
        self.cut = trio.Event()  # set, and made anew, at every cut
        self.is_quiet = False  # nothing is cut any more

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started()
            await trio.sleep_forever()

    async def _serve(self, client: trio.SocketStream) -> None:
        connection = _Connection(self, client, self._rng.randrange(1, MOST_BYTES))
        try:
            await self._while_silent()
            async with await trio.open_tcp_stream(*self._target) as server:
                await connection.run(server)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        finally:
            await trio.aclose_forcefully(client)

    async def _while_silent(self) -> None:
        await trio.sleep(max(0, self._silent_until - trio.current_time()))

    def mishap(self) -> str:
        """What befalls a connection now."""
        kind = self._rng.choice(MISHAPS)
        return self.silence() if self._rng.random() < SILENCE_CHANCE else self._counted(kind)

    def silence(self) -> str:
        """Nothing comes through for a while, on any connection."""
        self._silent_until = trio.current_time() + SILENCE_SECONDS
        return self._counted(SILENT)

    def _counted(self, kind: str) -> str:
        self.cuts[kind] += 1
        self.cut.set()
        self.cut = trio.Event()
        return kind

    async def until_cuts(self, count: int) -> None:
        while self.cuts.total() < count:
            await self.cut.wait()


class _Connection:
    def __init__(self, proxy: FaultProxy, client: trio.SocketStream, rest: int) -> None:
        self._proxy = proxy
        self._client = client
        self._rest = rest  # bytes

    async def run(self, server: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            for source, target in ((self._client, server), (server, self._client)):
                nursery.start_soon(self._pump, source, target, nursery.cancel_scope)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(CHUNK):
                await self._proxy._while_silent()
                passed = bytes(data) if self._proxy.is_quiet else bytes(data[: self._rest])
                self._rest -= len(data)
                await target.send_all(passed)
                if self._rest <= 0 and not self._proxy.is_quiet:
                    await self._befall(target, scope)
            await target.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()

    async def _befall(self, target: trio.SocketStream, scope: trio.CancelScope) -> None:
        match self._proxy.mishap():
            case "reset":
                linger = struct.pack("ii", 1, 0)  # closing then sends a RST
                self._client.socket.setsockopt(
                    trio_socket.SOL_SOCKET, trio_socket.SO_LINGER, linger
                )
                scope.cancel()
            case "half-closed":
                await target.send_eof()
                await trio.sleep_forever()
            case "silent":
                await trio.sleep_forever()
            case _:
                scope.cancel()
        await trio.lowlevel.checkpoint()
