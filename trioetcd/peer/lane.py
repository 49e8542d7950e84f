"""Messages that wait for one stream to one member.  Pure but for the waiting."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import trio

from actors.raft.types import Message, MessageType
from trioetcd.peer.protocol import BATCH_BYTES, join_messages
from trioetcd.peer.traffic import Traffic
from wire.errors import EtcdError

MAX_MESSAGES = 4096  # that wait; raft itself limits what it sends ahead of answers
MAX_BYTES = 64 << 20  # of entries that wait; raft's own limit for one member
DIRECT_BYTES = 256 << 10  # unsent on the stream, from which on messages wait here


class Outlet(Protocol):
    """The stream that is open; `wire.grpc.client_calls.StreamExchange`."""

    @property
    def unsent(self) -> int: ...

    def send_nowait(self, message: bytes) -> None:
        """Raises EtcdError or trio.BrokenResourceError if the stream is over."""
        ...


class Lane:
    """Takes messages while its stream is open, and drops them while it is not: raft says
    everything again that matters, and the old words would only be in the way.

    Of heartbeats only the newest waits: it says all that the ones before it said.  While
    nothing waits, messages go out at once, without a task in between.
    """

    def __init__(self, name: str, traffic: Traffic | None = None) -> None:
        self.name = name
        self._traffic = traffic or Traffic()
        self.is_open = False
        self.dropped = 0
        self._outlet: Outlet | None = None
        self._heartbeat: Message | None = None
        self._messages: deque[tuple[Message, int]] = deque()  # with the bytes of its entries
        self._bytes = 0
        self._arrived = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._messages) + (self._heartbeat is not None)

    def put(self, message: Message) -> bool:
        """Never waits; False if the message was dropped."""
        outlet = self._outlet
        if outlet is not None and not self._messages and outlet.unsent < DIRECT_BYTES:
            data = join_messages((message,))
            try:
                outlet.send_nowait(data)
            except (EtcdError, trio.BrokenResourceError):
                return self._drop()
            self._traffic.sent_bytes += len(data)
            return True
        size = sum([len(entry[3]) for entry in message.entries])
        if not self.is_open or self._is_full(size):
            return self._drop()
        if message.type is MessageType.HEARTBEAT:
            self._heartbeat = message
        else:
            self._messages.append((message, size))
            self._bytes += size
        if self._arrived:
            self._arrived.unpark()
        return True

    def _drop(self) -> bool:
        self.dropped += 1
        self._traffic.sent_failures += 1
        return False

    def _is_full(self, size: int) -> bool:
        """A message that is larger than all there is room for goes when nothing else waits."""
        waiting = self._messages
        return len(waiting) >= MAX_MESSAGES or (bool(waiting) and self._bytes + size > MAX_BYTES)

    def open(self, outlet: Outlet | None = None) -> None:
        """Without an outlet, everything waits to be taken."""
        self._clear()
        self.is_open = True
        self._outlet = outlet

    def close(self) -> None:
        self.is_open = False
        self._outlet = None
        self._clear()

    def _clear(self) -> None:
        self._heartbeat = None
        self._messages.clear()
        self._bytes = 0

    async def wait(self) -> None:
        """Until something waits.  Then nothing passes it, until it is taken and sent."""
        while not len(self):
            await self._arrived.park()

    async def take(self) -> bytes:
        """The next batch: all that waits, up to about BATCH_BYTES."""
        await self.wait()
        batch, taken = [], 0
        if self._heartbeat is not None:
            batch.append(self._heartbeat)
            self._heartbeat = None
        while self._messages and taken < BATCH_BYTES:
            message, size = self._messages.popleft()
            self._bytes -= size
            taken += size
            batch.append(message)
        data = join_messages(batch)
        self._traffic.sent_bytes += len(data)
        return data
