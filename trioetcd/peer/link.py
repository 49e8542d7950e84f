"""The way to one other member: two streams of raft messages, snapshots, and questions.

Messages with entries, and all other APPENDs with them, go by one connection; heartbeats, votes
and answers by another, so that they never wait behind bulk data.  APPENDs stay in order
because one that overtakes another looks like a gap in the log.  A stream that is refused,
breaks, or takes nothing for too long is made anew after a pause that grows, at the member's
next URL.  Snapshots go by a connection of their own, at a limited rate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from actors.kernel import ActorStopped
from actors.raft.types import Message, MessageType, NodeID
from actors.snapshot.transfer import SnapshotSource
from trioetcd.peer.lane import Lane
from trioetcd.peer.protocol import (
    MAX_MESSAGE_BYTES,
    MESSAGES,
    VERSION,
    Introduction,
    is_removal,
)
from trioetcd.peer.sending import moves, send_snapshot
from trioetcd.peer.traffic import Traffic
from wire.errors import EtcdError
from wire.grpc.channel import Backoff, Channel, ChannelOptions, open_channel
from wire.grpc.client_calls import StreamExchange
from wire.grpc.client_link import ClientKeepAlive
from wire.http2.headers import Headers
from wire.log import Log
from wire.network import Address, Network, parse_url
from wire.tls import ClientTLS

BULK = frozenset({MessageType.APPEND, MessageType.PROPOSE})
WAITING_PROPOSALS = 1024
PROPOSAL_SECONDS = 5.0  # after which whoever proposed has given up, or soon will
MAX_PAUSE = 1.0  # seconds between tries to reach a member
PROBE_SECONDS = 30.0  # between measurements of the way there and back; etcd's
FAILURES_TO_TELL = 5  # tries in a row to reach a member, before the operator is told that it fails
_PAUSES = Backoff(first=0.1, factor=1.5, most=MAX_PAUSE)


class Raft(Protocol):
    """What a link tells raft.  Nothing of it waits."""

    def unreachable(self, peer: NodeID) -> None: ...

    def snapshot_sent(self, peer: NodeID, *, arrived: bool) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What all links of a member share.  Times in seconds."""

    own: NodeID
    own_urls: tuple[str, ...]
    cluster_id: int
    network: Network
    rng: random.Random
    tls: ClientTLS | None
    raft: Raft
    snapshots: SnapshotSource
    log: Log
    election_timeout: float
    removed: Callable[[], None]  # called when another member says that we are

    def introduction(self, peer: NodeID) -> Headers:
        """What every call to a member carries."""
        return Introduction(self.cluster_id, self.own, peer, self.own_urls).headers()

    def channel(self, address: Address) -> AbstractAsyncContextManager[Channel]:
        tls = self.tls if address.secure else None
        return open_channel(self.network, address, self.rng, tls=tls, options=self.options())

    def options(self) -> ChannelOptions:
        """A silent connection is given up after about two election timeouts."""
        silence = max(self.election_timeout, 0.5)
        return ChannelOptions(
            connect_seconds=1.0 + self.election_timeout,
            receive_bytes=MAX_MESSAGE_BYTES,
            keep_alive=ClientKeepAlive(interval=silence, timeout=silence, without_calls=True),
        )


class Link:
    """`run` must be running."""

    def __init__(
        self,
        peer: NodeID,
        urls: Sequence[str],
        around: Surroundings,
        traffic: Traffic | None = None,
    ) -> None:
        self.peer = peer
        self.urls = tuple(urls)
        self.scope = trio.CancelScope()
        self.is_retiring = False
        self.active_since: float | None = None  # Trio's time; None while it is not reached
        self.traffic = traffic or Traffic()
        self.control, self.bulk = Lane("control", self.traffic), Lane("entries", self.traffic)
        self._around = around
        self._log = around.log.bind(peer_id=f"{peer:x}")
        self._headers = around.introduction(peer)
        self._reached = trio.Event()
        self._proposals: list[tuple[float, Message]] = []  # since when they wait for a stream
        self._turn = 0  # which URL to try
        self._requests: Channel | None = None
        self._snapshot_asked = trio.Event()
        self._snapshot: Message | None = None  # to be sent, or being sent

    def send(self, message: Message) -> None:
        """Never waits; may drop the message."""
        if message.type is MessageType.PROPOSE and not self.bulk.is_open:
            # Nobody says it again: it goes by the other stream, or waits a while for one.
            if not self.control.put(message) and len(self._proposals) < WAITING_PROPOSALS:
                self._proposals.append((trio.current_time(), message))
        elif message.type in BULK:
            if not self.bulk.put(message):
                self._around.raft.unreachable(self.peer)
        elif message.type is MessageType.SNAPSHOT:
            if self._snapshot is None:
                self._snapshot = message
                self._snapshot_asked.set()
        else:
            self.control.put(message)

    @property
    def channel(self) -> Channel | None:
        """For questions; None while the member is not reached."""
        return self._requests if self.active_since is not None else None

    async def until_active(self) -> None:
        while self.active_since is None:
            await self._reached.wait()

    def retire(self, seconds: float) -> None:
        """End in a while: a member that was removed should still hear that it was."""
        if not self.is_retiring:
            self.is_retiring = True
            self.scope.deadline = trio.current_time() + seconds

    async def run(self) -> None:
        """Until `scope` is cancelled.  After a failure it may be run again."""
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, self.control)
                    nursery.start_soon(self._carry, self.bulk)
                    nursery.start_soon(self._send_snapshots)
                    nursery.start_soon(self._probe)
        except BaseException:
            ended, self.scope = self.scope, trio.CancelScope(deadline=self.scope.deadline)
            if ended.cancel_called:
                self.scope.cancel()
            raise
        finally:
            if self._snapshot is not None:  # raft sends this member nothing until it hears
                self._snapshot = None
                self._around.raft.snapshot_sent(self.peer, arrived=False)

    @property
    def _address(self) -> Address:
        return parse_url(self.urls[self._turn % len(self.urls)])

    # -- Streams

    async def _carry(self, lane: Lane) -> None:
        """Keep a stream open and send what waits, for ever."""
        failures = 0
        while True:
            began, turn = trio.current_time(), self._turn
            async with self._around.channel(self._address) as channel:
                why = await self._converse(channel, lane)
            lasted = trio.current_time() - began > 2 * MAX_PAUSE
            failures = 1 if lasted else failures + 1
            if self._turn == turn:  # the other stream may have turned to the next URL before
                self._turn += 1
            self._log.debug("lost stream to peer", stream=lane.name, error=why)
            if lane is self.control and failures == FAILURES_TO_TELL:
                self._log.warning("prober detected unhealthy status", error=why)
            with trio.move_on_after(_PAUSES.pause(failures, self._around.rng)):
                await self._reached.wait()  # by the other stream: no need to wait then

    async def _converse(self, channel: Channel, lane: Lane) -> str:
        """One stream, to its end; why it ended."""
        why = "the link was stopped"
        try:
            async with channel.stream(MESSAGES, metadata=self._headers) as stream:
                with trio.move_on_after(self._around.options().connect_seconds):
                    if await stream.receive() is not None:  # the other side takes us on
                        self._opened(lane, channel, stream)
                if not lane.is_open:
                    return "not taken on in time"
                why = await self._feed(stream, lane)
        except EtcdError as error:
            if is_removal(error):
                self._around.removed()
            why = str(error)
        finally:
            self._closed(lane, why)
        return why

    async def _feed(self, stream: StreamExchange, lane: Lane) -> str:
        """Send batches until the stream ends, or takes nothing for too long."""
        ended = "the peer closed the stream"

        async def watch(scope: trio.CancelScope) -> None:
            nonlocal ended
            try:
                await stream.receive()
            except EtcdError as error:
                if is_removal(error):
                    self._around.removed()
                ended = str(error)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            while True:
                await lane.wait()
                if not await moves(stream, 2 * self._around.election_timeout):
                    ended = "the peer takes nothing: i/o timeout"
                    nursery.cancel_scope.cancel()
                try:
                    await stream.send(await lane.take())
                except (EtcdError, trio.BrokenResourceError):
                    await trio.sleep_forever()  # `watch` knows why
        return ended

    def _opened(self, lane: Lane, channel: Channel, stream: StreamExchange) -> None:
        lane.open(stream)
        if lane is self.control:
            self._requests = channel
            self.active_since = trio.current_time()
            self._log.info("peer became active")
        self._reached.set()
        self._reached = trio.Event()
        proposals, self._proposals = self._proposals, []
        for since, message in proposals:
            if trio.current_time() - since < PROPOSAL_SECONDS:
                self.send(message)

    def _closed(self, lane: Lane, why: str) -> None:
        if not lane.is_open:
            return
        lane.close()
        self._around.raft.unreachable(self.peer)
        if lane is self.control:
            self._requests = None
            self.active_since = None
            self.traffic.disconnections += 1
            self._log.warning("peer became inactive (message send to peer failed)", error=why)

    async def _probe(self) -> None:
        """Now and then, how long a question and its answer take."""
        while True:
            await self.until_active()
            if self._requests is not None:
                began = trio.current_time()
                with suppress(EtcdError), trio.move_on_after(PROBE_SECONDS):
                    await self._requests.unary(VERSION, b"", metadata=self._headers)
                    self.traffic.round_trips.note(trio.current_time() - began)
            await trio.sleep(PROBE_SECONDS)

    # -- Snapshots

    async def _send_snapshots(self) -> None:
        failures = 0
        while True:
            await self._snapshot_asked.wait()
            self._snapshot_asked = trio.Event()
            assert self._snapshot is not None
            async with self._around.channel(self._address) as channel:
                arrived = await self._send_snapshot(channel, self._snapshot)
            failures = 0 if arrived else failures + 1
            if failures:  # raft would ask again at once
                await trio.sleep(_PAUSES.pause(failures, self._around.rng))
            self._snapshot = None
            self._around.raft.snapshot_sent(self.peer, arrived=arrived)

    async def _send_snapshot(self, channel: Channel, message: Message) -> bool:
        began = trio.current_time()
        counts = self.traffic.snapshots_sent
        counts.under_way += 1
        try:
            metadata, size = await send_snapshot(
                channel, message, self._around.snapshots, self._headers
            )
        except (EtcdError, OSError, ActorStopped, trio.BrokenResourceError) as error:
            counts.failed += 1
            self._log.warning("failed to send database snapshot", error=str(error))
            return False
        finally:
            counts.under_way -= 1
        took = trio.current_time() - began
        counts.succeeded += 1
        counts.durations.note(took)
        self._log.info(
            "sent database snapshot",
            snapshot_index=metadata.index,
            size_bytes=size,
            took=f"{took:.3f}s",
        )
        return True
