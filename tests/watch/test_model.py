"""Random watches over a random history: each client must be told exactly what happened.

Sinks fill up, publishing lags, history is compacted, the feed overflows; whatever happens, a
watch's events are those of the history, from its start on, in order, each once, whole
revisions, up to the end or to a compaction that ended it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from actors.watch.watcher import Stream
from tests.watch.world import Client, World, parse
from wire.pb import etcdserverpb

Change = tuple[int, bytes, bytes | None, bytes | None]  # revision, key, value, value before
KEYS = [b"a", b"ab", b"b", b"ba", b"c", b"d"]


@dataclass
class Expected:
    """What one watch was created with, and what it has been sent."""

    key: bytes
    end: bytes
    start: int
    filters: list[int]
    prev_kv: bool
    got: list[Change] = field(default_factory=list)
    compacted: int = 0
    canceled: bool = False
    announced: bool = False

    def wants(self, change: Change) -> bool:
        revision, key, value, _ = change
        if self.end == b"\0":
            inside = key >= self.key
        else:
            inside = self.key <= key < self.end if self.end else key == self.key
        kind = 0 if value is not None else 1
        return revision >= self.start and inside and kind not in self.filters


class Run:
    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rng = random.Random(seed)
        monkeypatch.setattr("actors.mvcc.feed.LIMIT_BYTES", self.rng.choice([1500, 1 << 25]))
        monkeypatch.setattr("actors.watch.hub.BATCH_BYTES", self.rng.choice([50, 1 << 20]))
        monkeypatch.setattr("actors.watch.hub.OFFERS_PER_TURN", self.rng.choice([1, 500]))
        monkeypatch.setattr("actors.watch.catchup.CHANGES_PER_STEP", self.rng.choice([3, 1000]))
        monkeypatch.setattr("actors.watch.catchup.STEPS_PER_ROUND", self.rng.choice([1, 8]))
        monkeypatch.setattr("actors.watch.catchup.WATCHERS_PER_ROUND", self.rng.choice([2, 512]))
        self.world = World(fragment_bytes=self.rng.choice([60, 1 << 30]))
        self.history: list[Change] = []
        self.now_values: dict[bytes, bytes] = {}
        self.compactions: list[int] = []
        self.streams: dict[Stream, dict[int, Expected]] = {}

    def step(self) -> None:
        actions = [
            (30, self.write),
            (10, self.create),
            (3, self.cancel),
            (3, self.open),
            (1, self.close),
            (20, self.publish),
            (10, self.catch_up),
            (15, self.read),
            (2, self.compact),
            (3, self.progress),
            (3, self.tick),
        ]
        weights = [weight for weight, _ in actions]
        self.rng.choices([action for _, action in actions], weights)[0]()

    def write(self) -> None:
        store = self.world.store
        revision = store.revision + 1
        for key in self.rng.sample(KEYS, self.rng.randrange(1, 4)):
            before = self.now_values.get(key)
            if before is not None and self.rng.random() < 0.3:
                store.delete(key)
                del self.now_values[key]
                self.history.append((revision, key, None, before))
            else:
                value = b"%d" % self.rng.randrange(1000)
                store.put(key, value, 0)
                self.now_values[key] = value
                self.history.append((revision, key, value, before))
        store.end()

    def open(self) -> None:
        self.streams[self.world.client(self.rng.choice([1, 3, 1000]))] = {}

    def create(self) -> None:
        if not self.streams:
            return self.open()
        stream = self.rng.choice(list(self.streams))
        revision = self.world.store.revision
        start = self.rng.choice([0, 0, max(1, revision - self.rng.randrange(30)), revision + 3])
        key = self.rng.choice([*KEYS, b""])
        asked = {
            "range_end": self.rng.choice([b"", b"", b"\0", b"b", b"d"]),
            "start_revision": start,
            "filters": self.rng.choice([[], [], [0], [1]]),
            "prev_kv": self.rng.random() < 0.5,
            "fragment": self.rng.random() < 0.5,
            "progress_notify": self.rng.random() < 0.3,
        }
        self.world.watch(stream, key, **asked)
        created = parse(stream.sink.frames[-1])  # type: ignore[attr-defined]
        if created.canceled:
            assert asked["range_end"] in (b"b", b"d")
            return
        self.streams[stream][created.watch_id] = Expected(
            key or b"\0",
            asked["range_end"],
            start or revision + 1,
            asked["filters"],
            asked["prev_kv"],
        )

    def cancel(self) -> None:
        for stream, watches in self.streams.items():
            for watch_id in watches:
                if self.rng.random() < 0.1:
                    watches[watch_id].canceled = True
                    self.world.watches.cancel(stream, watch_id)

    def close(self) -> None:
        if self.streams:
            stream = self.rng.choice(list(self.streams))
            self.read_one(stream)
            del self.streams[stream]
            self.world.watches.close(stream)

    def publish(self) -> None:
        for _ in self.world.watches.publish():
            if self.rng.random() < 0.5:
                self.write()

    def catch_up(self) -> None:
        for _ in self.world.watches.publish():
            pass
        self.world.watches.catch_up()

    def compact(self) -> None:
        store = self.world.store
        lowest = max(store.compact_revision + 1, 1)
        if lowest <= store.revision:
            revision = self.rng.randrange(lowest, store.revision + 1)
            self.world.compact(revision, clean=self.rng.random() < 0.7)
            self.compactions.append(revision)

    def progress(self) -> None:
        for stream in self.streams:
            self.world.watches.progress(stream)

    def tick(self) -> None:
        self.world.now += 50.0
        self.world.watches.tick(self.world.now)

    def read(self) -> None:
        for stream in self.streams:
            if self.rng.random() < 0.7:
                self.read_one(stream)

    def read_one(self, stream: Stream) -> None:
        client = stream.sink
        assert isinstance(client, Client)
        for response in client.read():
            self.take(stream, response)
        if client.was_refused:
            client.was_refused = False
            self.world.watches.has_room(stream)

    def take(self, stream: Stream, response: etcdserverpb.WatchResponse) -> None:
        watches = self.streams[stream]
        if response.created:
            if response.watch_id != -1:
                watches[response.watch_id].announced = True
            return
        if response.watch_id == -1 or not (response.events or response.canceled):
            told = watches.values() if response.watch_id == -1 else [watches[response.watch_id]]
            for watch in told:
                self.check_told(watch, response.header.revision)
            return
        watch = watches[response.watch_id]
        if response.canceled:
            watch.compacted = response.compact_revision
            assert watch.compacted or watch.canceled
            return
        assert not watch.compacted
        for event in response.events:
            value = None if event.type else event.kv.value
            before = event.prev_kv.value if event.HasField("prev_kv") else None
            watch.got.append((event.kv.mod_revision, event.kv.key, value, before))
        assert response.header.revision >= watch.got[-1][0]

    def check_told(self, watch: Expected, revision: int) -> None:
        """Nothing up to `revision` may be missing."""
        if watch.announced and not watch.compacted and not watch.canceled:
            assert len(watch.got) >= sum(change[0] <= revision for change in self.wanted(watch))

    def wanted(self, watch: Expected) -> list[Change]:
        """All it should have been told.

        A compaction removes the deletions of its own revision, and who reads history from just
        there does not see them: the price of being allowed to start there.
        """
        got = {change[:2] for change in watch.got}
        return [
            change
            for change in self.history
            if watch.wants(change)
            and (change[2] is not None or change[0] not in self.compactions or change[:2] in got)
        ]

    def check(self, watch: Expected) -> None:
        wanted = self.wanted(watch)
        if watch.compacted or watch.canceled:
            assert watch.canceled or watch.compacted in self.compactions
            wanted = wanted[: len(watch.got)]
        assert [change[:3] for change in watch.got] == [change[:3] for change in wanted]
        for (revision, _, _, got), (_, _, _, before) in zip(watch.got, wanted, strict=True):
            if got is None and watch.prev_kv and before is not None:
                assert any(revision - 1 < compaction for compaction in self.compactions)
            else:
                assert got == (before if watch.prev_kv else None)


@pytest.mark.parametrize("seed", range(150))
def test_every_watch_is_told_exactly_what_happened(seed, monkeypatch):
    run = Run(seed, monkeypatch)
    for _ in range(run.rng.randrange(50, 400)):
        run.step()
    for _ in range(10_000):
        run.world.settle()
        refused = [s for s in run.streams if s.sink.was_refused]
        for stream in run.streams:
            run.read_one(stream)
        if not refused:
            break
    watches = [watch for stream in run.streams.values() for watch in stream.values()]
    for watch in watches:
        run.check(watch)
    for stream in list(run.streams):
        run.world.watches.close(stream)
    assert run.world.watches.watchers == 0
    assert run.world.watches.slow_watchers == 0
    assert not run.world.store.feed.wanted
