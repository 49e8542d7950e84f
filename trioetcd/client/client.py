"""The client: everything a program asks of etcd, or of trioetcd.

async with trioetcd.open_client("http://127.0.0.1:2379") as client:
    await client.put("greeting", "hello")
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

import trio

from trioetcd.beside import beside
from trioetcd.client.auth import Auth
from trioetcd.client.barrier import Barrier, DoubleBarrier
from trioetcd.client.base import BaseClient
from trioetcd.client.cache import Cache, open_cache
from trioetcd.client.cluster import Cluster
from trioetcd.client.credentials import Credentials, GivenToken
from trioetcd.client.endpoints import Endpoints, Retry
from trioetcd.client.lock import DEFAULT_TTL, Hold, Locks
from trioetcd.client.maintenance import Maintenance
from trioetcd.client.queue import PriorityQueue, Queue
from trioetcd.client.stm import MOST_ATTEMPTS, STM, Isolation, run_stm
from trioetcd.client.values import Data, KeyValue
from wire.grpc.channel import Channel, ChannelOptions
from wire.grpc.client_link import ClientKeepAlive
from wire.log import NullLog
from wire.network import Network, RealNetwork, parse_url
from wire.tls import ClientTLS, TLSSettings

KEEP_ALIVE = ClientKeepAlive(interval=10.0, timeout=5.0)  # a dead server is noticed in 15 s
T = TypeVar("T")


class Client(BaseClient):
    """See `open_client`, which makes one.  Any number of tasks may use it."""

    def __init__(self, endpoints: Endpoints, nursery: trio.Nursery) -> None:
        super().__init__(endpoints, nursery)
        self.auth = Auth(endpoints)
        self.cluster = Cluster(endpoints)
        self.maintenance = Maintenance(endpoints)
        self._locks = Locks(endpoints, self, self, nursery)

    async def log_in(self) -> None:
        """Ask for the user's token now, and not when the first call needs it.

        Raises:
            AuthFailed: the password is wrong.
        """
        await self._endpoints.metadata()

    def lock(self, name: Data, *, ttl: int = DEFAULT_TTL) -> AbstractAsyncContextManager[Hold]:
        """`async with`: wait for the lock, hold it in the block.  See `Locks.hold`."""
        return self._locks.hold(name, b"", ttl)

    def leadership(
        self, name: Data, value: Data = b"", *, ttl: int = DEFAULT_TTL
    ) -> AbstractAsyncContextManager[Hold]:
        """`async with`: campaign, lead in the block.  See `Locks.hold`."""
        return self._locks.hold(name, value, ttl)

    async def leader(self, name: Data) -> KeyValue | None:
        """Who leads in an election, or None."""
        return await self._locks.leader(name)

    def observe(self, name: Data) -> AsyncIterator[KeyValue]:
        """Who leads in an election, now and later."""
        return self._locks.observe(name)

    def barrier(self, name: Data) -> Barrier:
        """Many wait until one releases it."""
        return Barrier(self, self._locks, name)

    def double_barrier(self, name: Data, count: int) -> DoubleBarrier:
        """`count` programs begin together and end together."""
        return DoubleBarrier(self, self._locks, name, count)

    def queue(self, name: Data) -> Queue:
        """First in, first out."""
        return Queue(self, self._locks, name, self._endpoints.rng)

    def priority_queue(self, name: Data) -> PriorityQueue:
        """The lowest number first."""
        return PriorityQueue(self, self._locks, name, self._endpoints.rng)

    def cache(self, prefix: Data) -> AbstractAsyncContextManager[Cache]:
        """`async with`: a copy of all keys with this prefix, kept fresh while the block runs.

        Raises:
            EtcdError: it cannot be kept fresh any more; the block was cancelled.
        """
        return open_cache(self, prefix)

    async def stm(
        self,
        function: Callable[[STM], Awaitable[T]],
        *,
        isolation: Isolation = "serializable-snapshot",
        attempts: int = MOST_ATTEMPTS,
    ) -> T:
        """Run a function of reads and writes as if nothing else happened; what it returns.

        It may run several times, so it must do nothing but read and write through its STM.

        Raises:
            Conflict: others were faster, so many times.
            MaybeApplied: it is not known whether the writes were done.
        """
        return await run_stm(self, function, isolation, attempts, self._endpoints.rng)


@asynccontextmanager
async def open_client(
    *urls: str,
    user: str = "",
    password: str | Callable[[], str] = "",
    token: str = "",
    tls: TLSSettings | None = None,
    network: Network | None = None,
    retry: Retry | None = None,
    options: ChannelOptions | None = None,
    rng: random.Random | None = None,
) -> AsyncIterator[Client]:
    """A client of the cluster at these URLs (`http`, `https`, `unix`, `unixs`).

    Nothing is connected before the first call.  `tls` says whom to trust, and which certificate
    to show, at `https` URLs.  A `token`, such as a JWT, takes the place of user and password.
    What the block raises is raised as it is, in no group.

    Raises:
        BadURL, TLSError: the URLs or certificates cannot be used.
    """
    if not urls:
        raise ValueError("a client needs at least one URL")
    if not trio.lowlevel.in_trio_task():
        raise RuntimeError("this client is Trio's; for asyncio there is trioetcd.aio")
    chance = rng or random.Random()
    addresses = [parse_url(url) for url in urls]
    secure = (
        ClientTLS(tls or TLSSettings(), NullLog()) if any(a.secure for a in addresses) else None
    )
    options = options or ChannelOptions(keep_alive=KEEP_ALIVE)
    channels = [
        Channel(network or RealNetwork(), a, chance, secure if a.secure else None, options)
        for a in addresses
    ]
    credentials: Credentials | GivenToken | None = None
    if token or user:
        credentials = GivenToken(token) if token else Credentials(user, password)
    endpoints = Endpoints(channels, chance, retry or Retry(), credentials)
    connections = trio.CancelScope(shield=True)  # last to go: blocks give their leases back
    async with beside(partial(_run_all, channels, connections)) as nursery:
        try:
            yield Client(endpoints, nursery)
        finally:
            connections.cancel()


async def _run_all(channels: list[Channel], scope: trio.CancelScope) -> None:
    """Until the scope is cancelled, whatever becomes of the program around it."""
    with scope:
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(channel.run)
