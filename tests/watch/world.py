"""A store, its watchers, and clients that keep what they are sent."""

from __future__ import annotations

import random
from collections.abc import Iterable

from actors.backend.backend import Backend
from actors.backend.engine import MemoryEngine
from actors.lease.table import LeaseTable
from actors.mvcc.compaction import Compaction
from actors.mvcc.store import Store
from actors.watch.encode import PREFIX_BYTES
from actors.watch.hub import WatchSet
from actors.watch.ticks import Ticks
from actors.watch.watcher import Stream
from wire.pb import etcdserverpb
from wire.varint import encode

INTERVAL = 100.0  # seconds between progress ticks


def header(revision: int) -> bytes:
    """A header that holds nothing else."""
    field = b"\x18" + encode(revision) if revision else b""
    return b"\x0a" + encode(len(field)) + field


def parse(frame: bytes) -> etcdserverpb.WatchResponse:
    size = int.from_bytes(frame[1:PREFIX_BYTES], "big")
    assert frame[0] == 0
    assert len(frame) == PREFIX_BYTES + size
    return etcdserverpb.WatchResponse.FromString(frame[PREFIX_BYTES:])


def shown(response: etcdserverpb.WatchResponse) -> str:
    """A response in a line: revision, id, flags, and events as `+key=value@revision`."""
    parts = [str(response.header.revision), f"#{response.watch_id}"]
    parts += [name for name in ("created", "canceled", "fragment") if getattr(response, name)]
    if response.compact_revision:
        parts.append(f"compacted {response.compact_revision}")
    if response.cancel_reason:
        parts.append(response.cancel_reason)
    for event in response.events:
        kv = event.kv
        text = f"-{kv.key.decode()}" if event.type else f"+{kv.key.decode()}={kv.value.decode()}"
        text += f"@{kv.mod_revision}"
        if event.HasField("prev_kv"):
            text += f" (was {event.prev_kv.value.decode()}@{event.prev_kv.mod_revision})"
        parts.append(text)
    return " ".join(parts)


class Client:
    """A sink that takes `limit` responses until they are read."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.frames: list[bytes] = []
        self.stopped = False
        self.was_refused = False

    def offer(self, frame: bytes) -> bool:
        if len(self.frames) >= self.limit:
            self.was_refused = True
            return False
        self.frames.append(frame)
        return True

    def push(self, frame: bytes) -> None:
        self.frames.append(frame)

    def stop(self) -> None:
        self.stopped = True

    def read(self) -> list[etcdserverpb.WatchResponse]:
        frames, self.frames = self.frames, []
        return [parse(frame) for frame in frames]


def new_store() -> Store:
    backend = Backend(MemoryEngine())
    return Store(backend, LeaseTable(backend, min_ttl=1))


class World:
    """`lines` is what a client has read, after everything has happened."""

    def __init__(self, *, fragment_bytes: int = 1 << 30) -> None:
        self.store = new_store()
        self.ticks = Ticks(random.Random(1), INTERVAL)
        self.watches = WatchSet(self.store, header, self.ticks, fragment_bytes=fragment_bytes)
        self.now = 0.0
        self.clients = 0

    def client(self, limit: int = 1000) -> Stream:
        self.clients += 1
        stream = Stream(Client(limit), self.clients)
        self.watches.open(stream)
        return stream

    def watch(self, stream: Stream, key: bytes = b"", **fields: object) -> None:
        request = etcdserverpb.WatchCreateRequest(key=key, **fields)
        self.watches.create(stream, request, self.now)

    def put(self, *pairs: tuple[bytes, bytes] | bytes) -> int:
        """Each its own revision; returns the last."""
        for pair in pairs:
            key, value = pair if isinstance(pair, tuple) else (pair, b"v")
            self.store.apply_put(etcdserverpb.PutRequest(key=key, value=value))
        return self.store.revision

    def put_together(self, keys: Iterable[bytes], value: bytes = b"v") -> None:
        """In one revision."""
        for key in keys:
            self.store.put(key, value, 0)
        self.store.end()

    def delete(self, key: bytes, end: bytes = b"") -> None:
        self.store.apply_delete_range(etcdserverpb.DeleteRangeRequest(key=key, range_end=end))

    def compact(self, revision: int, *, clean: bool = True) -> None:
        self.store.apply_compaction(etcdserverpb.CompactionRequest(revision=revision))
        compaction = Compaction(self.store)
        while clean and compaction.step(100):
            pass

    def settle(self) -> None:
        """What the hub's actor does, until nothing is left to do."""
        while True:
            for _ in self.watches.publish():
                pass
            if not self.watches.behind:
                return
            self.watches.catch_up()

    def responses(self, stream: Stream) -> list[etcdserverpb.WatchResponse]:
        self.settle()
        assert isinstance(stream.sink, Client)
        return stream.sink.read()

    def lines(self, stream: Stream) -> list[str]:
        return [shown(response) for response in self.responses(stream)]
