"""Calls that a member must not answer: without a leader if the client wants one, on learners,
and when it is a member no longer.

Source: etcd server/etcdserver/api/v3rpc/interceptor.go, util.go (isRPCSupportedForLearner).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from actors.cluster.membership import Membership
from actors.raft.status import RaftStatus
from trioetcd.api.parse import parse_flat
from trioetcd.api.permissions import Permissions
from wire.errors import EtcdError, NoLeader, NotSupportedForLearner
from wire.grpc.metadata import Metadata
from wire.grpc.service import Registry, ServerStream, UnaryCall
from wire.pb import etcdserverpb

REQUIRES_LEADER = "hasleader"  # metadata; its value must be `true`
TIMEOUTS_WITHOUT_LEADER = 3  # election timeouts after which streams that want one end; etcd's
_STATUS = "/etcdserverpb.Maintenance/Status"
_SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"
_RANGE = "/etcdserverpb.KV/Range"
_HEALTH = "/grpc.health.v1.Health/"


class Gate:
    """Knows this member's standing in the cluster."""

    def __init__(self, status: RaftStatus, membership: Membership, election_timeout: float) -> None:
        self._status = status
        self._membership = membership
        self._election_timeout = election_timeout
        self._streams: dict[trio.CancelScope, None] = {}  # that want a leader

    @property
    def is_open(self) -> bool:
        """Whether every call may pass: there is a leader, and this member votes."""
        me = self._membership.members.get(self._status.node_id)
        return self._status.leader != 0 and me is not None and not me.is_learner

    def _is_learner(self) -> bool:
        """Raises NoLeader if this is no member any more: it would only keep clients waiting."""
        me = self._membership.members.get(self._status.node_id)
        if me is None and self._membership.is_removed(self._status.node_id):
            raise NoLeader
        return me is not None and me.is_learner

    def check(self, call: UnaryCall) -> None:
        """Raises EtcdError."""
        if self._is_learner() and not _learners_answer(call):
            raise NotSupportedForLearner
        if not self._status.leader and wants_leader(call.context.metadata):
            raise NoLeader

    def unary(
        self, handler: Callable[[UnaryCall], Awaitable[bytes]]
    ) -> Callable[[UnaryCall], Awaitable[bytes]]:
        async def checked(call: UnaryCall) -> bytes:
            if not self.is_open:
                self.check(call)
            return await handler(call)

        return checked

    def stream(
        self, handler: Callable[[ServerStream], Awaitable[None]]
    ) -> Callable[[ServerStream], Awaitable[None]]:
        async def checked(stream: ServerStream) -> None:
            if self._is_learner() and stream.context.path != _SNAPSHOT:
                raise NotSupportedForLearner
            if not wants_leader(stream.context.metadata):
                await handler(stream)
                return
            if not self._status.leader:
                raise NoLeader
            with trio.CancelScope() as scope:
                self._streams[scope] = None
                try:
                    await handler(stream)
                finally:
                    del self._streams[scope]
            if scope.cancelled_caught:
                raise NoLeader

        return checked

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End streams that want a leader when there has been none for some election timeouts."""
        task_status.started()
        without = 0
        while True:
            await trio.sleep(self._election_timeout)
            without = 0 if self._status.leader else without + 1
            if without >= TIMEOUTS_WITHOUT_LEADER:
                for scope in self._streams:
                    scope.cancel()


class GatedRegistry(Registry):
    """Puts every method behind the gate, and its rule; a batch handler looks at both itself."""

    def __init__(self, gate: Gate, permissions: Permissions) -> None:
        super().__init__()
        self._gate = gate
        self._permissions = permissions

    def unary(self, path: str, handler: Callable[[UnaryCall], Awaitable[bytes]]) -> None:
        allowed = self._permissions.unary(path, handler)
        super().unary(path, allowed if path.startswith(_HEALTH) else self._gate.unary(allowed))

    def stream(
        self, path: str, handler: Callable[[ServerStream], Awaitable[None]], kind: str
    ) -> None:
        allowed = self._permissions.stream(path, handler)
        gated = allowed if path.startswith(_HEALTH) else self._gate.stream(allowed)
        super().stream(path, gated, kind)


def wants_leader(metadata: Metadata) -> bool:
    return metadata.get(REQUIRES_LEADER, ())[:1] == (b"true",)


def _learners_answer(call: UnaryCall) -> bool:
    path = call.context.path
    if path != _RANGE:
        return path == _STATUS
    try:
        return parse_flat(etcdserverpb.RangeRequest, call.payload).serializable
    except EtcdError:
        return False
