"""Reads that must wait: for the leader's word that they are current, or because they are long.

Inbox     1024 questions and 256 listings; more are refused.
Waits on  raft, for a read index; mvcc, to have applied it.
Restarts  yes: whoever waited is told so.

A linearizable read on a member that is not the whole quorum asks raft for a *read index*: once
that is applied here, the local state includes everything that was acknowledged before the
question.  One question serves all reads that wait; while it is under way, the next ones gather.
Long listings are read a slice at a time, in turn, each at its own revision.
Source: Raft thesis §6.4; etcd server/etcdserver/v3_server.go (linearizableReadLoop).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from actors.kernel import ActorStopped, Call, Inbox, Reply
from actors.mvcc.actor import Machine
from actors.mvcc.ranges import RangeCursor
from actors.raft.actor import RaftActor
from wire.errors import EtcdError, NoLeader, RequestTimeout, Stopped, TooManyRequests
from wire.grpc.service import UnaryCall

INBOX_CALLS = 1024
LONG_READS = 256  # listings under way at once, and as many that wait
ATTEMPT_SECONDS = 0.5  # after which a read index is asked for again; etcd's


@dataclass(frozen=True, slots=True)
class Point(Call[None]):
    """Answered when the local state is current."""


@dataclass(frozen=True, slots=True)
class LongRead(Call[None]):
    """Answered when the listing has been handed to the connection, or need not be."""

    cursor: RangeCursor
    call: UnaryCall
    finish: Callable[[UnaryCall, RangeCursor], None]


class Reads:
    """The handle."""

    def __init__(self, raft: RaftActor, machine: Machine, timeout: float) -> None:
        """`timeout` in seconds, for one read."""
        self.inbox = Inbox("reads", calls=INBOX_CALLS)
        self.long_inbox = Inbox("long-reads", calls=LONG_READS)
        self.raft = raft
        self.machine = machine
        self.timeout = timeout
        self.slow_seconds = math.inf  # from which a listing is slow
        self.read_slowly: Callable[[UnaryCall, RangeCursor, float], None] = lambda *_: None
        self.slow = 0  # questions to raft that took longer than that
        self.failed = 0  # and those that it refused

    async def current(self) -> None:
        """Until the local state includes all that was acknowledged before this was called.

        Raises:
            EtcdError: there is no leader, it changed, or it took too long.
        """
        if self.raft.status.reads_open:
            return
        await self.ask().reply.wait()

    def ask(self) -> Point:
        """The question alone; the caller hears the reply.  May be refused at once."""
        point = Point()
        if not self.inbox.try_send(point):
            point.reply.refuse(Stopped() if self.inbox.closed else TooManyRequests())
        return point

    def read(
        self, cursor: RangeCursor, call: UnaryCall, finish: Callable[[UnaryCall, RangeCursor], None]
    ) -> None:
        """Have a long listing read; `finish` gets it when it is complete.  Never waits."""
        if not self.long_inbox.try_send(LongRead(cursor, call, finish)):
            call.refuse(Stopped() if self.long_inbox.closed else TooManyRequests())


async def run_reads(
    reads: Reads, *, task_status: trio.TaskStatus[Reads] = trio.TASK_STATUS_IGNORED
) -> None:
    with reads.inbox:
        task_status.started(reads)
        while True:
            await reads.inbox.wait()
            await _settle(reads, [message.reply for message in reads.inbox.drain()])


async def _settle(reads: Reads, waiting: list[Reply[None]]) -> None:
    """Ask raft once for all who wait, and answer them together."""
    refusal: EtcdError | None = RequestTimeout()
    try:
        with trio.move_on_after(reads.timeout):
            index = await _read_index(reads)
            await reads.machine.wait_applied(index)
            refusal = None
    except EtcdError as error:
        refusal = error
        reads.failed += 1
    except ActorStopped:
        refusal = Stopped()
    if isinstance(refusal, RequestTimeout):
        reads.slow += 1
    for reply in waiting:
        if refusal is None:
            reply.answer(None)
        else:
            reply.refuse(refusal)


async def _read_index(reads: Reads) -> int:
    """The question may get lost on its way to the leader, so it is asked again after a while;
    while there is no leader, as soon as there is."""
    while True:
        with trio.move_on_after(ATTEMPT_SECONDS):
            try:
                return await reads.raft.read_index()
            except NoLeader:
                await reads.raft.leader_known()


async def run_long_reads(
    reads: Reads, *, task_status: trio.TaskStatus[Reads] = trio.TASK_STATUS_IGNORED
) -> None:
    """A task a listing: they take turns by the slice, and one whose client is slow to take what
    was sent holds up nobody."""
    slots = trio.Semaphore(LONG_READS)
    with reads.long_inbox:
        task_status.started(reads)
        async with trio.open_nursery() as nursery:
            while True:
                await slots.acquire()
                nursery.start_soon(_read, await reads.long_inbox.receive(), reads, slots)


async def _read(read: LongRead, reads: Reads, slots: trio.Semaphore) -> None:
    cursor, call = read.cursor, read.call
    try:
        with reads.machine.pins.at(cursor.revision):
            await call.connection.room()
            began = trio.current_time()
            while not call.closed and cursor.step():
                await trio.lowlevel.checkpoint()
            took = trio.current_time() - began
            if took > reads.slow_seconds:
                reads.read_slowly(call, cursor, took)
        if not call.closed:
            read.finish(call, cursor)
        read.reply.answer(None)
    except EtcdError as refusal:
        call.refuse(refusal)
        read.reply.refuse(refusal)
    finally:
        slots.release()
