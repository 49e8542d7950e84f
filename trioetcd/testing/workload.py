"""Clients that write, read, watch and hold leases at random, and note what they are told.

Every value that is put is unique, so that a read says which write it saw.  A call is tried once:
an answer that leaves open whether the server did it makes an operation of unknown outcome.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import trio

from trioetcd.testing.history import (
    Delete,
    Delivery,
    Event,
    Found,
    Get,
    Operation,
    Put,
    PutAll,
    Request,
    Swap,
    Watching,
    Written,
)
from trioetcd.testing.trace import Trace
from wire.errors import (
    DeadlineExceeded,
    EtcdError,
    LeaderChanged,
    LeaseNotFound,
    NoLeader,
    TooManyRequests,
)
from wire.grpc.channel import Backoff, Channel, ChannelOptions, open_channel
from wire.grpc.client_errors import ChannelClosed, TimedOut, Unavailable
from wire.grpc.client_link import ClientKeepAlive
from wire.network import Address, Network
from wire.pb import etcdserverpb, mvccpb

PATIENCE = (0.7, 2.0, 9.0)  # seconds a client waits for an answer: some give up before servers do
KEYS = tuple(b"key/%d" % number for number in range(5))
COMPACTIONS = 0.02  # of all that a client does
LEASED = b"lease/"  # in front of keys that go with a lease
CERTAINLY_NOT = (LeaderChanged, LeaseNotFound, NoLeader, TooManyRequests)
"""Refusals after which nothing was, or ever will be, done."""

_KV = "/etcdserverpb.KV/"
_OPTIONS = ChannelOptions(
    connect_seconds=1.0,
    keep_alive=ClientKeepAlive(interval=10.0, timeout=2.0),
    backoff=Backoff(first=0.05, most=0.5),
)


def is_unknown(error: EtcdError) -> bool:
    """Whether a refused call may have been carried out, or will be."""
    if isinstance(error, Unavailable | TimedOut | ChannelClosed):
        return error.maybe_sent
    return not isinstance(error, CERTAINLY_NOT)


@dataclass
class Leased:
    """A key with a lease that was kept alive for a while, and may be gone after that."""

    lease: int
    ttl: int
    key: bytes
    renewed: list[tuple[float, float]] = field(default_factory=list)  # asked, and acknowledged
    revoked: float | None = None  # when that was asked for


@dataclass
class Notes:
    """What all clients together were told."""

    trace: Trace
    operations: list[Operation] = field(default_factory=list)
    watchings: list[Watching] = field(default_factory=list)
    leases: list[Leased] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)

    def refused(self, error: EtcdError) -> None:
        words = str(error)
        self.refusals[words] = self.refusals.get(words, 0) + 1


class Client:
    """Asks the servers in an order of its own."""

    def __init__(
        self, number: int, channels: Sequence[Channel], rng: random.Random, notes: Notes
    ) -> None:
        self.name = f"client{number}"
        self.number = number
        self.rng = rng
        self.notes = notes
        self._channels = channels
        self._values = count(1)

    def channel(self) -> Channel:
        return self.rng.choice(self._channels)

    def value(self) -> bytes:
        """One that nobody else puts, of a length that varies a little."""
        text = b"%d.%d" % (self.number, next(self._values))
        return text + b"." * self.rng.choice((0, 0, 0, 100, 5000))

    async def call(self, name: str, request: bytes) -> bytes:
        """Raises EtcdError."""
        return await self.channel().unary(name, request, timeout=self.rng.choice(PATIENCE))

    # -- Reads and writes

    async def work(self, mean_pause: float, noted: Callable[[], int]) -> None:
        """One operation after another, for ever; `noted` is up to where may be compacted."""
        while True:
            await trio.sleep(self.rng.expovariate(1 / mean_pause))
            if self.rng.random() < COMPACTIONS:
                await self._compact(noted() - self.rng.randrange(20))
            else:
                await self.do(self._choose())

    async def _compact(self, revision: int) -> None:
        request = etcdserverpb.CompactionRequest(
            revision=revision, physical=self.rng.random() < 0.3
        )
        self.notes.trace.note(self.name, f"compacts at {revision}")
        await self._try(self.call(_KV + "Compact", request.SerializeToString()))

    def _choose(self) -> Request:
        rng = self.rng
        key = rng.choice(KEYS)
        kind = rng.random()
        if kind < 0.35:
            return Get(key, serializable=rng.random() < 0.2)
        if kind < 0.65:
            return Put(key, self.value())
        if kind < 0.75:
            return Delete(key)
        if kind < 0.9:
            return Swap(key, self._guess(key), self.value())
        return PutAll(tuple((key, self.value()) for key in sorted(rng.sample(KEYS, 2))))

    def _guess(self, key: bytes) -> bytes | None:
        """What the key most likely has: what was last seen of it."""
        for one in reversed(self.notes.operations[-40:]):
            if isinstance(one.request, Put) and one.request.key == key and one.is_known:
                return one.request.value
            if isinstance(one.request, Get) and one.request.key == key:
                return one.result.value if isinstance(one.result, Found) else None
        return None

    async def do(self, request: Request) -> Operation | None:
        """Carry out and note one operation; None if it was certainly not done."""
        trace = self.notes.trace
        operation = Operation(self.number, request, trio.current_time())
        trace.note(self.name, f"asks {request}")
        position = len(self.notes.operations)
        self.notes.operations.append(operation)
        try:
            operation.result = await self._ask(request)
        except EtcdError as error:
            self.notes.refused(error)
            trace.note(self.name, f"hears {error}")
            if not is_unknown(error):
                del self.notes.operations[self._find(operation, position)]
                return None
        else:
            operation.returned = trio.current_time()
            trace.note(self.name, f"gets {operation.result}")
        return operation

    def _find(self, operation: Operation, position: int) -> int:
        """Others before it may have been taken out since."""
        operations = self.notes.operations
        position = min(position, len(operations) - 1)
        while operations[position] is not operation:
            position -= 1
        return position

    async def _ask(self, request: Request) -> Found | Written:
        match request:
            case Get(key, serializable):
                message = etcdserverpb.RangeRequest(key=key, serializable=serializable)
                answer = await self.call(_KV + "Range", message.SerializeToString())
                return _found(etcdserverpb.RangeResponse.FromString(answer))
            case Put(key, value, lease):
                put = etcdserverpb.PutRequest(key=key, value=value, lease=lease)
                answer = await self.call(_KV + "Put", put.SerializeToString())
                return Written(etcdserverpb.PutResponse.FromString(answer).header.revision)
            case Delete(key):
                delete = etcdserverpb.DeleteRangeRequest(key=key)
                answer = await self.call(_KV + "DeleteRange", delete.SerializeToString())
                deleted = etcdserverpb.DeleteRangeResponse.FromString(answer)
                return Written(deleted.header.revision, deleted.deleted)
            case Swap() | PutAll():
                answer = await self.call(_KV + "Txn", _txn(request).SerializeToString())
                done = etcdserverpb.TxnResponse.FromString(answer)
                if done.succeeded:
                    return Written(done.header.revision)
                found = _found(done.responses[0].response_range)
                return found._replace(revision=done.header.revision)

    # -- Watches

    async def watch(self, watching: Watching) -> None:
        """Watch for ever, on one server after another, going on where the last one stopped."""
        self.notes.watchings.append(watching)
        while True:
            try:
                compacted = await self._watch_once(watching)
                if compacted:
                    watching.is_over = True
                    watching = Watching(compacted, watching.key, watching.range_end)
                    self.notes.watchings.append(watching)
            except EtcdError as error:
                self.notes.trace.note(self.name, f"watch ends: {error}")
            except trio.BrokenResourceError:
                pass  # the server has ended it well
            watching.drop_fragments()
            await trio.sleep(self.rng.uniform(0.05, 0.5))

    async def _watch_once(self, watching: Watching) -> int:
        """Until it ends.  The revision to begin again from if what comes next was compacted."""
        create = etcdserverpb.WatchCreateRequest(
            key=watching.key,
            range_end=watching.range_end,
            start_revision=watching.next_revision,
            progress_notify=True,
            fragment=True,
        )
        request = etcdserverpb.WatchRequest(create_request=create).SerializeToString()
        async with self.channel().stream("/etcdserverpb.Watch/Watch") as stream:
            await stream.send(request)
            while (message := await stream.receive()) is not None:
                response = etcdserverpb.WatchResponse.FromString(message)
                if response.canceled:
                    self.notes.trace.note(self.name, f"watch canceled: {response.cancel_reason}")
                    return response.compact_revision
                if not response.created:
                    delivery = _delivery(response)
                    watching.deliveries.append(delivery)
                    self.notes.trace.note(self.name, f"watch hears {delivery}")
        return 0

    # -- Leases

    async def hold_leases(self) -> None:
        """Grant, keep alive for a while, let go; for ever."""
        for number in count(1):
            ttl = self.rng.randrange(2, 6)
            lease = self.number * 1000 + number
            held = Leased(lease, ttl, LEASED + b"%d" % lease)
            asked = trio.current_time()
            grant = etcdserverpb.LeaseGrantRequest(ID=lease, TTL=ttl).SerializeToString()
            if not await self._try(self.call("/etcdserverpb.Lease/LeaseGrant", grant)):
                continue
            held.renewed.append((asked, trio.current_time()))
            done = await self.do(Put(held.key, self.value(), lease))
            self.notes.leases.append(held)
            if done is None:
                continue
            await self._keep(held)

    async def _try(self, call: Awaitable[bytes]) -> bool:
        try:
            await call
        except EtcdError as error:
            self.notes.refused(error)
            await trio.sleep(0.1)
            return False
        return True

    async def _keep(self, held: Leased) -> None:
        for _ in range(self.rng.randrange(4)):
            await trio.sleep(self.rng.uniform(0.1, held.ttl))
            asked = trio.current_time()
            try:
                with trio.move_on_after(max(PATIENCE)):
                    ttl = await self._renew(held.lease)
                    if ttl <= 0:
                        return
                    held.renewed.append((asked, trio.current_time()))
                    self.notes.trace.note(self.name, f"lease {held.lease} has {ttl} s")
            except (EtcdError, trio.BrokenResourceError) as error:
                self.notes.trace.note(self.name, f"cannot renew {held.lease}: {error}")
        if self.rng.random() < 0.3:
            held.revoked = trio.current_time()
            revoke = etcdserverpb.LeaseRevokeRequest(ID=held.lease).SerializeToString()
            await self._try(self.call("/etcdserverpb.Lease/LeaseRevoke", revoke))

    async def _renew(self, lease: int) -> int:
        request = etcdserverpb.LeaseKeepAliveRequest(ID=lease).SerializeToString()
        async with self.channel().stream("/etcdserverpb.Lease/LeaseKeepAlive") as stream:
            await stream.send(request)
            answer = await stream.receive()
        if answer is None:
            raise DeadlineExceeded
        return etcdserverpb.LeaseKeepAliveResponse.FromString(answer).TTL


@asynccontextmanager
async def open_client(
    number: int,
    network: Network,
    servers: Sequence[Address],
    rng: random.Random,
    notes: Notes,
) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(open_channel(network, address, rng, options=_OPTIONS))
            for address in servers
        ]
        yield Client(number, channels, rng, notes)


def _found(response: etcdserverpb.RangeResponse) -> Found:
    revision = response.header.revision
    if not response.kvs:
        return Found(revision)
    kv = response.kvs[0]
    return Found(revision, kv.value, kv.mod_revision, kv.version)


def _txn(request: Swap | PutAll) -> etcdserverpb.TxnRequest:
    if isinstance(request, PutAll):
        return etcdserverpb.TxnRequest(success=[_put(*pair) for pair in request.pairs])
    compare = etcdserverpb.Compare(key=request.key, result=etcdserverpb.Compare.EQUAL)
    if request.expected is None:
        compare.target, compare.version = etcdserverpb.Compare.VERSION, 0
    else:
        compare.target, compare.value = etcdserverpb.Compare.VALUE, request.expected
    get = etcdserverpb.RequestOp(request_range=etcdserverpb.RangeRequest(key=request.key))
    return etcdserverpb.TxnRequest(
        compare=[compare], success=[_put(request.key, request.value)], failure=[get]
    )


def _put(key: bytes, value: bytes) -> etcdserverpb.RequestOp:
    return etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=key, value=value))


def _delivery(response: etcdserverpb.WatchResponse) -> Delivery:
    return Delivery(
        response.header.revision,
        tuple(event_of(event) for event in response.events),
        response.fragment,
        trio.current_time(),
    )


def event_of(event: mvccpb.Event) -> Event:
    kv = event.kv
    if event.type == mvccpb.Event.DELETE:
        return Event(kv.mod_revision, kv.key, None)
    return Event(kv.mod_revision, kv.key, kv.value, kv.create_revision, kv.version, kv.lease)
