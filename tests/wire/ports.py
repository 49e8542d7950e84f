"""A port on a memory network whose connections are echoed, and what they said of themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from wire.grpc.service import Peer
from wire.listener import Port, Protocols
from wire.memory_network import MemoryNetwork, MemoryStream
from wire.network import Address
from wire.tls import ServerTLS

ADDRESS = Address("127.0.0.1", 2379)


class LinesLog:
    """A log that can be looked at: (level, message, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def bind(self, **fields: object) -> LinesLog:
        return self

    def debug(self, message: str, **fields: object) -> None:
        self.lines.append(("debug", message, fields))

    def info(self, message: str, **fields: object) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, **fields: object) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, **fields: object) -> None:
        self.lines.append(("error", message, fields))

    def errors_of(self, message: str) -> list[object]:
        """The `error` fields of the lines with a message."""
        return [fields.get("error") for _, text, fields in self.lines if text == message]


class EchoPort:
    """Each connection gets back what it sends, after the name of the protocol it was taken for."""

    def __init__(self, log: LinesLog | None = None) -> None:
        self.log = log or LinesLog()
        self.peers: list[Peer] = []
        self.network = MemoryNetwork()
        self.stubborn = False  # connections do not end when the port drains
        self.port: Port

    async def http1(
        self, stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await self._echo(b"1:", stream, peer, initial, draining)

    async def http2(
        self, stream: trio.abc.Stream, peer: Peer, initial: bytes, draining: trio.Event
    ) -> None:
        await self._echo(b"2:", stream, peer, initial, draining)

    async def _echo(
        self,
        name: bytes,
        stream: trio.abc.Stream,
        peer: Peer,
        initial: bytes,
        draining: trio.Event,
    ) -> None:
        self.peers.append(peer)
        async with trio.open_nursery() as nursery:

            async def drain() -> None:
                await draining.wait()
                if not self.stubborn:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(drain)
            await self._send_back(name + initial, stream, draining)
            nursery.cancel_scope.cancel()

    async def _send_back(self, data: bytes, stream: trio.abc.Stream, draining: trio.Event) -> None:
        await stream.send_all(data)
        while data := bytes(await stream.receive_some(65536)):
            if b"crash" in data:
                raise KeyError("a defect")
            if b"last" in data:
                await draining.wait()
            await stream.send_all(data)
            if b"last" in data:
                return

    async def connect(self) -> MemoryStream:
        return await self.network.connect(ADDRESS)


@asynccontextmanager
async def echo_port(
    tls: ServerTLS | None = None, log: LinesLog | None = None, **options: Any
) -> AsyncIterator[EchoPort]:
    echo = EchoPort(log)
    listeners = await echo.network.listen(ADDRESS)
    echo.port = Port(listeners, Protocols(echo.http2, echo.http1), echo.log, tls, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(echo.port.run)
        yield echo
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.abc.Stream) -> bytes:
    """Everything until the other side ends the connection, in whatever way."""
    found = b""
    try:
        while data := await stream.receive_some(65536):
            found += data
    except trio.BrokenResourceError:
        pass
    return found


async def read_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = await stream.receive_some(count - len(found))
        assert data, f"ended after {found!r}"
        found += data
    return found
