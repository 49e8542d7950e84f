"""The members of the cluster.

Source: etcd api/etcdserverpb/rpc.proto (Cluster), client/v3/cluster.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from trioetcd.client.calls import Calls
from wire.pb import etcdserverpb

_CLUSTER = "/etcdserverpb.Cluster"


@dataclass(frozen=True, slots=True)
class Member:
    id: int
    name: str  # empty until it has started
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]  # empty until it has started
    is_learner: bool  # hears everything, and does not vote


class Cluster(Calls):
    """Every method raises EtcdError: for one, that the change would cost the quorum."""

    async def members(self, *, linearizable: bool = True) -> list[Member]:
        """All members; as one of them knows it if not `linearizable`."""
        request = etcdserverpb.MemberListRequest(linearizable=linearizable)
        kind = etcdserverpb.MemberListResponse
        found = await self.call(f"{_CLUSTER}/MemberList", request, kind)
        return [_member(one) for one in found.members]

    async def add(self, *peer_urls: str, learner: bool = False) -> Member:
        """A place for a member that is started afterwards."""
        request = etcdserverpb.MemberAddRequest(peerURLs=peer_urls, isLearner=learner)
        kind = etcdserverpb.MemberAddResponse
        done = await self.call(f"{_CLUSTER}/MemberAdd", request, kind, is_write=True)
        return _member(done.member)

    async def remove(self, member_id: int) -> None:
        request = etcdserverpb.MemberRemoveRequest(ID=member_id)
        kind = etcdserverpb.MemberRemoveResponse
        await self.call(f"{_CLUSTER}/MemberRemove", request, kind, is_write=True)

    async def update(self, member_id: int, *peer_urls: str) -> None:
        """The member is to be reached at other URLs."""
        request = etcdserverpb.MemberUpdateRequest(ID=member_id, peerURLs=peer_urls)
        kind = etcdserverpb.MemberUpdateResponse
        await self.call(f"{_CLUSTER}/MemberUpdate", request, kind, is_write=True)

    async def promote(self, member_id: int) -> None:
        """A learner that knows enough becomes a voter."""
        request = etcdserverpb.MemberPromoteRequest(ID=member_id)
        kind = etcdserverpb.MemberPromoteResponse
        await self.call(f"{_CLUSTER}/MemberPromote", request, kind, is_write=True)


def _member(one: etcdserverpb.Member) -> Member:
    return Member(one.ID, one.name, tuple(one.peerURLs), tuple(one.clientURLs), one.isLearner)
