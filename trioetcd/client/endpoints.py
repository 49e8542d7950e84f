"""The servers of a cluster: calls take turns among them, and go past those that are gone.

A read is repeated elsewhere.  A write is repeated only if no server can have seen it.
Source: etcd client/v3/retry_interceptor.go, retry.go.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from trioetcd.client.credentials import STALE, Credentials, GivenToken
from trioetcd.client.errors import fate_of_write
from wire.errors import EtcdError
from wire.grpc.channel import Channel
from wire.grpc.client_calls import StreamExchange
from wire.grpc.client_errors import ChannelClosed, TimedOut
from wire.http2.headers import Headers
from wire.network import parse_url
from wire.status import Status

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """When a call goes round the endpoints again; pauses in seconds."""

    rounds: int = 6
    first_pause: float = 0.05
    most: float = 1.0

    def pause(self, round_: int, rng: random.Random) -> float:
        """After this round, counted from 0."""
        length = min(self.first_pause * 2.0 ** min(round_, 30), self.most)
        return length * rng.uniform(0.8, 1.2)


class Endpoints:
    """Their channels' `run` must be running."""

    def __init__(
        self,
        channels: Sequence[Channel],
        rng: random.Random,
        retry: Retry,
        credentials: Credentials | GivenToken | None,
    ) -> None:
        self.channels = list(channels)
        self.retry = retry
        self.rng = rng
        self.streams_ranges = True  # until a server has said that it does not
        self._credentials = credentials
        self._turn = rng.randrange(len(self.channels))

    def only(self, url: str) -> Endpoints:
        """The same with one of its servers alone.

        Raises:
            ValueError: it is none of them.
        """
        address = parse_url(url)
        found = [channel for channel in self.channels if channel.address == address]
        if not found:
            raise ValueError(f"not an endpoint of this client: {url}")
        return Endpoints(found, self.rng, self.retry, self._credentials)

    def next_channel(self) -> Channel:
        self._turn = (self._turn + 1) % len(self.channels)
        return self.channels[self._turn]

    async def read(self, path: str, request: bytes) -> bytes:
        """A call that may be repeated.  Raises EtcdError."""
        return await self._with_token(path, request, is_write=False)

    async def write(self, path: str, request: bytes) -> bytes:
        """A call that must not happen twice.

        Raises:
            NotApplied, MaybeApplied: no server has answered.
            EtcdError: it was refused.
        """
        try:
            return await self._with_token(path, request, is_write=True)
        except EtcdError as error:
            fate = fate_of_write(error)
            if fate is error:
                raise
            raise fate from error

    async def _with_token(self, path: str, request: bytes, *, is_write: bool) -> bytes:
        return await self.logged_in(
            lambda metadata: self._try_all(path, request, metadata, is_write)
        )

    async def logged_in(self, call: Callable[[Headers], Awaitable[T]]) -> T:
        """Make a call with a token, and once more with a new one if it is refused.

        A call that is refused for its token was refused before anything was done.
        """
        if self._credentials is None:
            return await call(())
        metadata = await self._credentials.metadata(self._read)
        try:
            return await call(metadata)
        except STALE:
            return await call(await self._credentials.renew(self._read, metadata))

    async def _read(self, path: str, request: bytes, metadata: Headers) -> bytes:
        return await self._try_all(path, request, metadata, False)

    async def _try_all(self, path: str, request: bytes, metadata: Headers, is_write: bool) -> bytes:
        last = len(self.channels) * self.retry.rounds - 1
        for number in range(last + 1):
            try:
                return await self.next_channel().unary(path, request, metadata=metadata)
            except EtcdError as error:
                if number == last or not may_repeat(error, is_write):
                    raise
            round_, place = divmod(number, len(self.channels))
            if place == len(self.channels) - 1:
                await trio.sleep(self.retry.pause(round_, self.rng))
        raise AssertionError("unreachable")

    # -- Streams

    async def metadata(self) -> Headers:
        """Header fields for a streaming call."""
        if self._credentials is None:
            return ()
        return await self._credentials.metadata(self._read)

    async def renew(self, stale: Headers) -> Headers:
        """`metadata`, when the server does not take the last one's token."""
        if self._credentials is None:
            return ()
        return await self._credentials.renew(self._read, stale)

    async def open_stream(self, path: str, metadata: Headers) -> StreamExchange:
        """On the first endpoint that can be reached; whoever opens it cancels it.

        Raises:
            Unavailable: there is none.
        """
        last = len(self.channels) - 1
        for number in range(last + 1):
            try:
                return await self.next_channel().open_stream(path, metadata=metadata)
            except EtcdError as error:
                if number == last or not may_repeat(error, False):
                    raise
        raise AssertionError("unreachable")


def may_repeat(error: EtcdError, is_write: bool) -> bool:
    """Whether another endpoint may do better, without doing it twice."""
    if isinstance(error, TimedOut | ChannelClosed) or error.status is not Status.UNAVAILABLE:
        return False
    return not is_write or getattr(error, "maybe_sent", True) is False
