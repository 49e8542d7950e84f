"""Members that have nothing but their links: what their rafts hear is written down."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from actors.kernel import Child, InlineWorker, Node, Strategy, Supervisor
from actors.raft.types import (
    ConfState,
    Entry,
    Message,
    MessageType,
    NodeID,
    Snapshot,
    SnapshotMetadata,
)
from actors.snapshot.files import SnapshotBroken
from tests.wire.ports import LinesLog
from trioetcd.node.listening import PEER_KEEP_ALIVE, PEER_LIMITS, Answers, make_port
from trioetcd.peer.link import Surroundings
from trioetcd.peer.links import Links, run_links
from trioetcd.peer.server import PeerService
from wire.grpc.service import Registry
from wire.http import not_found
from wire.memory_network import MemoryStream
from wire.network import Address, Network, parse_url
from wire.tls import ClientTLS, ServerTLS

CLUSTER = 0xC1
ELECTION_TIMEOUT = 1.0  # seconds
PATIENCE = 60.0  # seconds, for anything that is to happen
METADATA = SnapshotMetadata(index=7, term=2, conf_state=ConfState(voters=(1, 2)))


class FakeRaft:
    """Hears what links and the service have to say."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lost: list[NodeID] = []
        self.snapshots: list[tuple[NodeID, bool]] = []
        self.is_full = False
        self._changed = trio.lowlevel.ParkingLot()

    def step(self, message: Message) -> bool:
        if self.is_full:
            return False
        self.messages.append(message)
        self._changed.unpark_all()
        return True

    def unreachable(self, peer: NodeID) -> None:
        self.lost.append(peer)
        self._changed.unpark_all()

    def snapshot_sent(self, peer: NodeID, *, arrived: bool) -> None:
        self.snapshots.append((peer, arrived))
        self._changed.unpark_all()

    async def until(self, done: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not done():
                await self._changed.park()

    def of_type(self, kind: MessageType) -> list[Message]:
        return [message for message in self.messages if message.type is kind]


@dataclass
class FakeSource:
    """A state that is `pieces`."""

    pieces: Iterable[bytes] = (b"first", b"second")
    opened: int = 0
    open_now: int = 0
    metadata: SnapshotMetadata = METADATA
    failure: Exception | None = None

    async def open(self) -> FakeSource:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        self.opened += 1
        self.open_now += 1
        return self

    def chunks(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        self.open_now -= 1


@dataclass
class FakeSink:
    """Keeps what came whole."""

    kept: dict[int, bytes] = field(default_factory=dict)
    aborted: int = 0
    is_broken: bool = False  # what came is found to be no database

    def begin(self, metadata: SnapshotMetadata) -> FakeIncoming:
        return FakeIncoming(self, metadata)


class FakeIncoming:
    def __init__(self, sink: FakeSink, metadata: SnapshotMetadata) -> None:
        self._sink = sink
        self._metadata = metadata
        self._pieces: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self._pieces.append(chunk)

    def finish(self) -> None:
        if self._sink.is_broken:
            raise SnapshotBroken("no database")
        self._sink.kept[self._metadata.index] = b"".join(self._pieces)

    def abort(self) -> None:
        self._sink.aborted += 1


class FakeMembers:
    def __init__(self) -> None:
        self.removed: set[NodeID] = set()

    def is_removed(self, member: NodeID) -> bool:
        return member in self.removed


class Member:
    """One member: its links run as long as the scene; its port opens and closes."""

    def __init__(
        self,
        own: NodeID,
        network: Network,
        *,
        cluster_id: int = CLUSTER,
        client_tls: ClientTLS | None = None,
        server_tls: ServerTLS | None = None,
    ) -> None:
        self.own = own
        self.network = network
        self.raft = FakeRaft()
        self.members = FakeMembers()
        self.source, self.sink = FakeSource(), FakeSink()
        self.log = LinesLog()
        self.told_removed = 0
        self.rng = random.Random(own)
        self.links = Links(
            Surroundings(
                own=own,
                own_urls=(f"http://m{own}:2380",),
                cluster_id=cluster_id,
                network=network,
                rng=self.rng,
                tls=client_tls,
                raft=self.raft,
                snapshots=self.source,
                log=self.log,
                election_timeout=ELECTION_TIMEOUT,
                removed=self._removed,
            )
        )
        self.registry = Registry()
        self.service = PeerService(
            own,
            cluster_id,
            self.raft,
            self.members,
            self.links,
            self.sink,
            InlineWorker(),
            self.log,
        )
        self.service.register(self.registry, {})
        self._server_tls = server_tls
        self._closing = trio.CancelScope()
        self._streams: list[Breakable] = []

    def _removed(self) -> None:
        self.told_removed += 1

    async def run_links(
        self, *, task_status: trio.TaskStatus[Links] = trio.TASK_STATUS_IGNORED
    ) -> None:
        self.tree = Node("peers")
        group = Supervisor(
            self.tree,
            [Child("links", partial(run_links, self.links, lambda child: group.begin(child)))],
            strategy=Strategy.ONE_FOR_ONE,
            burst=10,
            period=60.0,
        )
        await group.run(task_status=task_status)

    async def serve(
        self, address: Address, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Until `vanish`, or the end."""
        listeners = await self.network.listen(address)
        answers = Answers(self.registry, not_found, PEER_LIMITS, PEER_KEEP_ALIVE, lambda: 0.0)
        doors = [Door(listener, self._streams) for listener in listeners]
        port = make_port(doors, answers, self._server_tls, self.log)
        with trio.CancelScope() as self._closing:
            async with trio.open_nursery() as nursery:
                await nursery.start(port.run)
                task_status.started(address_of(listeners[0], address))

    async def reached(self, peer: NodeID) -> None:
        """Until both streams to a member are open."""
        await self.until(lambda: self.is_connected(peer))

    async def unreached(self, peer: NodeID) -> None:
        await self.until(lambda: self.links.active_since(peer) is None)

    async def until(self, done: Callable[[], bool]) -> None:
        """For what nobody announces."""
        with trio.fail_after(PATIENCE):
            while True:
                if done():
                    return
                await trio.sleep(0.01)

    def is_connected(self, peer: NodeID) -> bool:
        link = self.links._links.get(peer)
        return link is not None and link.control.is_open and link.bulk.is_open

    def vanish(self) -> None:
        """The port closes, and its connections break, as of a process that was killed."""
        for stream in self._streams:
            stream.reset()
        self._streams.clear()
        self._closing.cancel()

    def freeze(self) -> None:
        """Its connections stay, and nothing is read from them any more; new ones are fine."""
        for stream in self._streams:
            stream.is_frozen = True
        self._streams.clear()


class Door(trio.abc.Listener[trio.abc.Stream]):
    """A listener whose connections can be broken."""

    def __init__(self, inner: trio.abc.Listener[trio.abc.Stream], streams: list[Breakable]) -> None:
        self._inner = inner
        self._streams = streams

    async def accept(self) -> trio.abc.Stream:
        stream = await self._inner.accept()
        if not isinstance(stream, MemoryStream):
            return stream
        self._streams.append(Breakable(stream))
        return self._streams[-1]

    async def aclose(self) -> None:
        await self._inner.aclose()


class Breakable(trio.abc.Stream):
    def __init__(self, inner: MemoryStream) -> None:
        self._inner = inner
        self.is_frozen = False
        self.reset = inner.reset
        self.peer_name = inner.peer_name

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.is_frozen:
            await trio.sleep_forever()
        data = await self._inner.receive_some(max_bytes)
        if self.is_frozen:
            await trio.sleep_forever()
        return data

    async def aclose(self) -> None:
        await self._inner.aclose()


def address_of(listener: trio.abc.Listener[trio.abc.Stream], asked: Address) -> Address:
    if isinstance(listener, trio.SocketListener):
        return Address(asked.host, listener.socket.getsockname()[1], secure=asked.secure)
    return asked


def url_of(member: NodeID) -> str:
    return f"http://m{member}:2380"


class Scene:
    def __init__(self, nursery: trio.Nursery, network: Network) -> None:
        self.nursery = nursery
        self.network = network

    async def add(self, own: NodeID, **options: object) -> Member:
        """A member with a port, and no links yet."""
        member = Member(own, self.network, **options)  # type: ignore[arg-type]
        await self.nursery.start(member.serve, parse_url(url_of(own)))
        await self.nursery.start(member.run_links)
        return member

    async def reopen(self, member: Member) -> None:
        await self.nursery.start(member.serve, parse_url(url_of(member.own)))

    async def pair(self) -> tuple[Member, Member]:
        """1, which is linked to 2."""
        one, two = await self.add(1), await self.add(2)
        one.links.follow({2: (url_of(2),)})
        await one.reached(2)
        return one, two


@asynccontextmanager
async def scene(network: Network) -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        yield Scene(nursery, network)
        nursery.cancel_scope.cancel()


# -- Messages


def append(index: int, *datas: bytes, to: NodeID = 2) -> Message:
    entries = [Entry(0, 1, index + 1 + n, data) for n, data in enumerate(datas)]
    return Message(MessageType.APPEND, to, 1, term=1, index=index, entries=entries)


def heartbeat(commit: int, *, to: NodeID = 2, term: int = 1, context: int = 0) -> Message:
    return Message(MessageType.HEARTBEAT, to, 1, term=term, commit=commit, context=context)


def snapshot(to: NodeID = 2) -> Message:
    return Message(MessageType.SNAPSHOT, to, 1, term=2, snapshot=Snapshot(METADATA))


def indexes(messages: Iterable[Message]) -> list[int]:
    return [message.index for message in messages]
