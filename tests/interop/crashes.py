"""kill -9 under concurrent writers, and what must be true of a member that comes back.

Writers keep, of every change that they asked for, whether it was acknowledged and with which
revision.  After each restart the whole history since the last one is read as a watcher reads it:

- every acknowledged change is there, at the revision it was acknowledged with;
- every other change is one whose answer never came, and is there at most once and as a whole;
- no revision is below one that any client has seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tests.interop.differential.clients import Client
from tests.interop.differential.history import Change, History
from tests.interop.processes import Server
from wire.pb import etcdserverpb as pb
from wire.pb import mvccpb

WRITERS = 8
KEYS = 50  # of each writer, so that most puts are not the first of their key
MOST_ACKNOWLEDGED = 1500  # of all writers, before the kill
LEAST_ACKNOWLEDGED = 50
PROGRESS_SECONDS = 60.0  # for that many writes, on a slow disk
COMPACT_EVERY = 5  # rounds
STARTS_CUT_SHORT = 0.25  # of all restarts
START_LINES = 6  # of the log, at most, before such a start is killed: the earlier ones


class Lost(AssertionError):
    """A promise was broken; the message says which."""


@dataclass(frozen=True)
class Write:
    """The changes that one request asks for, which happen together or not at all."""

    changes: frozenset[tuple[bytes, bytes | None]]  # key and value; None is a deletion


@dataclass
class Journal:
    """What the writers of one round know."""

    acknowledged: dict[int, Write] = field(default_factory=dict)  # by revision
    doubtful: list[Write] = field(default_factory=list)  # no answer came
    changed: threading.Condition = field(default_factory=threading.Condition)

    def acknowledge(self, revision: int, write: Write) -> None:
        with self.changed:
            if revision in self.acknowledged:
                raise Lost(f"two writes were acknowledged with revision {revision}")
            self.acknowledged[revision] = write
            self.changed.notify_all()

    def doubt(self, write: Write) -> None:
        with self.changed:
            self.doubtful.append(write)
            self.changed.notify_all()


class Writer(threading.Thread):
    """Writes without a pause, one request at a time, until one of them is not answered."""

    def __init__(self, number: int, round_number: int, address: str, journal: Journal) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self._prefix = b"writer/%d/" % number
        self._round = round_number
        self._rng = Random(round_number << 8 | number)
        self._client = Client(address)
        self._journal = journal

    def run(self) -> None:
        count = 0
        while self._write(count):
            count += 1
        self._client.close()

    def _write(self, count: int) -> bool:
        method, request, write = self._request(b"%d/%d" % (self._round, count))
        answer = self._client.call(f"etcdserverpb.KV/{method}", request)
        if answer.code != "OK":
            self._journal.doubt(write)
            return False
        kinds = {"Put": pb.PutResponse, "DeleteRange": pb.DeleteRangeResponse}
        response = kinds.get(method, pb.TxnResponse).FromString(answer.body)
        if not (isinstance(response, pb.DeleteRangeResponse) and not response.deleted):
            self._journal.acknowledge(response.header.revision, write)
        return True

    def _key(self) -> bytes:
        return self._prefix + b"%d" % self._rng.randrange(KEYS)

    def _request(self, value: bytes) -> tuple[str, bytes, Write]:
        kind = self._rng.randrange(10)
        key = self._key()
        if kind == 0:
            deletion = pb.DeleteRangeRequest(key=key)
            return "DeleteRange", deletion.SerializeToString(), Write(frozenset({(key, None)}))
        if kind == 1:
            txn = pb.TxnRequest()
            keys = {key, self._key(), self._key()}
            for one in sorted(keys):
                txn.success.add().request_put.MergeFrom(pb.PutRequest(key=one, value=value))
            return "Txn", txn.SerializeToString(), Write(frozenset((one, value) for one in keys))
        put = pb.PutRequest(key=key, value=value)
        return "Put", put.SerializeToString(), Write(frozenset({(key, value)}))


class Crashes:
    """A member, killed again and again."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._rng = Random(seed)
        self.history = History()
        self.compacted = -1
        self.rounds = 0
        self.acknowledged = 0  # writes, in all rounds
        self.doubtful = 0
        self.survivors = 0  # of those: done, though the client never heard
        self.starts_cut_short = 0

    def round(self) -> None:
        """Write, kill, start, and look.

        Raises:
            Lost: a promise was broken.
        """
        self.rounds += 1
        journal = self._write_and_kill()
        while self._rng.random() < STARTS_CUT_SHORT:
            self.starts_cut_short += self._server.kill_while_starting(
                after_lines=self._rng.randint(1, START_LINES)
            )
        self._server.start()
        self.look(journal)
        if self.rounds % COMPACT_EVERY == 0:
            self._compact()

    def _write_and_kill(self) -> Journal:
        journal = Journal()
        writers = [
            Writer(number, self.rounds, self._server.address, journal) for number in range(WRITERS)
        ]
        enough = self._rng.randint(LEAST_ACKNOWLEDGED, MOST_ACKNOWLEDGED)
        for writer in writers:
            writer.start()
        with journal.changed:
            arrived = journal.changed.wait_for(
                lambda: len(journal.acknowledged) >= enough or journal.doubtful, PROGRESS_SECONDS
            )
        if not arrived or journal.doubtful:
            raise self._server.failed(f"took {len(journal.acknowledged)} of {enough} writes and")
        self._server.kill()
        for writer in writers:
            writer.join()
        return journal

    # -- What must be true

    def look(self, journal: Journal) -> None:
        """Compare the member with the journal of what was done since the last look."""
        client = Client(self._server.address)
        try:
            state = self._range(client)
            before, now = self.history.last, state.header.revision
            newest = max(journal.acknowledged, default=before)
            if now < max(newest, before):
                raise Lost(f"revision {newest} was acknowledged; now it is {now}")
            self._read_history(client, now)
            survivors = _check(journal, self.history.since(before + 1))
            self._check_state(state)
            self._check_hash(client, now)
        finally:
            client.close()
        self.acknowledged += len(journal.acknowledged)
        self.doubtful += len(journal.doubtful)
        self.survivors += survivors

    @staticmethod
    def _range(client: Client) -> pb.RangeResponse:
        request = pb.RangeRequest(key=b"\0", range_end=b"\0")
        answer = client.call("etcdserverpb.KV/Range", request.SerializeToString())
        if answer.code != "OK":
            raise Lost(f"a range was answered with {answer}")
        return pb.RangeResponse.FromString(answer.body)

    def _read_history(self, client: Client, until: int) -> None:
        """As a watcher that starts after what is known."""
        if self.history.last >= until:
            return
        watch = client.converse("etcdserverpb.Watch/Watch")
        request = pb.WatchRequest()
        request.create_request.key = request.create_request.range_end = b"\0"
        request.create_request.start_revision = self.history.last + 1
        watch.send(request.SerializeToString())
        taken = 0

        def complete(received: list[bytes]) -> bool:
            nonlocal taken
            while taken < len(received):
                self.history.add(pb.WatchResponse.FromString(received[taken]))
                taken += 1
            return self.history.last >= until

        arrived = watch.wait(complete)
        watch.close()
        if not arrived:
            raise Lost(f"the history ends at {self.history.last}, not {until}: {watch.end}")

    def _check_state(self, state: pb.RangeResponse) -> None:
        """What is stored is what the history leads to."""
        newest = {change.key: change for change in self.history.changes}
        wanted = [newest[key].stored for key in sorted(newest) if not newest[key].is_deletion]
        if [kv.SerializeToString() for kv in state.kvs] != wanted:
            raise Lost("the keys are not what their history says")

    def _check_hash(self, client: Client, revision: int) -> None:
        answer = client.call("etcdserverpb.Maintenance/HashKV", b"")
        response = pb.HashKVResponse.FromString(answer.body)
        if response.hash != self.history.hash(revision, self.compacted):
            raise Lost(f"the hash at {revision} is not that of the history: {answer}")

    def _compact(self) -> None:
        revision = self._rng.randint(max(1, self.compacted + 1), self.history.last)
        request = pb.CompactionRequest(revision=revision, physical=self._rng.random() < 0.5)
        client = Client(self._server.address)
        answer = client.call("etcdserverpb.KV/Compact", request.SerializeToString())
        client.close()
        if answer.code != "OK":
            raise Lost(f"compacting {revision} was answered with {answer}")
        self.compacted = revision

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds: {self.acknowledged} writes acknowledged, none missing;"
            f" {self.doubtful} unanswered, of which {self.survivors} were done;"
            f" {self.starts_cut_short} starts killed too; revision {self.history.last}"
        )


def _check(journal: Journal, changes: Iterable[Change]) -> int:
    """Every change since the last look is accounted for; returns how many doubtful writes were
    done."""
    done: dict[int, set[tuple[bytes, bytes | None]]] = {}
    for change in changes:
        stored = mvccpb.KeyValue.FromString(change.stored)
        value = None if change.is_deletion else stored.value
        done.setdefault(change.revision, set()).add((change.key, value))
    for revision, write in journal.acknowledged.items():
        found = done.pop(revision, None)
        if found != write.changes:
            raise Lost(f"revision {revision} was acknowledged as {write}; it is {found}")
    left = [write.changes for write in journal.doubtful]
    for revision, found in done.items():
        if found not in left:
            raise Lost(f"revision {revision} holds what nobody asked for: {found}")
        left.remove(frozenset(found))
    return len(done)
