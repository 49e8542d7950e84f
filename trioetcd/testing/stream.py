"""One connection of the simulated network: two directions, two ends.

The ends keep the contract of Trio's streams: end-of-file after what was sent, a broken
connection after a reset, waiting for room, one sender and one receiver at a time.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

import trio

from wire.stream_manners import WellMannered

WINDOW_BYTES = 64 * 1024  # sent and not acknowledged, at which sending waits


class Segment(NamedTuple):
    data: bytes = b""
    is_end: bool = False
    is_reset: bool = False


class Carrier(Protocol):
    """What a connection needs of the network."""

    def send(self, pipe: Pipe, segment: Segment) -> None: ...

    def is_open(self, source: str, target: str) -> bool: ...

    def forget(self, pipe: Pipe) -> None: ...

    def reset_sent(self) -> None: ...


class Pipe:
    """One direction.

    Invariant: `unacknowledged` is what is under way, or lies in `data`, and what was read while
    no acknowledgement could come back.
    """

    stream: SimulatedStream  # the end that sends
    reader: SimulatedStream

    def __init__(self, network: Carrier, source: str, target: str) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.under_way: deque[Segment] = deque()  # in the order they were sent
        self.held = 0  # how many of them met a cut; what comes after waits with them
        self.busy_until = 0.0
        self.last_arrival = 0.0
        self.unacknowledged = 0
        self.data = bytearray()  # arrived, not read
        self.at_end = False
        self.changed = trio.lowlevel.ParkingLot()
        self._held_acknowledgements = 0

    def send(self, segment: Segment) -> None:
        self.unacknowledged += len(segment.data)
        self.network.send(self, segment)

    def deliver(self, segment: Segment) -> None:
        """A segment has arrived at the target."""
        if segment.is_reset:
            self.reader.broken()
        elif self.reader.is_gone:
            self.reader.answer_with_reset()
        else:
            self.data += segment.data
            self.at_end |= segment.is_end
            self.changed.unpark_all()

    def read(self, most: int | None) -> bytes:
        found = bytes(self.data[:most])
        del self.data[: len(found)]
        self._held_acknowledgements += len(found)
        if self.network.is_open(self.target, self.source):
            self.acknowledge()
        return found

    def acknowledge(self) -> None:
        self.unacknowledged -= self._held_acknowledgements
        self._held_acknowledgements = 0
        self.changed.unpark_all()

    def acknowledge_held(self) -> None:
        """This way is open again: so the other direction's reader can be heard."""
        self.stream.incoming.acknowledge()

    def give_up(self) -> None:
        """Too much was lost in a row: both systems end the connection by themselves."""
        self.stream.broken()
        self.reader.broken()

    def receiver_dies(self) -> None:
        self.reader.die()

    def sender_dies(self) -> None:
        if self.held:  # nobody will send them again, and nothing after them is of use
            self.under_way.clear()
        self.stream.die()


class SimulatedStream(WellMannered):
    """One end of a connection."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        super().__init__()
        self.incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._ended = False  # nothing more will be sent
        self._broken = False

    @property
    def is_gone(self) -> bool:
        """Nobody will read what arrives."""
        return self._closed or self._broken

    def _send(self, rest: memoryview) -> int:
        piece = bytes(rest[: WINDOW_BYTES - self._outgoing.unacknowledged])
        self._outgoing.send(Segment(piece))
        self._check_sending()
        return len(piece)

    async def _room(self) -> None:
        while self._outgoing.unacknowledged >= WINDOW_BYTES:
            await self._outgoing.changed.park()
            self._check_sending()

    def _check_sending(self) -> None:
        if self._closed or self._ended:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError("broken pipe")

    async def _receive(self, most: int | None) -> bytes:
        pipe = self.incoming
        while not (self._closed or pipe.data or pipe.at_end or self._broken):
            await pipe.changed.park()
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken and not pipe.data:
            raise trio.BrokenResourceError("connection reset by peer")
        return pipe.read(most)

    async def send_eof(self) -> None:
        with self._one_sender():
            if self._closed:
                raise trio.ClosedResourceError
            if not (self._ended or self._broken):
                self._ended = True
                self._outgoing.send(Segment(is_end=True))
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        if not self._closed:
            if self.incoming.data:
                self.reset()
            elif not (self._ended or self._broken):
                self._outgoing.send(Segment(is_end=True))
            self._close()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """End the connection as a system does whose process has died."""
        if not self._closed:
            if not self._broken:
                self.answer_with_reset()
            self._close()

    def _close(self) -> None:
        self._closed = self._ended = True
        self.incoming.data.clear()
        self._wake()
        if self._outgoing.reader.is_gone:
            self._forget()

    def _forget(self) -> None:
        for pipe in (self.incoming, self._outgoing):
            pipe.network.forget(pipe)

    def _wake(self) -> None:
        self.incoming.changed.unpark_all()
        self._outgoing.changed.unpark_all()

    # -- What happens to this end

    def answer_with_reset(self) -> None:
        self._outgoing.network.reset_sent()
        self._outgoing.network.send(self._outgoing, Segment(is_reset=True))

    def broken(self) -> None:
        """A reset has arrived.  What came before it may still be read."""
        self._broken = True
        self._wake()
        self._forget()

    def die(self) -> None:
        """The host has lost power: whoever still holds this end is a ghost."""
        self._closed = self._ended = True
        self._wake()
