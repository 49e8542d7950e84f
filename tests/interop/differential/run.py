"""Drive random traffic, call by call, to all servers, and compare what comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from tests.interop.differential.clients import Answer, Client, Conversation
from tests.interop.differential.compare import Report, describe
from tests.interop.differential.gateway import PATHS, Gateway, Page, garbled, in_json
from tests.interop.differential.history import History
from tests.interop.differential.invalid import Invalid
from tests.interop.differential.judge import Judge, request_of
from tests.interop.differential.rules import HASH_PATH, OURS, REFERENCE
from tests.interop.differential.traffic import LEASE_SPACING, READS, RESPONSES, Call, Traffic
from tests.interop.differential.watches import SETTLE_KEY, WatchStream
from tests.interop.differential.world import LARGEST, World
from tests.interop.processes import KINDS, Server, running
from wire.pb import etcdserverpb as pb

PEER_URL, CLIENT_URL = "http://127.0.0.1:2380", "http://127.0.0.1:2379"  # advertised only
STREAMS = 3
MOST_WATCHES = 25  # on one stream
SETTLE_EVERY = 100  # calls
INVALID, WATCH, KEEP_ALIVE = 0.08, 0.05, 0.03  # of all calls
HASH_KV = "etcdserverpb.Maintenance/HashKV"
IN_JSON = 0.2  # of the calls that make sense
GARBLED = 0.05  # of the reads in JSON
HISTORY_SECONDS = 30.0


class Diverged(Exception):
    """The servers' states are different: nothing after it can be compared."""


@contextmanager
def servers(directory: Path, flags: Sequence[str] = ()) -> Iterator[dict[str, Server]]:
    """One of each kind, with the same ids."""
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(
                running(
                    kind,
                    directory / kind,
                    [f"--advertise-client-urls={CLIENT_URL}", *flags],
                    peer_url=PEER_URL,
                )
            )
            for kind in KINDS
        }


class Differential:
    """One run: a seed, connections to every server, and what is known of them."""

    def __init__(self, addresses: dict[str, str], seed: int) -> None:
        self.report = Report(seed)
        self.rng = Random(seed)
        self.world = World()
        self.history = History()
        self.clients = {kind: Client(address) for kind, address in addresses.items()}
        self.gateways = {kind: Gateway(address) for kind, address in addresses.items()}
        self.traffic = Traffic(self.rng, self.world)
        self.invalid = Invalid(self.rng, self.world, self.traffic)
        self._judge = Judge(self.world, self.history, self.report.follows_newer)
        self._record = self._watch_everything()
        self._recorded = 0
        self._keep_alives = {
            kind: client.converse("etcdserverpb.Lease/LeaseKeepAlive")
            for kind, client in self.clients.items()
        }
        self.streams = [self.new_stream() for _ in range(STREAMS)]

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for conversation in (*self._keep_alives.values(), self._record):
            conversation.close()
        for client in (*self.clients.values(), *self.gateways.values()):
            client.close()

    def new_stream(self) -> WatchStream:
        return WatchStream(self.clients, self.report, self.world, self.history)

    def _watch_everything(self) -> Conversation:
        conversation = self.clients[REFERENCE].converse("etcdserverpb.Watch/Watch")
        request = pb.WatchRequest()
        request.create_request.key = request.create_request.range_end = b"\0"
        request.create_request.start_revision = 1
        conversation.send(request.SerializeToString())
        return conversation

    # -- The run

    def run(self, calls: int) -> Report:
        """So many calls more, and everything settled after them."""
        began = time.monotonic()
        goal = self.report.calls + calls
        while self.report.calls < goal:
            before = self.report.calls
            self._step()
            if before // SETTLE_EVERY != self.report.calls // SETTLE_EVERY:
                self.settle()
        self.settle()
        self.report.seconds += time.monotonic() - began
        return self.report

    def _step(self) -> None:
        kind = self.rng.random()
        if kind < INVALID:
            self.call(self.invalid.next())
            self._revoke_short_leases()
        elif kind < INVALID + WATCH:
            self._watch_step()
        elif kind < INVALID + WATCH + KEEP_ALIVE:
            self.keep_alive(self.world.any_lease(self.rng))
        elif self.rng.random() < IN_JSON:
            self.call_in_json(self.traffic.next())
        else:
            self.call(self.traffic.next())

    def call_in_json(self, call: Call) -> None:
        """The same over HTTP: the same status, and the same document."""
        if call.method == HASH_KV:
            self.report.follows_newer(HASH_PATH)
            self.call(call)
            return
        request = request_of(call)
        assert request is not None
        text: str | bytes = in_json(request, self.rng)
        path = self.rng.choice(PATHS[call.method])
        if call.method in READS and self.rng.random() < GARBLED:
            self._garble(path, garbled(str(text), self.rng))
            return
        if call.method.endswith("Compact"):
            self.settle()
        pages = self._ask_all(path, text)
        kind = RESPONSES[call.method]
        answers = {server: page.answer(kind) for server, page in pages.items()}
        ours, theirs = pages[OURS], pages[REFERENCE]
        self._take(call, answers, f"{path} {text!r}")
        if answers[OURS] == answers[REFERENCE]:
            if (ours.status, ours.document) != (theirs.status, theirs.document):
                self.report.mismatch(f"{path} {text!r}", dict(pages))
        elif ours.status != theirs.status and "OK" not in (
            answers[OURS].code,
            answers[REFERENCE].code,
        ):
            self.report.mismatch(f"{path} {text!r}", dict(pages))

    def _garble(self, path: str, body: bytes) -> None:
        """What may be no JSON any more is refused alike, or taken alike."""
        pages = self._ask_all(path, body)
        self.report.calls += 1
        self.report.by_method["garbled JSON"] += 1
        ours, theirs = pages[OURS], pages[REFERENCE]
        self.report.by_code[f"HTTP {theirs.status}"] += 1
        if ours.status != theirs.status or (
            ours.status != 200 and ours.document != theirs.document
        ):
            self.report.mismatch(f"{path} {body!r}", dict(pages))

    def _ask_all(self, path: str, body: str | bytes) -> dict[str, Page]:
        for gateway in self.gateways.values():
            gateway.begin(path, body)
        return {kind: gateway.finish() for kind, gateway in self.gateways.items()}

    def call(self, call: Call) -> dict[str, Answer]:
        """One unary call to all of them."""
        if call.method.endswith("Compact"):
            self.settle()  # what is compacted cannot be shown to watchers any more
        begun = {kind: client.begin(*call) for kind, client in self.clients.items()}
        answers = {kind: Client.finish(future) for kind, future in begun.items()}
        return self._take(call, answers, call)

    def _take(self, call: Call, answers: dict[str, Answer], shown: object) -> dict[str, Answer]:
        """Compare, and learn from the reference."""
        self.report.calls += 1
        over = "" if shown is call else " in JSON"
        self.report.by_method[f"{call.method}{over}"] += 1
        reference = answers[REFERENCE]
        self.report.by_code[f"{reference.code} {reference.text}"[:100]] += 1
        if _grants_any_id(call):
            answers = self._take_ids(answers)
        self._learn(call, answers[REFERENCE])
        if not self._judge.same(call, answers[OURS], answers[REFERENCE]):
            self.report.mismatch(shown, {k: describe(call, a) for k, a in answers.items()})
            self._check_revisions(call, answers)
        for kind, answer in answers.items():
            if kind != OURS and not self._judge.same(call, answer, answers[REFERENCE]):
                self.report.go_differs(f"{call.method}: {answer.code} {answer.text}"[:100])
        return answers

    def _check_revisions(self, call: Call, answers: dict[str, Answer]) -> None:
        kind = RESPONSES.get(call.method)
        if kind is None or any(answer.code != "OK" for answer in answers.values()):
            return
        found = {k: kind.FromString(a.body).header.revision for k, a in answers.items()}  # type: ignore[attr-defined]
        if found[OURS] != found[REFERENCE]:
            raise Diverged(f"revisions {found}\n{self.report}")

    def _learn(self, call: Call, answer: Answer) -> None:
        if answer.code != "OK" or call.method not in RESPONSES:
            return
        world = self.world
        response = RESPONSES[call.method].FromString(answer.body)
        request = request_of(call)
        world.revision = max(world.revision, response.header.revision)  # type: ignore[attr-defined]
        match request:
            case pb.CompactionRequest():
                world.compacted = request.revision
            case pb.LeaseGrantRequest():
                if request.ID:
                    world.leases[request.ID] = request.TTL
                    world.next_lease += 1
            case pb.LeaseRevokeRequest():
                world.leases.pop(request.ID, None)

    def _take_ids(self, answers: dict[str, Answer]) -> dict[str, Answer]:
        """Revoke leases that the servers chose ids for, and blank the ids."""
        blanked = {}
        for kind, answer in answers.items():
            response = pb.LeaseGrantResponse.FromString(answer.body)
            if answer.code == "OK" and 0 < response.ID <= LARGEST:
                revoke = pb.LeaseRevokeRequest(ID=response.ID)
                self.clients[kind].call(
                    "etcdserverpb.Lease/LeaseRevoke", revoke.SerializeToString()
                )
                response.ID = 1
            blanked[kind] = Answer(answer.code, answer.text, response.SerializeToString())
        return blanked

    # -- Leases

    def _revoke_short_leases(self) -> None:
        """Random bytes may grant a lease that runs out: no two servers do that at one moment."""
        for lease in [lease for lease, ttl in self.world.leases.items() if ttl < LEASE_SPACING]:
            request = pb.LeaseRevokeRequest(ID=lease).SerializeToString()
            self.call(Call("etcdserverpb.Lease/LeaseRevoke", request))

    def keep_alive(self, lease: int) -> None:
        self.report.calls += 1
        request = pb.LeaseKeepAliveRequest(ID=lease).SerializeToString()
        call = Call("etcdserverpb.Lease/LeaseKeepAlive", request)
        self.report.by_method[call.method] += 1
        known = {kind: len(one.received) for kind, one in self._keep_alives.items()}
        for conversation in self._keep_alives.values():
            conversation.send(request)
        found = {}
        for kind, conversation in self._keep_alives.items():
            count = known[kind]
            if not conversation.wait(lambda received, count=count: len(received) > count):
                raise Diverged(f"{kind} does not answer {call}: {conversation.end}")
            found[kind] = Answer("OK", "", conversation.received[count])
        if found[OURS] != found[REFERENCE]:
            self.report.mismatch(call, {k: describe(call, a) for k, a in found.items()})

    # -- Watches

    def settle(self) -> None:
        """Every watcher has everything, and it is the same."""
        put = pb.PutRequest(key=SETTLE_KEY, value=b"%d" % self.report.calls)
        self.call(Call("etcdserverpb.KV/Put", put.SerializeToString()))
        self._read_record()
        for stream in self.streams:
            stream.settle(self.world.revision)

    def _read_record(self) -> None:
        """The history up to now, from the reference."""
        record, goal = self._record, self.world.revision

        def complete(received: list[bytes]) -> bool:
            while self._recorded < len(received):
                message, received[self._recorded] = received[self._recorded], b""
                self.history.add(pb.WatchResponse.FromString(message))
                self._recorded += 1
            return self.history.last >= goal

        if not record.wait(complete, HISTORY_SECONDS):
            raise Diverged(f"the history ends at {self.history.last}, not {goal}: {record.end}")

    def _watch_step(self) -> None:
        rng = self.rng
        self.report.by_method["etcdserverpb.Watch/Watch"] += 1
        stream = rng.choice(self.streams)
        kind = rng.random()
        if kind < 0.6 and len(stream.watches) < MOST_WATCHES:
            self._create_watches(stream)
        elif kind < 0.85:
            self.settle()
            stream.cancel(self._any_watch(stream))
        elif kind < 0.97:
            self.settle()
            stream.progress()
        elif kind < 0.99:
            stream.nothing()
        else:
            self.settle()
            stream.close()
            self.streams[self.streams.index(stream)] = self.new_stream()

    def _create_watches(self, stream: WatchStream) -> None:
        requests = [self._new_watch() for _ in range(self.rng.choice((1, 1, 1, 3)))]
        if any(request.start_revision for request in requests):
            self.settle()
        settled = self.world.revision
        for request in requests:
            stream.create(request)
        stream.catch_up(settled)

    def _any_watch(self, stream: WatchStream) -> int:
        """One that may be canceled; sometimes one that is not there."""
        others = [number for number in stream.watches if number < 1 << 40]
        return self.rng.choice([*others, *others, *others, 77, -1])

    def _new_watch(self) -> pb.WatchCreateRequest:
        rng, world = self.rng, self.world
        request = pb.WatchCreateRequest(key=rng.choice((world.key(rng), b"\0", b"dir/", b"")))
        if rng.random() < 0.7:
            request.range_end = world.range_end(rng, request.key or b"\0")
        if rng.random() < 0.5:
            request.start_revision = self._start_revision()
        if rng.random() < 0.3:
            request.watch_id = rng.choice((1, 2, 5, 100, -7, LARGEST, 0))
        request.prev_kv = rng.random() < 0.5
        request.fragment = rng.random() < 0.2
        request.progress_notify = rng.random() < 0.2
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            request.filters.append(rng.choice((0, 1)))
        return request

    def _start_revision(self) -> int:
        """Not where a tombstone may be gone, and not below 1 before the first compaction: Go's
        etcd then forgets other watchers that are to catch up at the same moment."""
        start = self.world.any_revision(self.rng)
        if self.world.compacted < 0:
            start = max(1, start)
        if start == self.world.compacted:
            self._read_record()
            if any(change.is_deletion for change in self.history.at(start)):
                return start + 1
        return start


def _grants_any_id(call: Call) -> bool:
    request = request_of(call)
    return isinstance(request, pb.LeaseGrantRequest) and request.ID == 0
