"""The KV service: the hot path's edge.

All complete KV calls of one chunk from a connection come here together.  Writes are checked and
become one proposal, which is answered in one reply; reads that may be answered from the local
state are answered at once, in the same step.
Source: etcd server/etcdserver/api/v3rpc/key.go, quota.go; server/etcdserver/v3_server.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import outcome
import trio

from actors.apply.operation import tag_of
from actors.apply.quota import cost_of_put, cost_of_txn
from actors.apply.stages import Stages
from actors.auth.identity import NOBODY, Identity
from actors.kernel import ActorStopped, Reply
from actors.mvcc.actor import Results
from actors.mvcc.checks import (
    DEFAULT_MAX_TXN_OPS,
    check_delete_range,
    check_put,
    check_range,
    check_range_stream,
    check_txn,
    is_read_only,
    is_serializable,
)
from actors.mvcc.ranges import SLICE_KEYS, RangeCursor
from actors.mvcc.store import Store
from actors.raft.status import RaftStatus
from trioetcd.api.gate import Gate
from trioetcd.api.header import HeaderWriter
from trioetcd.api.parse import parse, parse_flat, parse_streamed
from trioetcd.api.permissions import NotYetApplied, Permissions
from trioetcd.api.proposals import Proposals
from trioetcd.api.quota import Quota
from trioetcd.api.reads import Reads
from trioetcd.api.slow import SlowLog
from wire.errors import EtcdError, RequestTimeout, Stopped, TooManyRequests
from wire.grpc.service import Registry, ServerStream, UnaryCall
from wire.pb import etcdserverpb
from wire.varint import encode

PUT, DELETE, TXN = tag_of("put"), tag_of("delete_range"), tag_of("txn")
SWEEP_SECONDS = 0.5  # how often proposals that take too long are looked for
MOST_HELD = 1024  # calls whose token this member cannot know yet
STREAM_KEYS = 10  # in a RangeStream's first chunk; later ones grow tenfold up to SLICE_KEYS

_RangeRequest = etcdserverpb.RangeRequest


class KVService:
    """Invariant: every call taken is answered once, at the latest when its time is up."""

    def __init__(
        self,
        store: Store,
        proposals: Proposals,
        reads: Reads,
        headers: HeaderWriter,
        status: RaftStatus,
        quota: Quota,
        gate: Gate,
        permissions: Permissions,
        slow: SlowLog,
        *,
        max_txn_ops: int = DEFAULT_MAX_TXN_OPS,
    ) -> None:
        self._store = store
        self._proposals = proposals
        self._reads = reads
        self._header = headers.write
        self._status = status
        self._quota = quota
        self._gate = gate
        self._permissions = permissions
        self._slow = slow
        self._auth = permissions.auth
        self._max_txn_ops = max_txn_ops
        self._open: dict[int, tuple[float, list[UnaryCall]]] = {}  # proposed, by batch number
        self._batches = 0
        self._take: dict[str, Callable[[UnaryCall, _Batch], None]] = {
            "/etcdserverpb.KV/Range": self._range,
            "/etcdserverpb.KV/Put": self._put,
            "/etcdserverpb.KV/DeleteRange": self._delete_range,
            "/etcdserverpb.KV/Txn": self._txn,
        }
        # With authentication on there is no short way.
        self._take_checked = self._take | {"/etcdserverpb.KV/Range": self._any_range}
        self._held = 0
        self._nursery: trio.Nursery | None = None  # while it runs

    def register(self, registry: Registry) -> None:
        registry.batch(self, *self._take)
        registry.unary("/etcdserverpb.KV/Compact", self.compact)
        registry.stream("/etcdserverpb.KV/RangeStream", self.range_stream, "server_stream")

    @property
    def pending(self) -> int:
        """Proposals that wait for their results."""
        return sum(len(calls) for _, calls in self._open.values())

    # -- One chunk's calls

    def submit(self, calls: list[UnaryCall]) -> Awaitable[None] | None:
        """`BatchHandler.submit`."""
        checked = self._auth.enabled
        batch = _Batch(checked)
        take = self._take_checked if checked else self._take
        is_open = self._gate.is_open
        for call in calls:
            try:
                if not is_open:
                    self._gate.check(call)
                take[call.method.path](call, batch)
            except EtcdError as refusal:
                call.refuse(refusal)
            except NotYetApplied as early:
                self._hold(call, early.index)
        if batch.waiting_reads:
            self._ask_for_currency(batch.waiting_reads)
        if batch.entries:
            return self._propose(batch.entries, batch.proposers)
        return None

    async def _propose(self, entries: list[bytes], calls: list[UnaryCall]) -> None:
        """Waits for room only: the connection reads on as soon as raft has the entries."""
        self._batches += 1
        number = self._batches
        began = trio.current_time()
        stages = Stages(began)
        self._open[number] = began + self._proposals.timeout, calls

        def answer(result: outcome.Outcome[Results]) -> None:
            in_time = self._open.pop(number, None) is not None
            self._answer_proposals(calls, result)
            ended = stages.applied  # the same step: no need to look at the clock again
            took = (trio.current_time() if ended is None else ended) - began
            if in_time and took > self._slow.request_seconds:
                done = result.value if isinstance(result, outcome.Value) else ()
                self._slow.proposals(calls, done, stages)

        reply: Reply[Results] = Reply()
        reply.tell(answer)
        try:
            await self._proposals.hand_over(entries, reply, stages)
        except ActorStopped:
            if not reply.done:
                reply.refuse(Stopped())

    def _answer_proposals(self, calls: list[UnaryCall], result: outcome.Outcome[Results]) -> None:
        connection = calls[0].connection  # they came in one chunk
        connection.hold()
        if isinstance(result, outcome.Error):
            error = result.error
            refusal = error if isinstance(error, EtcdError) else Stopped()
            for call in calls:
                call.refuse(refusal)
        else:
            header = self._header
            for call, answer in zip(calls, result.unwrap(), strict=True):
                if isinstance(answer, EtcdError):
                    call.refuse(answer)
                else:
                    call.reply(header(answer[0]) + answer[1])
        connection.release()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer proposals that take too long: nobody knows what becomes of them."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await self._sweep()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            while self._open:
                number, (deadline, calls) = next(iter(self._open.items()))
                if deadline > now:
                    break
                del self._open[number]
                self._proposals.timed_out += len(calls)
                self._slow.proposals(calls, (), Stages(deadline - self._proposals.timeout))
                for call in calls:
                    call.refuse(RequestTimeout())

    def give_up(self) -> None:
        """Refuse all proposals that are under way: this member will not hear of them."""
        while self._open:
            _, calls = self._open.pop(next(iter(self._open)))
            for call in calls:
                call.refuse(Stopped())

    def _hold(self, call: UnaryCall, index: int) -> None:
        """Take a call again once this member can know its token."""
        if self._nursery is None or self._held >= MOST_HELD:
            call.refuse(TooManyRequests())
            return
        self._held += 1
        self._nursery.start_soon(self._take_again, call, index)

    async def _take_again(self, call: UnaryCall, index: int) -> None:
        try:
            await self._permissions.reached(index)
            room = self.submit([call])
            if room is not None:
                await room
        except EtcdError as refusal:
            call.refuse(refusal)
        finally:
            self._held -= 1

    # -- Writes

    def _put(self, call: UnaryCall, batch: _Batch) -> None:
        payload = call.payload
        request = parse_flat(etcdserverpb.PutRequest, payload)
        check_put(request)
        who = self._permissions.identify(call.context) if batch.checked else NOBODY
        entry = self._proposals.entry(PUT, payload, who)
        self._quota.take(cost_of_put(request))
        batch.propose(call, entry)

    def _delete_range(self, call: UnaryCall, batch: _Batch) -> None:
        check_delete_range(parse_flat(etcdserverpb.DeleteRangeRequest, call.payload))
        who = self._permissions.identify(call.context) if batch.checked else NOBODY
        batch.propose(call, self._proposals.entry(DELETE, call.payload, who))

    def _txn(self, call: UnaryCall, batch: _Batch) -> None:
        request = parse(etcdserverpb.TxnRequest, call.payload)
        check_txn(request, self._max_txn_ops)
        if is_read_only(request):
            read = _Read(call, lambda: self._answer_txn(call, request))
            self._now_or_later(read, is_serializable(request), batch)
            return
        who = self._permissions.identify(call.context) if batch.checked else NOBODY
        entry = self._proposals.entry(TXN, call.payload, who)
        cost = cost_of_txn(request)
        if cost:
            self._quota.take(cost)
        batch.propose(call, entry)

    def _answer_txn(self, call: UnaryCall, request: etcdserverpb.TxnRequest) -> None:
        if self._auth.enabled:
            self._permissions.checks.txn(self._permissions.identify(call.context), request)
        revision, body = self._store.apply_txn(request)
        call.reply(self._header(revision) + body)

    # -- Reads

    def _range(self, call: UnaryCall, batch: _Batch) -> None:
        payload = call.payload
        is_key = 2 < len(payload) < 130 and payload[0] == 0x0A and payload[1] == len(payload) - 2
        if is_key and self._status.reads_open:
            # Field 1 and nothing else: the commonest read, and the cheapest.
            store = self._store
            call.reply(self._header(store.revision) + store.read_key(payload[2:]))
            return
        self._any_range(call, batch)

    def _any_range(self, call: UnaryCall, batch: _Batch) -> None:
        request = parse_flat(_RangeRequest, call.payload)
        check_range(request)
        read = _Read(call, lambda: self._start_range(call, request))
        self._now_or_later(read, request.serializable, batch)

    def _now_or_later(self, read: _Read, serializable: bool, batch: _Batch) -> None:
        if serializable or self._status.reads_open:
            read.answer()
        else:
            batch.waiting_reads.append(read)

    def _start_range(self, call: UnaryCall, request: _RangeRequest) -> None:
        """Answer a range, or leave it to `Reads` when that would take long."""
        who = NOBODY
        if self._auth.enabled:
            who = self._permissions.identify(call.context)
            self._permissions.checks.range(who, request)
        cursor = self._store.cursor(request)
        if cursor.size <= SLICE_KEYS and not call.connection.is_backlogged:
            while cursor.step():
                pass
            self._answer_range(call, cursor)
        else:
            self._reads.read(cursor, call, partial(self._finish_range, who))

    def _finish_range(self, who: Identity, call: UnaryCall, cursor: RangeCursor) -> None:
        """While a long one was read, users and roles may have changed."""
        try:
            self._permissions.still(who)
        except EtcdError as refusal:
            call.refuse(refusal)
        else:
            self._answer_range(call, cursor)

    def _answer_range(self, call: UnaryCall, cursor: RangeCursor) -> None:
        call.reply(self._header(cursor.current) + cursor.body)

    def _ask_for_currency(self, waiting: list[_Read]) -> None:
        """One question for all reads of the chunk; they are answered in the step that hears."""
        began = trio.current_time()

        def answer(result: outcome.Outcome[None]) -> None:
            took = trio.current_time() - began
            if took > self._slow.request_seconds:
                self._slow.waited([read.call for read in waiting], took)
            for read in waiting:
                if isinstance(result, outcome.Error):
                    error = result.error
                    read.call.refuse(error if isinstance(error, EtcdError) else Stopped())
                    continue
                try:
                    read.answer()
                except EtcdError as refusal:
                    read.call.refuse(refusal)
                except NotYetApplied as early:
                    self._hold(read.call, early.index)

        point = self._reads.ask()
        point.reply.tell(answer)

    # -- Compaction and streamed ranges, which are not hot

    async def compact(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.CompactionRequest, call.payload)
        revision, body = await self._proposals.propose("compaction", call.payload, call.context)
        if request.physical:
            await self._reads.machine.wait_cleaned(request.revision)
        return self._header(revision) + body

    async def range_stream(self, stream: ServerStream) -> None:
        """A range in chunks, all of one revision; header, more and count come in the last."""
        message = await stream.receive()
        request = parse_streamed(_RangeRequest, message or b"")
        check_range_stream(request)
        if not request.serializable:
            await self._reads.current()
        key, end = request.key, request.range_end
        who = await self._permissions.require_read(stream.context, key, end)
        cursor = self._store.cursor(request)
        keys = STREAM_KEYS
        with self._reads.machine.pins.at(cursor.revision):
            while cursor.step(keys):
                await stream.send(_chunk(cursor.take()))
                keys = min(keys * 10, SLICE_KEYS)
        self._permissions.still(who)
        await stream.send(_chunk(self._header(cursor.current) + cursor.body))


def _chunk(response: bytes) -> bytes:
    """A RangeStreamResponse around a RangeResponse."""
    return b"\x0a" + encode(len(response)) + response


class _Batch:
    """What one chunk's calls come to."""

    __slots__ = ("checked", "entries", "proposers", "waiting_reads")

    def __init__(self, checked: bool) -> None:
        """`checked`: authentication is on."""
        self.checked = checked
        self.entries: list[bytes] = []
        self.proposers: list[UnaryCall] = []
        self.waiting_reads: list[_Read] = []

    def propose(self, call: UnaryCall, entry: bytes) -> None:
        self.entries.append(entry)
        self.proposers.append(call)


class _Read:
    """A read that may have to wait until the local state is current."""

    __slots__ = ("answer", "call")

    def __init__(self, call: UnaryCall, answer: Callable[[], None]) -> None:
        self.call = call
        self.answer = answer
