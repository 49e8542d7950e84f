"""Messages that wait for one stream to one member.  Pure but for the waiting."""

from __future__ import annotations

from collections import deque

import trio

from actors.raft.types import Message
from trioetcd.peer.protocol import BATCH_BYTES, join_messages

MAX_MESSAGES = 4096  # that wait; raft itself limits what it sends ahead of answers


class Lane:
    """Takes messages while its stream is open, and drops them while it is not: raft says
    everything again that matters, and the old words would only be in the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = False
        self.dropped = 0
        self._messages: deque[Message] = deque()
        self._arrived = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Never waits; False if the message was dropped."""
        if not self.is_open or len(self._messages) >= MAX_MESSAGES:
            self.dropped += 1
            return False
        self._messages.append(message)
        if self._arrived:
            self._arrived.unpark()
        return True

    def open(self) -> None:
        self._messages.clear()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self._messages.clear()

    async def take(self) -> bytes:
        """The next batch: all that waits, up to about BATCH_BYTES."""
        while not self._messages:
            await self._arrived.park()
        batch, size = [], 0
        while self._messages and size < BATCH_BYTES:
            data = join_messages((self._messages.popleft(),))
            batch.append(data)
            size += len(data)
        return b"".join(batch)
