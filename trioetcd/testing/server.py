"""A node, or a cluster, on a thread of its own: for tests and programs that are not async.

with serve() as server:
    server.client.put("a", "1")            # blocks
    subprocess.run(["etcdctl", f"--endpoints={server.url}", "get", "a"])
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import trio

from trioetcd.client.calls import Calls
from trioetcd.client.client import Client, open_client
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.nodes import open_cluster

ANY_PORT = "http://127.0.0.1:0"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
T = TypeVar("T")


class Blocking:
    """A client's methods, each of which blocks until it has its answer."""

    def __init__(self, server: Server, target: object) -> None:
        self._server = server
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if isinstance(found, Calls):
            return Blocking(self._server, found)
        if not inspect.iscoroutinefunction(found):
            raise AttributeError(f"{name} needs a block that is async: see Server.run")

        def method(*arguments: object, **named: object) -> object:
            return self._server.await_here(partial(found, *arguments, **named))

        return method


class Server:
    """What runs on the other thread, seen from this one."""

    def __init__(self, token: trio.lowlevel.TrioToken, urls: list[str], client: Client) -> None:
        self.urls = urls  # one a member
        self.client: Any = Blocking(self, client)
        self._token = token
        self._client = client

    @property
    def url(self) -> str:
        return self.urls[0]

    def run(self, function: Callable[[Client], Awaitable[T]]) -> T:
        """Await `function(client)` over there: for watches, locks, and whatever takes a block.

        Raises what it raises.
        """
        return self.await_here(partial(function, self._client))

    def await_here(self, function: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(function, trio_token=self._token)


class _Thread:
    """Runs the loop; says when it is ready, or what has failed."""

    def __init__(self, members: int, settings: NodeSettings | None, listen: str) -> None:
        self._members = members
        self._settings = settings
        self._listen = listen
        self._ready = threading.Event()
        self._scope = trio.CancelScope()
        self._server: Server | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="trioetcd", daemon=True)

    def start(self) -> Server:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise TimeoutError(f"the server is not ready after {START_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure
        assert self._server is not None
        return self._server

    def stop(self) -> None:
        """Raises what has ended the server before."""
        if self._server is not None and self._thread.is_alive():
            trio.from_thread.run_sync(self._scope.cancel, trio_token=self._server._token)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"the server has not stopped after {STOP_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        with self._scope:
            async with AsyncExitStack() as stack:
                if self._members == 1:
                    node = await stack.enter_async_context(
                        open_node(self._settings, listen=[self._listen])
                    )
                    urls = list(node.client_urls)
                else:
                    cluster = await stack.enter_async_context(
                        open_cluster(self._members, settings=self._settings, listen=(self._listen,))
                    )
                    urls = cluster.urls
                client = await stack.enter_async_context(open_client(*urls))
                self._server = Server(trio.lowlevel.current_trio_token(), urls, client)
                self._ready.set()
                await trio.sleep_forever()


@contextmanager
def serve(
    members: int = 1, *, settings: NodeSettings | None = None, listen: str = ANY_PORT
) -> Iterator[Server]:
    """`with`: this many members on another thread, in memory unless the settings say otherwise.

    Raises:
        StartError: a port is taken, or the storage cannot be used.
        ExceptionGroup: at the end: a part has failed meanwhile.
    """
    thread = _Thread(members, settings, listen)
    server = thread.start()
    try:
        yield server
    finally:
        thread.stop()
