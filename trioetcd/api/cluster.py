"""The Cluster service.  Source: etcd server/etcdserver/api/v3rpc/member.go."""

from __future__ import annotations

from actors.cluster.membership import Membership
from trioetcd.api.header import HeaderWriter
from trioetcd.api.parse import parse
from trioetcd.api.reads import Reads
from wire.grpc.service import Registry, UnaryCall
from wire.pb import etcdserverpb

_SERVICE = "/etcdserverpb.Cluster"


class ClusterService:
    def __init__(self, membership: Membership, reads: Reads, headers: HeaderWriter) -> None:
        self._membership = membership
        self._reads = reads
        self._headers = headers

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/MemberList", self.member_list)

    async def member_list(self, call: UnaryCall) -> bytes:
        """This member's view, or, if asked for, one that is current."""
        request = parse(etcdserverpb.MemberListRequest, call.payload)
        if request.linearizable:
            await self._reads.current()
        response = etcdserverpb.MemberListResponse(
            members=[member.to_message() for member in self._membership.all]
        )
        return self._headers.write(0) + response.SerializeToString()
