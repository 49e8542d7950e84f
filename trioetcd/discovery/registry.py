"""What the discovery service keeps about one token, and the calls that read and write it.

The service is any etcd: keys under `/_etcd/registry/TOKEN`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from trioetcd.discovery.errors import DiscoveryError
from wire.errors import EtcdError
from wire.grpc.channel import Channel, ChannelOptions, open_channel
from wire.http2.headers import Headers
from wire.network import BadURL, Network, parse_url
from wire.pb import etcdserverpb
from wire.tls import ClientTLS

PREFIX = "/_etcd/registry"
_RANGE, _PUT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put"
_WATCH = "/etcdserverpb.Watch/Watch"


class Unreachable(Exception):
    """None of the service's endpoints has answered; another time one may."""


class Registry:
    """One token's registry."""

    def __init__(
        self,
        channels: Sequence[Channel],
        token: str,
        request_timeout: float,
        user: str = "",
        password: str = "",
    ) -> None:
        self._channels = channels
        self._timeout = request_timeout
        self.token = token
        self._root = f"{PREFIX}/{token}".encode()
        self._user, self._password = user, password

    async def size(self) -> int:
        """How many members the cluster shall have.

        Raises:
            DiscoveryError: nobody has said so.
            Unreachable: see there.
        """
        answer = await self._range(self._root + b"/_config/size")
        if not answer.kvs:
            raise DiscoveryError("failed to join discovery cluster (discovery: size key not found)")
        try:
            size = int(answer.kvs[0].value)
        except ValueError:
            size = 0
        if size <= 0:
            raise DiscoveryError("failed to join discovery cluster (discovery: size key is bad)")
        return size

    async def members(self) -> tuple[list[tuple[str, str]], int]:
        """Id and entry of each, in the order they came, and the store's revision."""
        prefix = self._root + b"/members"
        answer = await self._range(prefix, prefix[:-1] + b"t")
        rows = sorted(answer.kvs, key=lambda row: row.create_revision)
        texts = [(row.key.decode().strip(), row.value.decode().strip()) for row in rows]
        entries = [(key.rpartition("/")[2], entry) for key, entry in texts if "=" in entry]
        return entries, answer.header.revision

    async def register(self, member: str, entry: str) -> None:
        key = self._root + f"/members/{member}".encode()
        request = etcdserverpb.PutRequest(key=key, value=entry.encode())
        await self._call(_PUT, request.SerializeToString())

    async def wait(self, revision: int) -> None:
        """Until somebody registers after `revision`."""
        prefix = self._root + b"/members"
        create = etcdserverpb.WatchCreateRequest(
            key=prefix, range_end=prefix[:-1] + b"t", start_revision=revision + 1
        )
        request = etcdserverpb.WatchRequest(create_request=create).SerializeToString()
        metadata = await self._credentials()
        failure: EtcdError | None = None
        for channel in self._channels:
            try:
                async with channel.stream(_WATCH, metadata=metadata) as watch:
                    await watch.send(request)
                    async for message in watch:
                        answer = etcdserverpb.WatchResponse.FromString(message)
                        if answer.events or answer.canceled:
                            return
            except EtcdError as error:
                failure = error
        raise Unreachable(str(failure or "the stream has ended"))

    async def _range(self, key: bytes, end: bytes = b"") -> etcdserverpb.RangeResponse:
        request = etcdserverpb.RangeRequest(key=key, range_end=end)
        answer = await self._call(_RANGE, request.SerializeToString())
        return etcdserverpb.RangeResponse.FromString(answer)

    async def _call(self, path: str, request: bytes) -> bytes:
        return await self._first_answer(path, request, await self._credentials())

    async def _credentials(self) -> Headers:
        if not self._user:
            return ()
        request = etcdserverpb.AuthenticateRequest(name=self._user, password=self._password)
        path = "/etcdserverpb.Auth/Authenticate"
        answer = await self._first_answer(path, request.SerializeToString(), ())
        token = etcdserverpb.AuthenticateResponse.FromString(answer).token
        return ((b"token", token.encode()),)

    async def _first_answer(self, path: str, request: bytes, metadata: Headers) -> bytes:
        """Of the endpoints, in their order."""
        failure: EtcdError | None = None
        for channel in self._channels:
            try:
                return await channel.unary(path, request, metadata=metadata, timeout=self._timeout)
            except EtcdError as error:
                failure = error
        raise Unreachable(str(failure)) from failure


@asynccontextmanager
async def open_registry(
    network: Network,
    endpoints: Sequence[str],
    token: str,
    rng: random.Random,
    *,
    tls: ClientTLS | None,
    dial_timeout: float,
    request_timeout: float,
    user: str = "",
    password: str = "",
) -> AsyncIterator[Registry]:
    """Raises DiscoveryError for endpoints that cannot be."""
    async with AsyncExitStack() as stack:
        channels = []
        for endpoint in endpoints:
            try:
                address = parse_url(endpoint)
            except BadURL as error:
                raise DiscoveryError(f"discovery: {error}") from error
            options = ChannelOptions(connect_seconds=dial_timeout)
            used = tls if address.secure else None
            opened = open_channel(network, address, rng, tls=used, options=options)
            channels.append(await stack.enter_async_context(opened))
        yield Registry(channels, token, request_timeout, user, password)
