"""Looking after members: status, alarms, hashes, defragmentation, snapshots.

What concerns one member goes to `endpoint`, one of the URLs that the client was opened with, or
to any of them.
Source: etcd api/etcdserverpb/rpc.proto (Maintenance), client/v3/maintenance.go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import PathLike

from trioetcd.client.calls import Calls, call
from trioetcd.client.endpoints import Endpoints
from trioetcd.client.snapshot import SavedSnapshot, SnapshotChunks, save
from wire.http2.headers import Headers
from wire.pb import etcdserverpb

_MAINTENANCE = "/etcdserverpb.Maintenance"
_Action = etcdserverpb.AlarmRequest.AlarmAction


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What a member says of itself."""

    member_id: int
    version: str
    leader_id: int  # 0: it knows of none
    term: int
    raft_index: int
    applied_index: int
    revision: int
    db_size_bytes: int
    db_in_use_bytes: int
    is_learner: bool
    errors: tuple[str, ...]

    @property
    def is_leader(self) -> bool:
        return self.member_id == self.leader_id


@dataclass(frozen=True, slots=True)
class Alarm:
    member_id: int
    kind: str  # "NOSPACE" or "CORRUPT"


@dataclass(frozen=True, slots=True)
class KeysHash:
    """Equal on members that hold the same, if the revisions are."""

    hash: int
    revision: int
    compact_revision: int


class Maintenance(Calls):
    """Every method raises EtcdError."""

    def _at(self, endpoint: str | None) -> Endpoints:
        return self._endpoints if endpoint is None else self._endpoints.only(endpoint)

    async def status(self, endpoint: str | None = None) -> MemberStatus:
        """Raises ValueError: the client has no such endpoint."""
        found = await call(
            self._at(endpoint),
            f"{_MAINTENANCE}/Status",
            etcdserverpb.StatusRequest(),
            etcdserverpb.StatusResponse,
        )
        return MemberStatus(
            member_id=found.header.member_id,
            version=found.version,
            leader_id=found.leader,
            term=found.raftTerm,
            raft_index=found.raftIndex,
            applied_index=found.raftAppliedIndex,
            revision=found.header.revision,
            db_size_bytes=found.dbSize,
            db_in_use_bytes=found.dbSizeInUse,
            is_learner=found.isLearner,
            errors=tuple(found.errors),
        )

    async def alarms(self) -> list[Alarm]:
        return await self._alarm("GET", 0, "NONE")

    async def disarm(self, alarm: Alarm) -> None:
        """Say that it is mended.  An alarm whose cause persists comes back."""
        await self._alarm("DEACTIVATE", alarm.member_id, alarm.kind)

    async def _alarm(self, action: str, member_id: int, kind: str) -> list[Alarm]:
        request = etcdserverpb.AlarmRequest(
            action=_Action.Value(action),
            memberID=member_id,
            alarm=etcdserverpb.AlarmType.Value(kind),
        )
        answer = await self.call(
            f"{_MAINTENANCE}/Alarm",
            request,
            etcdserverpb.AlarmResponse,
            is_write=action != "GET",
        )
        name = etcdserverpb.AlarmType.Name
        return [Alarm(one.memberID, name(one.alarm)) for one in answer.alarms]

    async def defragment(self, endpoint: str | None = None) -> None:
        """Give back the space of what was compacted, at one member."""
        await call(
            self._at(endpoint),
            f"{_MAINTENANCE}/Defragment",
            etcdserverpb.DefragmentRequest(),
            etcdserverpb.DefragmentResponse,
        )

    async def hash_keys(self, revision: int = 0, endpoint: str | None = None) -> KeysHash:
        """Of all keys and their history up to `revision`; 0: up to now."""
        found = await call(
            self._at(endpoint),
            f"{_MAINTENANCE}/HashKV",
            etcdserverpb.HashKVRequest(revision=revision),
            etcdserverpb.HashKVResponse,
        )
        return KeysHash(found.hash, found.hash_revision, found.compact_revision)

    async def move_leader(self, member_id: int, endpoint: str | None = None) -> None:
        """Hand the leadership over; the one that is asked must have it."""
        await call(
            self._at(endpoint),
            f"{_MAINTENANCE}/MoveLeader",
            etcdserverpb.MoveLeaderRequest(targetID=member_id),
            etcdserverpb.MoveLeaderResponse,
        )

    # -- Snapshots

    @asynccontextmanager
    async def snapshot(self, endpoint: str | None = None) -> AsyncIterator[SnapshotChunks]:
        """The database of one member, as it comes.

        async with client.maintenance.snapshot() as chunks:
            async for chunk in chunks: ...

        Raises:
            SnapshotDamaged: at its end: it is not what the server has.
        """
        endpoints = self._at(endpoint)

        async def begun(metadata: Headers) -> SnapshotChunks:
            stream = await endpoints.open_stream(f"{_MAINTENANCE}/Snapshot", metadata)
            try:
                stream.send_nowait(etcdserverpb.SnapshotRequest().SerializeToString())
                stream.done_sending()
                chunks = SnapshotChunks(stream)
                await chunks.begin()
            except BaseException:
                stream.cancel()
                raise
            return chunks

        chunks = await endpoints.logged_in(begun)
        try:
            yield chunks
        finally:
            chunks.stream.cancel()

    async def save_snapshot(
        self,
        path: str | PathLike[str],
        *,
        endpoint: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SavedSnapshot:
        """Write the database of one member to a file, which etcdctl and etcdutl can restore.

        Until it is whole, checked and on disk it is called `PATH.part`.  `progress` is told how
        many bytes are written, and of how many.

        Raises:
            SnapshotDamaged: what came is not what the server has.
            OSError: the file cannot be written.
        """
        async with self.snapshot(endpoint) as chunks:
            return await save(chunks, path, progress)
