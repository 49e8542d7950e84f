"""How a member that joins a running cluster finds out who is in it, and who it is itself.

Source: etcd server/etcdserver/cluster_util.go (getClusterFromRemotePeers),
api/membership/cluster.go (ValidateClusterAndAssignIDs).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import trio
from google.protobuf.message import DecodeError

from actors.cluster.member import Member
from trioetcd.peer.protocol import MEMBERS
from wire.errors import EtcdError
from wire.grpc.channel import ChannelOptions, open_channel
from wire.network import Network, parse_url
from wire.pb import etcdserverpb
from wire.tls import ClientTLS

ASK_SECONDS = 5.0  # for one member to answer


class CannotJoin(Exception):
    """Nobody answers, or the cluster is not the one that was described."""


@dataclass(frozen=True)
class Joining:
    """What a joining member begins with."""

    cluster_id: int
    own: Member
    others: tuple[Member, ...]


async def find_cluster(
    network: Network,
    tls: ClientTLS | None,
    rng: random.Random,
    name: str,
    described: Mapping[str, Sequence[str]],
) -> Joining:
    """Ask the members that --initial-cluster describes, one after the other.

    Raises:
        CannotJoin: see there.
    """
    urls = sorted(url for other, some in described.items() if other != name for url in some)
    for url in urls:
        answer = await ask_members(network, tls, rng, url, ASK_SECONDS)
        if answer is not None:
            return _assign(answer, name, described)
    raise CannotJoin(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from "
        "the given URLs"
    )


async def ask_members(
    network: Network,
    tls: ClientTLS | None,
    rng: random.Random,
    url: str,
    timeout: float,  # noqa: ASYNC109
) -> etcdserverpb.MemberListResponse | None:
    """Who is in the cluster of the member at this peer URL; None if it does not say in time."""
    options = ChannelOptions(connect_seconds=timeout)
    answer = None
    address = parse_url(url)
    used = tls if address.secure else None
    async with open_channel(network, address, rng, tls=used, options=options) as channel:
        try:
            data = await channel.unary(MEMBERS, b"", timeout=timeout)
            answer = etcdserverpb.MemberListResponse.FromString(data)
        except (EtcdError, OSError, DecodeError, trio.BrokenResourceError):
            pass
    return answer


def _assign(
    answer: etcdserverpb.MemberListResponse, name: str, described: Mapping[str, Sequence[str]]
) -> Joining:
    """Match who is described with who is there, by their peer URLs."""
    there = [
        Member(one.ID, tuple(one.peerURLs), one.isLearner, one.name, tuple(one.clientURLs))
        for one in answer.members
    ]
    if len(there) != len(described):
        raise CannotJoin(f"error validating peerURLs {_show(there)}: member count is unequal")
    found: dict[str, Member] = {}
    for called, urls in described.items():
        matching = [one for one in there if sorted(one.peer_urls) == sorted(urls)]
        if not matching:
            raise CannotJoin(
                f"error validating peerURLs {_show(there)}: "
                "unmatched member while checking PeerURLs"
            )
        found[called] = matching[0]
    own = found[name]
    others = tuple(one for one in there if one.id != own.id)
    return Joining(answer.header.cluster_id, own, others)


def _show(members: Iterable[Member]) -> str:
    return ", ".join(f"{one.id:x}: {','.join(one.peer_urls)}" for one in members)
