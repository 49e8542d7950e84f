"""What every stream of ours that is no socket has in common with one: Trio's manners.

One sender and one receiver at a time, a checkpoint in every call, and `ClosedResourceError` for
whoever uses what it has closed.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import trio


class WellMannered(trio.abc.HalfCloseableStream):
    """Sending and receiving, but for the bytes themselves."""

    def __init__(self) -> None:
        self.peer_name = ""
        self._sending = False
        self._receiving = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._one_sender():
            await trio.lowlevel.checkpoint()
            self._check_sending()
            rest = memoryview(data)
            while rest:
                await self._room()
                rest = rest[self._send(rest) :]

    async def wait_send_all_might_not_block(self) -> None:
        with self._one_sender():
            await trio.lowlevel.checkpoint()
            self._check_sending()
            await self._room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be >= 1")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this stream")
        self._receiving = True
        try:
            await trio.lowlevel.checkpoint()
            return await self._receive(max_bytes)
        finally:
            self._receiving = False

    @contextmanager
    def _one_sender(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    @abstractmethod
    def _check_sending(self) -> None:
        """Raise what sending raises now, if anything."""

    @abstractmethod
    async def _room(self) -> None:
        """Wait until something can be sent; raises what `_check_sending` raises."""

    @abstractmethod
    def _send(self, rest: memoryview) -> int:
        """Send as much as there is room for; how many bytes that was."""

    @abstractmethod
    async def _receive(self, most: int | None) -> bytes:
        """Wait for bytes and take up to `most` of them; b"" is the end."""
