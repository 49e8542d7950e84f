"""The leader sees to it that the members agree on a version: that of the oldest of them.

Source: etcd server/etcdserver/server.go (monitorClusterVersions), version/monitor.go.
"""

from __future__ import annotations

import trio

from actors.cluster.membership import Membership
from actors.cluster.versions import decide_cluster_version
from actors.kernel import ActorStopped
from trioetcd.api.proposals import Proposals
from trioetcd.peer.links import Links
from trioetcd.peer.protocol import VERSION
from wire.errors import EtcdError
from wire.log import Log
from wire.pb import membershippb
from wire.version import ETCD_VERSION

LOOK_SECONDS = 5.0  # between two looks at the members' versions; etcd's
FIRST_LOOKS = 10  # while nothing is decided, so many quick looks are made for all to answer
QUICK_SECONDS = 0.1
ANSWER_SECONDS = 1.0  # for one member to say its version


class VersionDuty:
    """`run` is a duty of the leader."""

    def __init__(
        self, own: int, membership: Membership, links: Links, proposals: Proposals, log: Log
    ) -> None:
        self._own = own
        self._membership = membership
        self._links = links
        self._proposals = proposals
        self._log = log

    async def run(self, term: int) -> None:
        looks = 0
        while True:
            looks += 1
            versions = await self._versions()
            undecided = not self._membership.version
            if undecided and None in versions and looks < FIRST_LOOKS:
                await trio.sleep(QUICK_SECONDS)
                continue
            decided = decide_cluster_version(self._membership.version, versions)
            if decided is not None:
                await self._propose(decided)
            await trio.sleep(LOOK_SECONDS)

    async def _versions(self) -> list[str | None]:
        """Of all members; None for those that do not say."""
        versions: list[str | None] = []

        async def ask(member: int) -> None:
            versions.append(await self._version_of(member))

        async with trio.open_nursery() as nursery:
            for member in list(self._membership.members):
                nursery.start_soon(ask, member)
        return versions

    async def _version_of(self, member: int) -> str | None:
        if member == self._own:
            return ETCD_VERSION
        channel = self._links.channel(member)
        if channel is None:
            return None
        try:
            answer = await channel.unary(
                VERSION, b"", metadata=self._links.introduction(member), timeout=ANSWER_SECONDS
            )
        except EtcdError:
            return None
        return answer.decode("ascii", "replace")

    async def _propose(self, version: str) -> None:
        request = membershippb.ClusterVersionSetRequest(ver=version)
        try:
            await self._proposals.propose("cluster_version_set", request.SerializeToString())
        except (EtcdError, ActorStopped) as error:
            self._log.warning("failed to update cluster version", error=str(error))
        else:
            self._log.info("updated cluster version", to=version)
