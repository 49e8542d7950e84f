"""A method by its path: one request message, one answer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

from trioetcd.client.endpoints import Endpoints

if TYPE_CHECKING:
    from google.protobuf.message import Message

A = TypeVar("A", bound="Message", covariant=True)


class Kind(Protocol[A]):
    """A message's class."""

    def FromString(self, data: bytes, /) -> A: ...


class Calls:
    """What the parts of a client have in common: servers to ask."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def call(
        self, path: str, request: Message, kind: Kind[A], *, is_write: bool = False
    ) -> A:
        """Any method, by its path, such as "/etcdserverpb.KV/Range"; its answer's class is `kind`.

        A write is repeated only if no server can have seen it.  Raises EtcdError.
        """
        return await call(self._endpoints, path, request, kind, is_write=is_write)

    async def answers(self, path: str, request: Message, kind: Kind[A]) -> list[A]:
        """Those of a method that streams them, all together.  Raises EtcdError."""
        metadata = await self._endpoints.metadata()
        stream = await self._endpoints.open_stream(path, metadata)
        async with stream:
            with suppress(trio.BrokenResourceError):  # it has ended already: the loop tells why
                stream.send_nowait(request.SerializeToString())
                stream.done_sending()
            return [kind.FromString(message) async for message in stream]


async def call(
    endpoints: Endpoints, path: str, request: Message, kind: Kind[A], *, is_write: bool = False
) -> A:
    """As `Calls.call`, of these endpoints."""
    send = endpoints.write if is_write else endpoints.read
    return kind.FromString(await send(path, request.SerializeToString()))
