"""Members compare what they hold: a difference is an alarm, and before serving a refusal to start.

Every member hashes the keys at the same revision, which is the same on all members if the same
entries were applied.  Hashes above different compactions say nothing about each other.
Source: etcd server/etcdserver/corrupt.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from actors.cluster.membership import Membership
from actors.kernel import ActorStopped
from actors.mvcc.store import Store
from trioetcd.api.proposals import Proposals
from trioetcd.peer.links import Links
from trioetcd.peer.protocol import HASH_KV
from wire.errors import EtcdError
from wire.log import Log
from wire.pb import etcdserverpb

ANSWER_SECONDS = 30.0  # for one member's hash
REACH_SECONDS = 5.0  # for the other members to be reached before the first check

Hash = etcdserverpb.HashKVResponse
LocalHash = Callable[[bytes], Awaitable[bytes]]
"""This member's answer to a HashKVRequest."""


class Inconsistent(Exception):
    """Members hold different data at the same revision."""


class CorruptionChecks:
    def __init__(
        self,
        own: int,
        local: LocalHash,
        membership: Membership,
        links: Links,
        store: Store,
        proposals: Proposals,
        log: Log,
    ) -> None:
        self._own = own
        self._local = local
        self._membership = membership
        self._links = links
        self._store = store
        self._proposals = proposals
        self._log = log

    # -- Before serving

    async def check_initially(self) -> None:
        """Compare with all members that can be reached.

        Raises:
            Inconsistent: one holds something else.
        """
        with trio.move_on_after(REACH_SECONDS):
            await self._links.until_active()
        own = await self._hash(self._store.revision)
        differing = [
            f"{other:x}"
            for other, theirs in (await self._ask(own.hash_revision)).items()
            if theirs.compact_revision == own.compact_revision and theirs.hash != own.hash
        ]
        if differing:
            self._log.warning(
                "found different hash values from remote peers", remote_peer_ids=differing
            )
            raise Inconsistent(f"{self._own:x} found data inconsistency with peers")
        self._log.info("initial corruption checking passed; no corruption")

    # -- A leader's duties

    def every(self, seconds: float) -> Callable[[int], Awaitable[None]]:
        """The duty to compare what all hold now."""

        async def duty(term: int) -> None:
            while True:
                await trio.sleep(seconds)
                await self._guarded(self.check_now)

        return duty

    def every_compaction(self, seconds: float) -> Callable[[int], Awaitable[None]]:
        """The duty to compare what all hold at the last compaction, if there was a new one."""

        async def duty(term: int) -> None:
            checked = -1
            while True:
                await trio.sleep(seconds)
                revision = self._store.finished_compaction
                if revision > 0 and revision != checked:
                    await self._guarded(lambda: self._check_at(revision))  # noqa: B023
                    checked = revision

        return duty

    async def _guarded(self, check: Callable[[], Awaitable[None]]) -> None:
        try:
            await check()
        except (EtcdError, ActorStopped) as error:
            self._log.warning("failed to check for corruption", error=str(error))

    async def check_now(self) -> None:
        """Raise an alarm for every member that holds something else, or more, than this one.

        This one leads, so nobody can be ahead of it once it has looked again.
        """
        first = await self._hash(0)
        theirs = await self._ask(first.hash_revision)
        again = await self._hash(0)
        same = (first.hash_revision, first.compact_revision)
        if (again.hash_revision, again.compact_revision) == same and again.hash != first.hash:
            await self._alarm(self._own)
        for other, answer in theirs.items():
            is_ahead = (
                answer.header.revision > again.hash_revision
                or answer.compact_revision > again.compact_revision
            )
            differs = (
                answer.compact_revision == first.compact_revision and answer.hash != first.hash
            )
            if is_ahead or differs:
                await self._alarm(other)

    async def _check_at(self, revision: int) -> None:
        """Whoever differs from most is wrong; without most, nobody knows who."""
        hashes = {self._own: await self._hash(revision), **await self._ask(revision)}
        alike = {
            member: answer.hash
            for member, answer in hashes.items()
            if answer.compact_revision == hashes[self._own].compact_revision
        }
        if len(set(alike.values())) <= 1:
            return
        quorum = len(self._membership.voters) // 2 + 1
        counts = [(list(alike.values()).count(value), value) for value in set(alike.values())]
        most, right = max(counts)
        for member, value in alike.items():
            if most < quorum or value != right:
                await self._alarm(member)

    # -- Steps

    def _others(self) -> list[int]:
        return [member for member in self._membership.members if member != self._own]

    async def _hash(self, revision: int) -> Hash:
        request = etcdserverpb.HashKVRequest(revision=revision)
        return Hash.FromString(await self._local(request.SerializeToString()))

    async def _ask(self, revision: int) -> Mapping[int, Hash]:
        """The answers of all members that give one."""
        request = etcdserverpb.HashKVRequest(revision=revision).SerializeToString()
        answers: dict[int, Hash] = {}

        async def ask(other: int) -> None:
            channel = self._links.channel(other)
            if channel is None:
                return
            introduction = self._links.introduction(other)
            try:
                answer = await channel.unary(
                    HASH_KV, request, metadata=introduction, timeout=ANSWER_SECONDS
                )
                answers[other] = Hash.FromString(answer)
            except EtcdError as error:  # it is not that far yet, or has compacted more
                self._log.debug("no hash of a member", peer_id=f"{other:x}", error=str(error))

        async with trio.open_nursery() as nursery:
            for other in self._others():
                nursery.start_soon(ask, other)
        return answers

    async def _alarm(self, member: int) -> None:
        self._log.error("found hash mismatch: data corruption", member_id=f"{member:x}")
        request = etcdserverpb.AlarmRequest(
            action=etcdserverpb.AlarmRequest.ACTIVATE,
            memberID=member,
            alarm=etcdserverpb.CORRUPT,
        )
        await self._proposals.propose("alarm", request.SerializeToString())
