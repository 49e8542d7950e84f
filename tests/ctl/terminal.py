"""`trioetcd ctl` inside a test, at a node in the same process, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from typing import NamedTuple

from trioetcd import Client, NodeSettings, open_client, open_node
from trioetcd.ctl.console import Console
from trioetcd.ctl.main import run_ctl
from trioetcd.node.embedding import serve_clients
from wire.memory_network import MemoryNetwork
from wire.network import Network

URL = "http://127.0.0.1:2379"


class Printed(NamedTuple):
    status: int
    out: str
    err: str


class TerminalOutput(BytesIO):
    def isatty(self) -> bool:
        return True


class Terminal:
    def __init__(self, network: Network | None, *, is_terminal: bool = False) -> None:
        self.network = network
        self.out = TerminalOutput() if is_terminal else BytesIO()
        self.err = BytesIO()

    def client(self) -> AbstractAsyncContextManager[Client]:
        return open_client(URL, network=self.network)

    async def run(self, *words: str, stdin: bytes = b"", **environ: str) -> Printed:
        """A command, and what it printed."""
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        console = Console(BytesIO(stdin), self.out, self.err, environ)
        status = await run_ctl(words, console, self.network)
        return Printed(status, *map(_text, (self.out, self.err)))


def _text(stream: BytesIO) -> str:
    return stream.getvalue().decode(errors="surrogateescape")


@asynccontextmanager
async def open_terminal(*, is_terminal: bool = False) -> AsyncIterator[Terminal]:
    network = MemoryNetwork()
    async with open_node(NodeSettings()) as node, serve_clients(node, URL, network=network):
        yield Terminal(network, is_terminal=is_terminal)
