"""What this member answers other members, beside raft.

Who joins does not know the cluster's id yet, so some questions are answered to anybody.
Source: etcd server/etcdserver/api/etcdhttp/peer.go; v3_server.go; corrupt.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trioetcd.api.lessors import LeaseQuestions
from trioetcd.peer.protocol import (
    HASH_KV,
    LEASE_RENEW,
    LEASE_TIME_TO_LIVE,
    MEMBERS,
    PROMOTE,
    VERSION,
)
from trioetcd.peer.server import Question
from wire.grpc.service import Registry, UnaryCall
from wire.pb import etcdserverpb
from wire.version import ETCD_VERSION

if TYPE_CHECKING:
    from trioetcd.node.parts import Parts


class Questions:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        leases = LeaseQuestions(parts.lessor)
        self.answers: Mapping[str, Question] = {
            LEASE_RENEW: leases.renew,
            LEASE_TIME_TO_LIVE: leases.time_to_live,
            HASH_KV: parts.maintenance.hash_kv_of,
            PROMOTE: self._promote,
        }

    def register_open(self, registry: Registry) -> None:
        """Questions that anybody may ask."""
        registry.unary(MEMBERS, self.members)
        registry.unary(VERSION, self.version)

    async def members(self, call: UnaryCall) -> bytes:
        membership = self._parts.membership
        response = etcdserverpb.MemberListResponse(
            header=etcdserverpb.ResponseHeader(
                cluster_id=self._parts.cluster_id, member_id=self._parts.member_id
            ),
            members=[member.to_message() for member in membership.all],
        )
        return response.SerializeToString()

    async def version(self, call: UnaryCall) -> bytes:
        return ETCD_VERSION.encode()

    async def _promote(self, payload: bytes) -> bytes:
        await self._parts.cluster.promote(int(payload, 16))
        return b""
