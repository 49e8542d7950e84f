"""The Cluster service: who the members are, and changing that.

Every change is judged twice: here by the member that is asked, also by whom it is connected
to, and when it is applied by the members alone, alike everywhere.
Source: etcd server/etcdserver/api/v3rpc/member.go; server/etcdserver/server.go (AddMember …).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import trio

from actors.cluster.membership import Membership
from actors.cluster.requests import (
    HEALTH_INTERVAL,
    addition,
    check_add,
    check_in_sync,
    check_promote,
    check_remove,
    new_member,
    promotion,
    removal,
    update,
)
from actors.kernel import ActorStopped
from actors.raft.actor import RaftActor
from actors.raft.types import ConfChange, NodeID
from trioetcd.api.header import HeaderWriter
from trioetcd.api.parse import parse
from trioetcd.api.permissions import Permissions
from trioetcd.api.reads import Reads
from trioetcd.peer.links import Links
from trioetcd.peer.protocol import PROMOTE
from wire.errors import (
    EtcdError,
    LearnerNotReady,
    MemberNotFound,
    MemberNotLearner,
    NotLeader,
    RequestTimeout,
    Stopped,
)
from wire.grpc.client_errors import TimedOut, Unavailable
from wire.grpc.service import Registry, UnaryCall
from wire.pb import etcdserverpb

_SERVICE = "/etcdserverpb.Cluster"
RETRY_SECONDS = 0.1  # between tries to reach a leader that promotes


class LogPositions(Protocol):
    """The leader's view of how far members are."""

    def match_of(self, member: NodeID) -> int | None: ...


class ClusterService:
    def __init__(
        self,
        membership: Membership,
        raft: RaftActor,
        links: Links,
        reads: Reads,
        headers: HeaderWriter,
        positions: LogPositions,
        permissions: Permissions,
        *,
        next_id: Callable[[], int],
        unix_seconds: Callable[[], float],
        timeout: float,
        strict: bool,
    ) -> None:
        """`strict`: judge by whom this member is connected to (--strict-reconfig-check)."""
        self._membership = membership
        self._raft = raft
        self._links = links
        self._reads = reads
        self._headers = headers
        self._positions = positions
        self._permissions = permissions
        self._next_id = next_id
        self._unix_seconds = unix_seconds
        self._timeout = timeout
        self._strict = strict
        self.promotions = 0
        self.promotion_failures: dict[str, int] = {}  # by etcd's word for the reason

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/MemberList", self.member_list)
        registry.unary(f"{_SERVICE}/MemberAdd", self.member_add)
        registry.unary(f"{_SERVICE}/MemberRemove", self.member_remove)
        registry.unary(f"{_SERVICE}/MemberUpdate", self.member_update)
        registry.unary(f"{_SERVICE}/MemberPromote", self.member_promote)

    def _members(self) -> list[etcdserverpb.Member]:
        return [member.to_message() for member in self._membership.all]

    async def member_list(self, call: UnaryCall) -> bytes:
        """This member's view, or, if asked for, one that is current."""
        request = parse(etcdserverpb.MemberListRequest, call.payload)
        if request.linearizable:
            await self._reads.current()
        await self._permissions.require_known(call.context)
        response = etcdserverpb.MemberListResponse(members=self._members())
        return self._headers.write(0) + response.SerializeToString()

    async def member_add(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.MemberAddRequest, call.payload)
        member = new_member(
            request.peerURLs, is_learner=request.isLearner, unix_seconds=int(self._unix_seconds())
        )
        if self._strict:
            check_add(self._membership, member, self._connected())
        await self._change(addition(member))
        response = etcdserverpb.MemberAddResponse(
            member=member.to_message(), members=self._members()
        )
        return self._headers.write(0) + response.SerializeToString()

    async def member_remove(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.MemberRemoveRequest, call.payload)
        if self._strict:
            connected = self._connected()
            is_down = (
                self._raft.status.node_id != request.ID
                and self._links.active_since(request.ID) is None
            )
            check_remove(self._membership, request.ID, connected, is_down=is_down)
        await self._change(removal(request.ID))
        response = etcdserverpb.MemberRemoveResponse(members=self._members())
        return self._headers.write(0) + response.SerializeToString()

    async def member_update(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.MemberUpdateRequest, call.payload)
        await self._change(update(request.ID, request.peerURLs))
        response = etcdserverpb.MemberUpdateResponse(members=self._members())
        return self._headers.write(0) + response.SerializeToString()

    async def member_promote(self, call: UnaryCall) -> bytes:
        """Only the leader knows how far a learner is, so it is asked."""
        request = parse(etcdserverpb.MemberPromoteRequest, call.payload)
        with trio.move_on_after(self._timeout) as waiting:
            while True:
                try:
                    await self._promote_at_leader(request.ID)
                    break
                except (NotLeader, Unavailable, TimedOut):
                    await trio.sleep(RETRY_SECONDS)
        if waiting.cancelled_caught:
            raise RequestTimeout
        response = etcdserverpb.MemberPromoteResponse(members=self._members())
        return self._headers.write(0) + response.SerializeToString()

    async def _promote_at_leader(self, member: NodeID) -> None:
        status = self._raft.status
        if status.is_leader:
            await self.promote(member)
            return
        channel = self._links.channel(status.leader)
        if channel is None:
            raise Unavailable("the leader is not reached", maybe_sent=False)
        introduction = self._links.introduction(status.leader)
        await channel.unary(PROMOTE, b"%x" % member, metadata=introduction)

    async def promote(self, member: NodeID) -> None:
        """The leader's part.  Raises EtcdError."""
        try:
            await self._promote(member)
        except EtcdError as error:
            known = isinstance(error, LearnerNotReady)
            why = "Learner not ready" if known else str(error).removeprefix("etcdserver: ")
            self.promotion_failures[why] = self.promotion_failures.get(why, 0) + 1
            raise
        self.promotions += 1

    async def _promote(self, member: NodeID) -> None:
        if not self._raft.status.is_leader:
            raise NotLeader
        known = self._membership.members.get(member)
        if known is None:
            raise MemberNotFound
        if not known.is_learner:
            raise MemberNotLearner
        own = self._positions.match_of(self._raft.status.node_id)
        if own is None:
            raise LearnerNotReady
        check_in_sync(self._positions.match_of(member), own)
        if self._strict:
            check_promote(self._membership)
        await self._change(promotion(member))

    def _connected(self) -> set[NodeID]:
        """Members that have been reached for a while without a break, and this one."""
        since = {member: self._links.active_since(member) for member in self._membership.members}
        long_ago = trio.current_time() - HEALTH_INTERVAL
        reached = {member for member, at in since.items() if at is not None and at <= long_ago}
        return reached | {self._raft.status.node_id}

    async def _change(self, change: ConfChange) -> None:
        """Have a change applied.  Raises EtcdError."""
        try:
            with trio.move_on_after(self._timeout) as waiting:
                [result] = await self._raft.propose_conf_change(replace(change, id=self._next_id()))
        except ActorStopped:
            raise Stopped from None
        if waiting.cancelled_caught:
            raise RequestTimeout
        if isinstance(result, EtcdError):
            raise result
