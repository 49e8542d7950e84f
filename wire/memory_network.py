"""A network inside the process, for tests and simulations: no sockets, the same manners as TCP.

Closing a stream lets the peer read what was sent and then end-of-file.  Closing it with
something unread, or `reset`, breaks the connection instead.  Whoever does not read makes the
sender wait.  Under a seeded Trio scheduler everything here happens the same way every time.
"""

from __future__ import annotations

import errno
from collections import deque

import trio

from wire.network import Address, NetworkError
from wire.stream_manners import WellMannered

PIPE_BYTES = 64 * 1024  # sent and not received, at which sending waits
BACKLOG = 128  # connections not accepted yet, at which connecting waits
FIRST_FREE_PORT = 49152


class MemoryNetwork:
    """The network as one host sees it; `host` gives it another host's eyes."""

    def __init__(self, name: str = "memory") -> None:
        """`name` is who listeners see connecting."""
        self._name = name
        self._listeners: dict[str, MemoryListener] = {}

    def host(self, name: str) -> MemoryNetwork:
        other = MemoryNetwork(name)
        other._listeners = self._listeners
        return other

    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        await trio.lowlevel.checkpoint()
        if not address.path and not address.port:
            address = Address(address.host, self._free_port(address.host))
        name = str(address)
        if name in self._listeners:
            raise NetworkError(errno.EADDRINUSE, f"listen tcp {name}: bind: address already in use")
        listener = self._listeners[name] = MemoryListener(self._listeners, address)
        return [listener]

    def _free_port(self, host: str) -> int:
        port = FIRST_FREE_PORT
        while str(Address(host, port)) in self._listeners:
            port += 1
        return port

    async def connect(self, address: Address) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        listener = self._listeners.get(str(address))
        if listener is None:
            raise _refused(address)
        return await listener.connect(self._name)


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """An open port."""

    def __init__(self, open_ports: dict[str, MemoryListener], address: Address) -> None:
        self.address = address
        self._open_ports = open_ports
        self._waiting: deque[MemoryStream] = deque()
        self._arrived = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._closed = False

    async def connect(self, name: str) -> MemoryStream:
        """The network's side: queue one end of a new connection, return the other."""
        while len(self._waiting) >= BACKLOG and not self._closed:
            await self._room.park()
        if self._closed:
            raise _refused(self.address)
        near, far = memory_stream_pair()
        far.peer_name = name
        near.peer_name = str(self.address)
        self._waiting.append(far)
        self._arrived.unpark()
        return near

    async def accept(self) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._closed:
                raise trio.ClosedResourceError
            await self._arrived.park()
        self._room.unpark()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            del self._open_ports[str(self.address)]
            for stream in self._waiting:
                stream.reset()
            self._waiting.clear()
            self._arrived.unpark_all()
            self._room.unpark_all()
        await trio.lowlevel.checkpoint()


def _refused(address: Address) -> NetworkError:
    return NetworkError(errno.ECONNREFUSED, f"dial tcp {address}: connect: connection refused")


def memory_stream_pair(pipe_bytes: int = PIPE_BYTES) -> tuple[MemoryStream, MemoryStream]:
    """The two ends of one connection."""
    there, back = _Pipe(pipe_bytes), _Pipe(pipe_bytes)
    return MemoryStream(back, there), MemoryStream(there, back)


class _Pipe:
    """One direction: what was sent and not received."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.data = bytearray()
        self.ended = False  # the sender will send no more
        self.broken = False  # nothing more goes through; what is in `data` may still be read
        self.changed = trio.lowlevel.ParkingLot()

    @property
    def is_full(self) -> bool:
        return len(self.data) >= self.most


class MemoryStream(WellMannered):
    """One end of a connection."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        super().__init__()
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False

    def _send(self, rest: memoryview) -> int:
        pipe = self._outgoing
        piece = rest[: pipe.most - len(pipe.data)]
        pipe.data += piece
        pipe.changed.unpark_all()
        return len(piece)

    async def _room(self) -> None:
        while self._outgoing.is_full:
            await self._outgoing.changed.park()
            self._check_sending()

    def _check_sending(self) -> None:
        if self._closed or self._outgoing.ended:
            raise trio.ClosedResourceError
        if self._outgoing.broken:
            raise trio.BrokenResourceError("broken pipe")

    async def _receive(self, most: int | None) -> bytes:
        pipe = self._incoming
        while not (self._closed or pipe.data or pipe.ended or pipe.broken):
            await pipe.changed.park()
        if self._closed:
            raise trio.ClosedResourceError
        if pipe.broken and not pipe.data:
            raise trio.BrokenResourceError("connection reset by peer")
        found = bytes(pipe.data[:most])
        del pipe.data[: len(found)]
        pipe.changed.unpark_all()
        return found

    async def send_eof(self) -> None:
        with self._one_sender():
            if self._closed:
                raise trio.ClosedResourceError
            self._outgoing.ended = True
            self._outgoing.changed.unpark_all()
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self._shut(broken=bool(self._incoming.data))
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """End the connection as a host does that has lost power and come back."""
        self._shut(broken=True)

    def _shut(self, *, broken: bool) -> None:
        if self._closed:
            return
        self._closed = True
        self._incoming.broken = True  # the peer's sending fails from now on
        self._incoming.data.clear()
        self._outgoing.broken |= broken
        self._outgoing.ended = True
        self._incoming.changed.unpark_all()
        self._outgoing.changed.unpark_all()
