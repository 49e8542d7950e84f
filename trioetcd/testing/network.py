"""A network of several hosts inside the process: delay, loss, partitions, hosts that vanish.

What travels are TCP's segments as an application notices them: nothing is lost or reordered
within a connection, but it may come late, in other pieces, or never again.  A cut way holds
what is sent over it until it is healed, as retransmissions do; a one-way cut also holds the
acknowledgements of the other direction, so its sender runs out of room.  All times are on
Trio's clock, all chance from one generator: under a seeded scheduler everything here happens
the same way every time.
Source: RFC 9293 §3.8 (retransmission), §3.5.2 (reset generation); Linux tcp_syn_retries.
"""

from __future__ import annotations

import errno
import heapq
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import trio

from trioetcd.testing.stream import Pipe, Segment, SimulatedStream
from wire.network import Address, NetworkError

BACKLOG = 128  # connections not accepted yet, at which more are refused
CONNECT_SECONDS = 127.0  # until connecting gives up: Linux's six repetitions of a SYN
RETRY_SECONDS = 0.2  # the first pause before what was lost is sent again; doubles each time
MAX_RETRIES = 8  # losses in a row after which a connection is reset
FIRST_FREE_PORT = 49152
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass
class Way:
    """What becomes of segments from one host to another.  Times in seconds."""

    delay: float = 0.0005
    jitter: float = 0.0005  # at most so much on top
    loss: float = 0.0  # chance that a segment must be sent again
    bytes_per_second: float = float("inf")
    is_cut: bool = False


@dataclass
class Counters:
    connections: int = 0
    refused: int = 0
    resets: int = 0
    segments: int = 0
    bytes: int = 0
    lost: int = 0
    held: int = 0  # segments that met a cut


class SimulatedNetwork:
    """`run` must be running.  Hosts come into being when they are named."""

    def __init__(self, rng: random.Random, *, split: float = 0.05) -> None:
        """`split` is the chance that what is sent at once arrives in two pieces."""
        self.rng = rng
        self.counters = Counters()
        self.usual = Way()  # what a way that was not seen before begins as
        self._split = split
        self._ways: dict[tuple[str, str], Way] = {}
        self._down: set[str] = set()
        self._listeners: dict[tuple[str, int], SimulatedListener] = {}
        self._pipes: dict[Pipe, None] = {}  # of living connections, oldest first
        self._arrivals: list[tuple[float, int, Pipe]] = []  # each of the next segment in a pipe
        self._numbers = count()
        self._departed = trio.Event()
        self._opened = trio.Event()  # a way was healed, or a host came back

    def host(self, name: str) -> Host:
        """The network as one host sees it."""
        return Host(self, name)

    # -- Faults

    def way(self, source: str, target: str) -> Way:
        key = source, target
        if key not in self._ways:
            self._ways[key] = replace(self.usual)
        return self._ways[key]

    def change(self, source: str, target: str, like: Way) -> None:
        """Another delay, loss and width; whether it is cut stays."""
        cut = self.way(source, target).is_cut
        self._ways[source, target] = replace(like, is_cut=cut)

    def cut(self, sources: Iterable[str], targets: Iterable[str], *, one_way: bool = False) -> None:
        """Nothing passes from the ones to the others; nor back, unless it is `one_way`."""
        targets = list(targets)
        for source in sources:
            for target in targets:
                if source != target:
                    self.way(source, target).is_cut = True
                    if not one_way:
                        self.way(target, source).is_cut = True

    def heal(self) -> None:
        """Take all cuts back; what was held is sent again."""
        for way in self._ways.values():
            way.is_cut = False
        self._reopen()

    def calm(self) -> None:
        """`heal`, every way is again as usual, and what is on its way arrives soon."""
        self._ways.clear()
        soon = trio.current_time() + RETRY_SECONDS
        self._arrivals = [(min(time, soon), number, pipe) for time, number, pipe in self._arrivals]
        heapq.heapify(self._arrivals)
        for pipe in self._pipes:
            pipe.last_arrival = min(pipe.last_arrival, soon)
            pipe.busy_until = min(pipe.busy_until, soon)
        self._reopen()

    def power_off(self, name: str) -> None:
        """A host vanishes without a word; those who speak to it hear nothing until it is back."""
        self._down.add(name)
        for pipe in list(self._pipes):
            if pipe.target == name:
                pipe.receiver_dies()
            if pipe.source == name:
                pipe.sender_dies()
        for key in [key for key in self._listeners if key[0] == name]:
            self._listeners.pop(key).die()

    def power_on(self, name: str) -> None:
        """It knows nothing of its old connections and resets them when they are used."""
        self._down.discard(name)
        self._reopen()

    def kill(self, name: str) -> None:
        """A host's processes die: the system resets their connections."""
        for pipe in list(self._pipes):
            if pipe.source == name:
                pipe.stream.reset()
        for key in [key for key in self._listeners if key[0] == name]:
            self._listeners.pop(key).die()

    def is_open(self, source: str, target: str) -> bool:
        return not self.way(source, target).is_cut and target not in self._down

    def _reopen(self) -> None:
        self._opened.set()
        self._opened = trio.Event()
        for pipe in list(self._pipes):
            if not self.is_open(pipe.source, pipe.target):
                continue
            pipe.acknowledge_held()
            held, pipe.held = pipe.held, 0
            for _ in range(held):
                self._schedule(pipe, 0, self.rng.uniform(0, RETRY_SECONDS))

    # -- Segments

    def send(self, pipe: Pipe, segment: Segment) -> None:
        """Called by streams; what `segment` holds is counted already."""
        data = segment.data
        if len(data) > 1 and self.rng.random() < self._split:
            middle = self.rng.randrange(1, len(data))
            self._send(pipe, Segment(data[:middle]))
            segment = Segment(data[middle:])
        self._send(pipe, segment)

    def _send(self, pipe: Pipe, segment: Segment) -> None:
        self.counters.segments += 1
        pipe.under_way.append(segment)
        self._schedule(pipe, len(segment.data))

    def _schedule(self, pipe: Pipe, size: int, late: float = 0.0) -> None:
        """Note when a pipe's next segment arrives: never before one that was sent earlier."""
        way = self.way(pipe.source, pipe.target)
        pause, losses = RETRY_SECONDS, 0
        while way.loss and self.rng.random() < way.loss:
            self.counters.lost += 1
            late, pause, losses = late + pause, 2 * pause, losses + 1
            if losses == MAX_RETRIES:
                pipe.give_up()
                return
        ready = max(trio.current_time(), pipe.busy_until) + size / way.bytes_per_second
        pipe.busy_until = ready
        arrival = ready + late + way.delay + self.rng.random() * way.jitter
        pipe.last_arrival = arrival = max(arrival, pipe.last_arrival)
        heapq.heappush(self._arrivals, (arrival, next(self._numbers), pipe))
        self._departed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver what was sent, until cancelled."""
        task_status.started()
        while True:
            self._departed = trio.Event()
            deadline = self._arrivals[0][0] if self._arrivals else float("inf")
            with trio.move_on_at(deadline):
                await self._departed.wait()
            now = trio.current_time()
            while self._arrivals and self._arrivals[0][0] <= now:
                _, _, pipe = heapq.heappop(self._arrivals)
                self._arrive(pipe)

    def _arrive(self, pipe: Pipe) -> None:
        """The next segment, whichever that is by now."""
        if pipe.held or not self.is_open(pipe.source, pipe.target):
            self.counters.held += 1
            pipe.held += 1
        elif pipe.under_way:
            segment = pipe.under_way.popleft()
            self.counters.bytes += len(segment.data)
            pipe.deliver(segment)

    def reset_sent(self) -> None:
        self.counters.resets += 1

    def forget(self, pipe: Pipe) -> None:
        """Nothing more will ever come through it."""
        self._pipes.pop(pipe, None)

    # -- Connections

    async def travel(self, source: str, target: str) -> None:
        """What a single packet takes that is repeated until it arrives."""
        way = self.way(source, target)
        await trio.sleep(way.delay + self.rng.random() * way.jitter)
        while not self.is_open(source, target):
            await self._opened.wait()
            await trio.sleep(self.rng.uniform(0, RETRY_SECONDS))

    def pair(self, client: str, server: str) -> tuple[SimulatedStream, SimulatedStream]:
        there, back = Pipe(self, client, server), Pipe(self, server, client)
        near, far = SimulatedStream(back, there), SimulatedStream(there, back)
        there.stream, there.reader, back.stream, back.reader = near, far, far, near
        self._pipes |= {there: None, back: None}
        self.counters.connections += 1
        return near, far

    def listener(self, name: str, port: int) -> SimulatedListener | None:
        return self._listeners.get((name, port))

    def open_port(self, name: str, address: Address) -> SimulatedListener:
        port = address.port or next(
            port for port in count(FIRST_FREE_PORT) if (name, port) not in self._listeners
        )
        bound = Address(address.host, port)
        if (name, port) in self._listeners:
            raise NetworkError(
                errno.EADDRINUSE, f"listen tcp {bound}: bind: address already in use"
            )
        listener = self._listeners[name, port] = SimulatedListener(self, name, bound)
        return listener

    def close_port(self, listener: SimulatedListener) -> None:
        key = listener.name, listener.address.port
        if self._listeners.get(key) is listener:
            del self._listeners[key]


class Host:
    """`wire.network.Network` for one host."""

    def __init__(self, network: SimulatedNetwork, name: str) -> None:
        self._network = network
        self.name = name

    async def listen(self, address: Address) -> list[trio.abc.Listener[trio.abc.Stream]]:
        await trio.lowlevel.checkpoint()
        return [self._network.open_port(self.name, address)]

    async def connect(self, address: Address) -> trio.abc.Stream:
        network = self._network
        target = self.name if address.host in OWN_NAMES else address.host
        with trio.move_on_after(CONNECT_SECONDS):
            await network.travel(self.name, target)
            listener = network.listener(target, address.port)
            if listener is None or listener.is_full:
                await network.travel(target, self.name)
                network.counters.refused += 1
                words = f"dial tcp {address}: connect: connection refused"
                raise NetworkError(errno.ECONNREFUSED, words)
            near, far = network.pair(self.name, target)
            near.peer_name, far.peer_name = str(address), f"{self.name}:{FIRST_FREE_PORT}"
            listener.arrived(far)
            try:
                await network.travel(target, self.name)
            except BaseException:
                near.reset()
                raise
            return near
        raise NetworkError(errno.ETIMEDOUT, f"dial tcp {address}: i/o timeout")


class SimulatedListener(trio.abc.Listener[trio.abc.Stream]):
    """An open port of a host."""

    def __init__(self, network: SimulatedNetwork, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self._network = network
        self._waiting: deque[SimulatedStream] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= BACKLOG

    def arrived(self, stream: SimulatedStream) -> None:
        self._waiting.append(stream)
        self._changed.unpark()

    def die(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._changed.unpark_all()

    async def accept(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._closed:
                raise trio.ClosedResourceError
            await self._changed.park()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        self._network.close_port(self)
        for stream in self._waiting:
            stream.reset()
        self.die()
        await trio.lowlevel.checkpoint()


def every_pair(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """All ways between hosts, each direction once."""
    names = list(names)
    return ((one, other) for one in names for other in names if one != other)
