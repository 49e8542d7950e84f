"""What other members may ask of this one, on the peer port.

Callers say which cluster they are of, who they are and whom they mean; who belongs elsewhere,
or was removed, is refused.
Source: etcd server/etcdserver/api/rafthttp/http.go (checks), api/etcdhttp/peer.go (questions).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import trio

from actors.kernel import Worker
from actors.raft.codec import MalformedMessage
from actors.raft.types import Message, NodeID
from actors.snapshot.transfer import SnapshotSink
from trioetcd.peer.protocol import (
    MESSAGES,
    SNAPSHOT,
    ClusterMismatch,
    Introduction,
    Removed,
    split_messages,
)
from trioetcd.peer.receiving import receive_snapshot
from trioetcd.peer.traffic import Traffic, TrafficBook
from wire.errors import Refused
from wire.grpc.service import Context, Registry, ServerStream, UnaryCall
from wire.log import Log
from wire.status import Status
from wire.version import ETCD_VERSION

Question = Callable[[bytes], Awaitable[bytes]]


class Raft(Protocol):
    def step(self, message: Message) -> bool:
        """Never waits; False if the message was dropped."""
        ...


class Members(Protocol):
    def is_removed(self, member: NodeID) -> bool: ...


class Acquaintances(Protocol):
    def meet(self, peer: NodeID, urls: Sequence[str]) -> None:
        """Somebody of our cluster has called."""
        ...


class PeerService:
    def __init__(
        self,
        own: NodeID,
        cluster_id: int,
        raft: Raft,
        members: Members,
        acquaintances: Acquaintances,
        sink: SnapshotSink,
        worker: Worker,
        log: Log,
        traffic: TrafficBook | None = None,
    ) -> None:
        """Snapshots are taken in on `worker`."""
        self._traffic = traffic or TrafficBook()
        self._own = own
        self._cluster_id = cluster_id
        self._raft = raft
        self._members = members
        self._acquaintances = acquaintances
        self._sink = sink
        self._worker = worker
        self._log = log
        self._is_receiving = False

    def register(self, registry: Registry, questions: Mapping[str, Question]) -> None:
        """`questions` are unary calls, by path: request bytes to response bytes."""
        registry.stream(MESSAGES, self.messages, "client_stream")
        registry.stream(SNAPSHOT, self.snapshot, "client_stream")
        for path, question in questions.items():
            registry.unary(path, self._checked(question))

    def admit(self, context: Context) -> Introduction:
        """Raises EtcdError."""
        caller = Introduction.of(context.metadata)
        if caller.cluster_id != self._cluster_id:
            self._log.warning(
                "request cluster ID mismatch",
                remote_peer_id=f"{caller.sender:x}",
                remote_peer_cluster_id=f"{caller.cluster_id:x}",
                local_member_cluster_id=f"{self._cluster_id:x}",
            )
            raise ClusterMismatch
        if not caller.is_compatible:
            self._log.warning(
                "request sent was ignored due to incompatible version",
                remote_peer_id=f"{caller.sender:x}",
                remote_peer_server_version=caller.version,
                local_member_server_version=ETCD_VERSION,
            )
            raise Refused(Status.FAILED_PRECONDITION, "incompatible version")
        if self._members.is_removed(caller.sender):
            raise Removed
        if caller.to != self._own:
            raise ClusterMismatch(f"member {caller.to:x} is not here")
        self._acquaintances.meet(caller.sender, caller.urls)
        return caller

    def _checked(self, question: Question) -> Callable[[UnaryCall], Awaitable[bytes]]:
        async def answer(call: UnaryCall) -> bytes:
            self.admit(call.context)
            return await question(call.payload)

        return answer

    async def messages(self, stream: ServerStream) -> None:
        """Raft's messages, in batches.  What raft has no room for is dropped: it is said again."""
        caller = self.admit(stream.context)
        await stream.send(b"")  # you are taken on
        traffic = self._traffic.of(caller.sender)

        def take(batch: bytes) -> None:
            traffic.received_bytes += len(batch)
            try:
                for message in split_messages(batch):
                    if message.to == self._own:
                        self._raft.step(message)
            except MalformedMessage as error:
                traffic.received_failures += 1
                raise Refused(Status.INVALID_ARGUMENT, str(error)) from error
            if self._members.is_removed(caller.sender):
                raise Removed

        await stream.consume(take)

    async def snapshot(self, stream: ServerStream) -> None:
        """One at a time.  Raft hears of it once it is here, whole and durable."""
        caller = self.admit(stream.context)
        if self._is_receiving:
            raise Refused(Status.UNAVAILABLE, "another snapshot is being received")
        self._is_receiving = True
        try:
            self._log.info("receiving database snapshot", remote_peer_id=f"{caller.sender:x}")
            message = await self._receive(stream, self._traffic.of(caller.sender))
        finally:
            self._is_receiving = False
        assert message.snapshot is not None
        index = message.snapshot.metadata.index
        self._log.info("received and saved database snapshot", snapshot_index=index)
        if message.to != self._own or not self._raft.step(message):
            raise Refused(Status.UNAVAILABLE, "raft does not take the snapshot now")
        await stream.send(b"")

    async def _receive(self, stream: ServerStream, traffic: Traffic) -> Message:
        """Take in a snapshot, and count it."""
        counts, began = traffic.snapshots_received, trio.current_time()
        counts.under_way += 1
        try:
            message = await receive_snapshot(stream, self._sink, self._worker)
        except BaseException:
            counts.failed += 1
            raise
        finally:
            counts.under_way -= 1
        counts.succeeded += 1
        counts.durations.note(trio.current_time() - began)
        return message
