"""Watch streams: each is one stream to every server, with the same requests.

Requests are made one at a time, each answered everywhere before the next, so ids and revisions
agree.  Events come when they come; `settle` waits for all that the history says must come, and
compares: per watch, every field of every response.  Only how a catch-up is cut into responses is
left open, since that is timing: responses in a row with one revision in their headers are taken
together.  Live ones are not: each has the revision of its own events there.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import groupby, zip_longest
from typing import NamedTuple

from tests.interop.differential.clients import ANSWER_SECONDS, Client, Conversation
from tests.interop.differential.compare import Report
from tests.interop.differential.history import History, Wanted
from tests.interop.differential.rules import BATCHED, OURS, REFERENCE, SILENT_PROGRESS, SLOW
from tests.interop.differential.traffic import show
from tests.interop.differential.world import World
from wire.pb import etcdserverpb as pb

METHOD = "etcdserverpb.Watch/Watch"
SETTLE_KEY = b"settle"
SENTINEL = 1 << 40  # the id of each stream's watch of SETTLE_KEY
SLOW_BYTES = 1 << 20  # unsent, which is never more than what is sent then
LATE_SENTINEL = SENTINEL + 1  # of one that starts in the past


class Cut(NamedTuple):
    """The outline of one response."""

    revision: int
    is_fragment: bool
    events: int


class View:
    """One server's side of a stream: what it sent and what of that was not compared yet."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.by_id: dict[int, list[pb.WatchResponse]] = defaultdict(list)
        self.progress: list[pb.WatchResponse] = []
        self.newest_created = pb.WatchResponse()
        self.created = 0
        self.progressed = 0
        self.canceled: Counter[int] = Counter()
        self.events: Counter[int] = Counter()  # of each watch since it was created
        self.responses: Counter[int] = Counter()  # of each watch after `created`
        self.torn: list[pb.WatchResponse] = []  # that begin within a revision
        self.cuts: dict[int, list[Cut]] = defaultdict(list)  # every response of each watch
        self.was_slow = False  # SLOW_BYTES or more came before the last comparison
        self._bytes = 0  # since that
        self._parsed = 0

    def _has_more(self, received: list[bytes]) -> bool:
        return len(received) > self._parsed

    def pull(self) -> None:
        received = self.conversation.received
        while self._parsed < len(received):
            message, received[self._parsed] = received[self._parsed], b""  # gigabytes, in the end
            self._bytes += len(message)
            self._take(pb.WatchResponse.FromString(message))
            self._parsed += 1

    def _take(self, response: pb.WatchResponse) -> None:
        response.header.raft_term = 0
        number = response.watch_id
        cut = Cut(response.header.revision, response.fragment, len(response.events))
        self.cuts[number].append(cut)
        if number == -1 and not response.created:
            self.progressed += 1
            self.progress.append(response)
            return
        if response.created:
            self.created += 1
            self.newest_created = response
            self.events[number] = 0
            self.responses[number] = -1
        self.responses[number] += 1
        self.canceled[number] += response.canceled
        self.events[number] += len(response.events)
        before = self.by_id[number]
        if before and response.events and before[-1].events and not before[-1].fragment:
            last, first = before[-1].events[-1], response.events[0]
            if last.kv.mod_revision >= first.kv.mod_revision:
                self.torn.append(response)
        before.append(response)

    def wait(self, enough: Callable[[], bool], seconds: float = ANSWER_SECONDS) -> bool:
        """Until it is enough; False if it does not come to that."""
        deadline = time.monotonic() + seconds
        while True:
            self.pull()
            if enough():
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not self.conversation.wait(self._has_more, left):
                self.pull()
                return enough()

    @property
    def event_count(self) -> int:
        """Of what was not compared yet."""
        return sum(len(one.events) for responses in self.by_id.values() for one in responses)

    def take_all(self) -> tuple[dict[int, list[bytes]], list[bytes]]:
        """What came since this was last called, by watch, and progress; comparable."""
        by_id = {number: joined(responses) for number, responses in self.by_id.items()}
        progress = [serialized(response) for response in self.progress]
        self.was_slow, self._bytes = self._bytes >= SLOW_BYTES, 0
        self.by_id.clear()
        self.progress = []
        return by_id, progress


def joined(responses: Iterable[pb.WatchResponse]) -> list[bytes]:
    """Events in a row that share their header's revision, as one response."""
    together: list[pb.WatchResponse] = []
    for response in responses:
        last = together[-1] if together else None
        both = last is not None and bool(last.events) and bool(response.events)
        if last is not None and both and last.header.revision == response.header.revision:
            last.events.extend(response.events)
            continue
        together.append(pb.WatchResponse())
        together[-1].CopyFrom(response)
        together[-1].fragment = False
    return [serialized(response) for response in together]


def serialized(response: pb.WatchResponse) -> bytes:
    return response.SerializeToString(deterministic=True)


class WatchStream:
    """The same stream to every server."""

    def __init__(
        self, clients: dict[str, Client], report: Report, world: World, history: History
    ) -> None:
        self.report = report
        self._world = world
        self._history = history
        self._views = {kind: View(client.converse(METHOD)) for kind, client in clients.items()}
        self._reference = self._views[REFERENCE]
        self.watches: dict[int, Wanted | None] = {}  # None: ended by compaction
        self._expected: Counter[int] = Counter()  # events of a watch, by the history so far
        self._counted = 0  # changes of the history that are in there
        self._is_late = False  # a watch was started in the past since the last `settle`
        self.create(pb.WatchCreateRequest(key=SETTLE_KEY, watch_id=SENTINEL))

    @property
    def waits_for_future(self) -> bool:
        """Whether a watch starts at a revision that is yet to come, the next one included.

        To be asked when everything is settled: a watch that began with the next revision, because
        it was given none, has seen it by then.
        """
        now = self._world.revision
        return any(wanted and wanted.first > now for wanted in self.watches.values())

    # -- Requests.  Those that end something need everything to be settled.

    def create(self, request: pb.WatchCreateRequest) -> None:
        self._count_history()
        before = {kind: view.created for kind, view in self._views.items()}
        self._send(pb.WatchRequest(create_request=request))
        self._await("created", request, lambda kind, view: view.created > before[kind])
        response = self._reference.newest_created
        number, start, current = response.watch_id, request.start_revision, self._world.revision
        if response.canceled:
            return
        if start and start < self._world.compacted:
            self.watches[number] = None
            # One response more; it says that it ends the watch unless that was compacted to 0.
            self._await("compacted", request, lambda _, view: view.responses[number] > 0)
            return
        first = current + 1 if start <= 0 else start
        self._is_late |= start <= current and start != 0
        wanted = self.watches[number] = Wanted(request, first)
        self._expected[number] = sum(map(wanted.includes, self._history.since(first)))

    def cancel(self, number: int) -> None:
        """Also an id that nobody has: then there is no answer."""
        before = {kind: view.canceled[number] for kind, view in self._views.items()}
        request = pb.WatchRequest()
        request.cancel_request.watch_id = number
        self._send(request)
        if number in self.watches:
            del self.watches[number]
            self._expected.pop(number, None)
            self._await("canceled", number, lambda kind, view: view.canceled[number] > before[kind])

    def progress(self) -> None:
        before = {kind: view.progressed for kind, view in self._views.items()}
        request = pb.WatchRequest()
        request.progress_request.SetInParent()
        self._send(request)
        silent = {OURS} if self.waits_for_future else set()
        self._await(
            "progress",
            request,
            lambda kind, view: kind in silent or view.progressed > before[kind],
        )
        if silent:
            self.report.follows_newer(SILENT_PROGRESS)
            for kind, view in self._views.items():
                if kind not in silent and view.progress:
                    view.progress.pop()

    def nothing(self) -> None:
        """A request that asks for nothing; it gets no answer."""
        self._send(pb.WatchRequest())

    def done_sending(self) -> None:
        for view in self._views.values():
            view.conversation.done_sending()

    def close(self) -> None:
        for view in self._views.values():
            view.conversation.close()

    def _send(self, request: pb.WatchRequest) -> None:
        self.report.calls += 1
        for view in self._views.values():
            view.conversation.send(request.SerializeToString())

    def _await(self, what: str, about: object, enough: Callable[[str, View], bool]) -> None:
        """Until every server has answered; those that do not are reported."""
        for kind, view in self._views.items():
            if not view.wait(lambda kind=kind, view=view: enough(kind, view)):
                self._missing(kind, f"watch not {what}: {about}", view)

    def _missing(self, kind: str, what: str, view: View) -> None:
        if kind in (OURS, REFERENCE):
            self.report.mismatch(what, {kind: f"stream end {view.conversation.end}"})
        else:
            self.report.go_differs(what[:60])

    # -- Comparison

    def wait_events(self, number: int, count: int, seconds: float) -> bool:
        """Until every server has sent a watch so many."""
        return all(
            view.wait(lambda view=view: view.events[number] >= count, seconds)
            for view in self._views.values()
        )

    def compare_cuts(self, number: int) -> None:
        """That a watch was sent the same events in the same responses, fragments too."""
        for view in self._views.values():
            view.pull()
        cuts = {kind: view.cuts[number] for kind, view in self._views.items()}
        if cuts[OURS] != cuts[REFERENCE]:
            self.report.mismatch(f"how the responses of watch {number} are cut", dict(cuts))

    def _count_history(self) -> None:
        changes = self._history.changes
        for change in changes[self._counted :]:
            for number, wanted in self.watches.items():
                if wanted is not None and wanted.includes(change):
                    self._expected[number] += 1
        self._counted = len(changes)

    def settle(self, revision: int) -> None:
        """All events up to `revision`, which is in the history."""
        self._count_history()
        self._await(f"settled at {revision}", "", lambda _, view: self._is_complete(view))
        self._compare()

    def catch_up(self, revision: int) -> None:
        """Those that started in the past have all of it; `revision` put SETTLE_KEY last.

        Nothing may be written meanwhile: what they are sent depends on when they are sent it.
        """
        if not self._is_late:
            return
        # They are caught up together, and in the order they came, so its event comes last.
        request = pb.WatchCreateRequest(key=SETTLE_KEY, watch_id=LATE_SENTINEL)
        request.start_revision = revision
        self.create(request)
        self.settle(revision)
        self.cancel(LATE_SENTINEL)
        self._is_late = False

    def _is_complete(self, view: View) -> bool:
        return all(view.events[number] >= count for number, count in self._expected.items())

    def _compare(self) -> None:
        surplus = {
            kind: [number for number, n in self._expected.items() if view.events[number] != n]
            for kind, view in self._views.items()
        }
        if surplus[OURS] or surplus[REFERENCE]:
            self.report.mismatch("watches with other events than the history says", surplus)
        self.report.events += self._reference.event_count
        found = {kind: view.take_all() for kind, view in self._views.items()}
        theirs, their_progress = found[REFERENCE]
        for kind, (by_id, progress) in found.items():
            for number in sorted({*by_id, *theirs}):
                self._compare_one(f"watch {number}", kind, by_id.get(number), theirs.get(number))
            self._compare_one("watch progress", kind, progress, their_progress)
        for view in (self._views[OURS],):
            for response in view.torn:
                self.report.mismatch("a revision in two responses", {OURS: show(response)})
            view.torn.clear()

    def _compare_one(
        self, what: str, kind: str, responses: list[bytes] | None, theirs: list[bytes] | None
    ) -> None:
        if responses == theirs:
            return
        if kind != OURS:
            return self.report.go_differs("watch responses")
        ours, reference = (
            [pb.WatchResponse.FromString(one) for one in side or ()] for side in (responses, theirs)
        )
        if _by_revision(ours) == _by_revision(reference):
            return self.report.follows_newer(BATCHED)
        if self._views[OURS].was_slow and _undated(ours) == _undated(reference):
            return self.report.follows_newer(SLOW)
        pairs = zip_longest(ours, reference)
        at, pair = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        self.report.mismatch(
            f"{what}, response {at} of {len(ours)} and {len(reference)}",
            {OURS: _extra(*pair), REFERENCE: _extra(*reversed(pair))},
        )


def _by_revision(responses: list[pb.WatchResponse]) -> list[bytes]:
    """As if each revision had come in a response of its own, as soon as it was there.

    Only where the header tells of the last event that comes with it: so it is in live ones.
    """
    parts = []
    for response in responses:
        if not response.events or response.header.revision != response.events[-1].kv.mod_revision:
            parts.append(serialized(response))
            continue
        for revision, events in groupby(response.events, lambda event: event.kv.mod_revision):
            part = pb.WatchResponse(watch_id=response.watch_id, events=events)
            part.header.CopyFrom(response.header)
            part.header.revision = revision
            parts.append(serialized(part))
    return parts


def _undated(responses: list[pb.WatchResponse]) -> list[bytes]:
    """As if each response had come as soon as its last event was there."""
    dated = []
    for response in responses:
        dated.append(pb.WatchResponse())
        dated[-1].CopyFrom(response)
        if response.events:
            dated[-1].header.revision = response.events[-1].kv.mod_revision
    return _by_revision(dated)


def _extra(response: pb.WatchResponse | None, other: pb.WatchResponse | None) -> str:
    """A response without the events that the other has too."""
    if response is None:
        return "nothing"
    events = [] if other is None else [event.SerializeToString() for event in other.events]
    rest = pb.WatchResponse()
    rest.CopyFrom(response)
    del rest.events[:]
    for event in response.events:
        if event.SerializeToString() not in events:
            rest.events.append(event)
    return show(rest)
