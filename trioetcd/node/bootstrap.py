"""Whether a member that has no data may begin as one of the first.

One that has voted and acknowledged entries, and then lost its disk, must not begin anew under
its old id: it could vote twice in a term, and a majority could forget what it acknowledged.
Only the other members still know of it, so they are asked; at the very first start nobody
answers, or nobody has heard of anybody yet.
Source: etcd server/etcdserver/bootstrap.go (bootstrapNewClusterNoWAL), cluster_util.go
(isMemberBootstrapped).
"""

from __future__ import annotations

import random

import trio

from trioetcd.node.recovery import StartError, first_members
from trioetcd.node.settings import NodeSettings
from trioetcd.peer.joining import ask_members
from wire.network import Network
from wire.tls import ClientTLS

ASK_SECONDS = 1.0  # for all others together; etcd's for each


async def refuse_second_beginning(
    settings: NodeSettings, network: Network, tls: ClientTLS | None, rng: random.Random
) -> None:
    """Raises StartError if another member says that this one has served before."""
    members = first_members(settings)
    own = members.pop(settings.name, None)
    if own is None:
        return  # which is refused elsewhere
    served = False

    async def ask(url: str) -> None:
        nonlocal served
        answer = await ask_members(network, tls, rng, url, ASK_SECONDS)
        for member in answer.members if answer is not None else ():
            if own.id == member.ID and member.clientURLs:
                served = True
                asking.cancel_scope.cancel()

    with trio.move_on_after(ASK_SECONDS):
        async with trio.open_nursery() as asking:
            for member in members.values():
                for url in member.peer_urls:
                    asking.start_soon(ask, url)
    if served:
        raise StartError(f"member {own.id:x} has already been bootstrapped")
