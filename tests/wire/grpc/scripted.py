"""A server that says what the test tells it to, and reads with h2 what the client says."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio

from wire.grpc.channel import Channel, ChannelOptions, open_channel
from wire.grpc.framing import frame
from wire.memory_network import MemoryNetwork, MemoryStream
from wire.network import Address

ADDRESS = Address("server", 2379)
METHOD = "/test.Echo/Call"
PATIENCE = 1000.0  # seconds of the test's clock after which silence is a failure
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Request:
    """A call as it came in."""

    def __init__(self, stream_id: int, headers: dict[str, str]) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.body = b""
        self.is_ended = False
        self.code: int | None = None  # of a RST_STREAM

    @property
    def message(self) -> bytes:
        return self.body[5:]


class Conversation:
    """One connection, from the server's side."""

    def __init__(self, stream: MemoryStream, settings: dict[int, int] | None) -> None:
        self.stream = stream
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=settings)
        self.requests: dict[int, Request] = {}
        self.pings = 0
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.acknowledges = True
        self._fresh: deque[Request] = deque()

    async def greet(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def hear(self) -> bool:
        """Read once; False at the end."""
        try:
            data = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            return False
        for event in self.h2.receive_data(data) if data else ():
            self._note(event)
        await self.flush()
        return bool(data)

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                request = Request(event.stream_id, dict(event.headers))
                self.requests[event.stream_id] = request
                self._fresh.append(request)
            case h2.events.DataReceived():
                self.requests[event.stream_id].body += event.data
                if self.acknowledges:
                    count = event.flow_controlled_length
                    self.h2.acknowledge_received_data(count, event.stream_id)
            case h2.events.StreamEnded():
                self.requests[event.stream_id].is_ended = True
            case h2.events.StreamReset():
                self.requests[event.stream_id].code = event.error_code
            case h2.events.PingReceived():
                self.pings += 1
            case h2.events.ConnectionTerminated():
                self.goaway = event

    async def until(self, done: Any) -> None:
        with trio.fail_after(PATIENCE):
            while not done():
                assert await self.hear(), "the client has closed"

    async def request(self) -> Request:
        """The next unary call, complete."""
        await self.until(lambda: any(one.is_ended for one in self._fresh))
        request = next(one for one in self._fresh if one.is_ended)
        self._fresh.remove(request)
        return request

    async def begun(self) -> Request:
        """The next call, as soon as it has begun."""
        await self.until(lambda: self._fresh)
        return self._fresh.popleft()

    async def begin(self, request: Request, headers: Any = HEADERS) -> None:
        self.h2.send_headers(request.stream_id, headers)
        await self.flush()

    async def send(self, request: Request, message: bytes) -> None:
        self.h2.send_data(request.stream_id, frame(message))
        await self.flush()

    async def end(self, request: Request, status: int = 0, text: str = "") -> None:
        trailers = [("grpc-status", str(status)), ("grpc-message", text)]
        self.h2.send_headers(request.stream_id, trailers, end_stream=True)
        await self.flush()

    async def answer(self, request: Request, message: bytes) -> None:
        await self.begin(request)
        await self.send(request, message)
        await self.end(request)

    async def reset(self, request: Request, code: int) -> None:
        self.h2.reset_stream(request.stream_id, code)
        await self.flush()

    async def say_goodbye(self, last: int, code: int = 0, text: bytes = b"") -> None:
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + text
        await self.stream.send_all(len(payload).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + payload)

    async def listen(self) -> None:
        """Read, and answer pings, until the client closes."""
        while await self.hear():
            pass


class ScriptedServer:
    def __init__(self, network: MemoryNetwork, settings: dict[int, int] | None) -> None:
        self.network = network
        self.settings = settings
        self.conversations: list[Conversation] = []
        self._listener: trio.abc.Listener[Any] | None = None

    async def open(self) -> None:
        (self._listener,) = await self.network.listen(ADDRESS)

    async def close(self) -> None:
        assert self._listener is not None
        await self._listener.aclose()

    async def accept_silently(self) -> Conversation:
        assert self._listener is not None
        with trio.fail_after(PATIENCE):
            stream = await self._listener.accept()
        conversation = Conversation(stream, self.settings)
        self.conversations.append(conversation)
        return conversation

    async def accept(self) -> Conversation:
        """The client's next connection, greeted."""
        conversation = await self.accept_silently()
        await conversation.greet()
        return conversation


class Asked:
    """A call made in the background, and how it went."""

    def __init__(self) -> None:
        self.result: bytes | None = None
        self.error: Exception | None = None
        self.scope = trio.CancelScope()
        self.is_over = False


class Scene:
    """A channel, and the server it talks to."""

    def __init__(self, channel: Channel, server: ScriptedServer, nursery: trio.Nursery) -> None:
        self.channel = channel
        self.server = server
        self.nursery = nursery

    def ask(self, message: bytes = b"question", **options: Any) -> Asked:
        asked = Asked()

        async def call() -> None:
            with asked.scope:
                try:
                    asked.result = await self.channel.unary(METHOD, message, **options)
                except Exception as error:
                    asked.error = error
            asked.is_over = True

        self.nursery.start_soon(call)
        return asked

    async def settled(self) -> None:
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def scene(
    *, settings: dict[int, int] | None = None, listening: bool = True, **options: Any
) -> AsyncIterator[Scene]:
    """`settings` are what the server announces; `options` are the channel's."""
    network = MemoryNetwork("server")
    server = ScriptedServer(network, settings)
    if listening:
        await server.open()
    rng = random.Random(1)
    async with trio.open_nursery() as nursery:
        client = network.host("client")
        async with open_channel(client, ADDRESS, rng, options=ChannelOptions(**options)) as channel:
            yield Scene(channel, server, nursery)
        nursery.cancel_scope.cancel()
