"""A streaming call without a connection: what the client sends and reads is in the test's hands."""

from __future__ import annotations

from collections import deque

import trio

from wire.grpc.framing import PREFIX_BYTES, frame
from wire.grpc.service import Context, Peer

PATH = "/test.Test/Test"


class FakeStream:
    """Obeys `ServerStream`.  What the server sends stays unsent until the client reads."""

    def __init__(self, *, reading: bool = True) -> None:
        self.context = Context(PATH, {}, Peer())
        self.reading = reading  # whether the client takes what is sent at once
        self._requests: deque[bytes | None] = deque()
        self._asked = trio.Event()
        self._sent: deque[bytes] = deque()
        self._came = trio.Event()
        self._taken = trio.Event()
        self._unsent = 0
        self.peak = 0  # the most bytes that were ever unsent

    # -- The handler's side

    async def receive(self) -> bytes | None:
        while not self._requests:
            self._asked = trio.Event()
            await self._asked.wait()
        return self._requests.popleft()

    async def send(self, message: bytes) -> None:
        await self.drained(1 << 18)
        self.send_framed(frame(message))

    def send_framed(self, data: bytes) -> None:
        while data:
            size = PREFIX_BYTES + int.from_bytes(data[1:PREFIX_BYTES], "big")
            self._sent.append(data[PREFIX_BYTES:size])
            if not self.reading:
                self._unsent += size
                self.peak = max(self.peak, self._unsent)
            data = data[size:]
        self._came.set()

    @property
    def unsent(self) -> int:
        return self._unsent

    async def drained(self, below: int) -> None:
        while self._unsent >= below:
            self._taken = trio.Event()
            await self._taken.wait()

    # -- The client's side

    def ask(self, message: bytes | None) -> None:
        """A request, or (None) no more of them."""
        self._requests.append(message)
        self._asked.set()

    async def read(self) -> bytes:
        """The next response."""
        while not self._sent:
            self._came = trio.Event()
            await self._came.wait()
        message = self._sent.popleft()
        self._unsent = max(0, self._unsent - len(message) - PREFIX_BYTES)
        self._taken.set()
        return message

    @property
    def waiting(self) -> int:
        """Responses that were sent and not read."""
        return len(self._sent)
