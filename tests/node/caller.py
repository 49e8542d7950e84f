"""Calls on a node's services, as a connection makes them, without a connection."""

from __future__ import annotations

from collections import deque

import trio

from trioetcd.node.node import Node
from wire.errors import EtcdError
from wire.grpc.metadata import Metadata
from wire.grpc.service import Context, Peer, UnaryCall
from wire.pb import etcdserverpb
from wire.status import Status


class Caller:
    """Makes calls as a connection does."""

    is_backlogged = False

    def __init__(
        self, node: Node, metadata: Metadata | None = None, peer: Peer | None = None
    ) -> None:
        self.node = node
        self.metadata = metadata or {}
        self.peer = peer or Peer()
        self._answers: dict[int, tuple[Status, bytes, str]] = {}
        self._answered: dict[int, trio.Event] = {}
        self._number = 0

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self._answers[call.stream_id] = Status.OK, message, ""
        self._answered[call.stream_id].set()

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None:
        self._answers[call.stream_id] = status, b"", text
        self._answered[call.stream_id].set()

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()

    async def call(self, path: str, request, response):
        """The response, or the error's words."""
        self._number += 1
        method = self.node.registry.methods[path.encode()]
        context = Context(path, self.metadata, self.peer)
        call = UnaryCall(self, self._number, method, context, request.SerializeToString(), None)
        answered = self._answered[call.stream_id] = trio.Event()
        if method.batch is not None:
            wait = method.batch.submit([call])
            if wait is not None:
                await wait
            await answered.wait()
        else:
            try:
                call.reply(await method.unary(call))
            except EtcdError as refusal:
                call.refuse(refusal)
        status, message, text = self._answers.pop(call.stream_id)
        return response.FromString(message) if status is Status.OK else text

    async def put(self, key: bytes, value: bytes = b"v", **fields):
        request = etcdserverpb.PutRequest(key=key, value=value, **fields)
        return await self.call("/etcdserverpb.KV/Put", request, etcdserverpb.PutResponse)

    async def get(self, key: bytes, end: bytes = b""):
        request = etcdserverpb.RangeRequest(key=key, range_end=end)
        return await self.call("/etcdserverpb.KV/Range", request, etcdserverpb.RangeResponse)

    async def stream(self, path: str, *requests) -> FakeStream:
        """A server-streaming call, run to its end."""
        stream = FakeStream([request.SerializeToString() for request in requests])
        stream.context = Context(path, self.metadata, self.peer)
        handler = self.node.registry.methods[path.encode()].stream
        assert handler is not None
        await handler(stream)
        return stream


class FakeStream:
    """A client that takes everything at once."""

    unsent = 0

    def __init__(self, messages: list[bytes]) -> None:
        self.context = Context("", {}, Peer())
        self.sent: list[bytes] = []
        self._messages = deque(messages)

    async def receive(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._messages.popleft() if self._messages else None

    async def send(self, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)
