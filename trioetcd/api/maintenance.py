"""The Maintenance service, as far as one member answers it by itself.

Source: etcd server/etcdserver/api/v3rpc/maintenance.go.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

from actors.apply.alarms import Alarms
from actors.backend.actor import BackendActor
from actors.backend.buckets import ALL, CONSISTENT_INDEX, META, STORAGE_VERSION, TERM
from actors.backend.engine import Snapshot
from actors.cluster.membership import Membership
from actors.mvcc.actor import Machine
from actors.mvcc.hash import KVHash, backend_hash
from actors.mvcc.store import Store
from actors.raft.actor import RaftActor
from trioetcd.api.header import HeaderWriter
from trioetcd.api.parse import parse
from trioetcd.api.permissions import Permissions
from trioetcd.api.proposals import Proposals
from trioetcd.api.quota import Quota
from wire.durations import Durations, doubling
from wire.errors import BadLeaderTransferee, NoLeader, NotLeader, TimeoutLeaderTransfer
from wire.grpc.service import Registry, UnaryCall
from wire.pb import etcdserverpb
from wire.version import ETCD_VERSION
from wire.version import STORAGE_VERSION as STORAGE_RELEASE

_SERVICE = "/etcdserverpb.Maintenance"
_NOT_HASHED = {(META, CONSISTENT_INDEX), (META, TERM), (META, STORAGE_VERSION)}


class MaintenanceService:
    def __init__(
        self,
        store: Store,
        machine: Machine,
        backend: BackendActor,
        raft: RaftActor,
        membership: Membership,
        alarms: Alarms,
        proposals: Proposals,
        headers: HeaderWriter,
        quota: Quota,
        permissions: Permissions,
        *,
        timeout: float,
    ) -> None:
        """`timeout` in seconds: for what a client asks for without a deadline of its own."""
        self._store = store
        self._machine = machine
        self._backend = backend
        self._raft = raft
        self._membership = membership
        self._alarms = alarms
        self._proposals = proposals
        self._headers = headers
        self._quota = quota
        self._permissions = permissions
        self._timeout = timeout
        self.hashes = Durations(doubling(0.01, 15))
        self.revision_hashes = Durations(doubling(0.01, 15))

    def register(self, registry: Registry) -> None:
        registry.unary(f"{_SERVICE}/Alarm", self.alarm)
        registry.unary(f"{_SERVICE}/Status", self.status)
        registry.unary(f"{_SERVICE}/Defragment", self.defragment)
        registry.unary(f"{_SERVICE}/Hash", self.hash)
        registry.unary(f"{_SERVICE}/HashKV", self.hash_kv)
        registry.unary(f"{_SERVICE}/MoveLeader", self.move_leader)

    def _header(self) -> bytes:
        return self._headers.write(self._store.revision)

    async def alarm(self, call: UnaryCall) -> bytes:
        """List, raise or clear alarms: through the log, so that all members agree."""
        request = parse(etcdserverpb.AlarmRequest, call.payload)
        if request.action == etcdserverpb.AlarmRequest.GET:
            await self._permissions.require_known(call.context)
        else:
            await self._permissions.require_root(call.context)
        revision, body = await self._proposals.propose("alarm", call.payload, call.context)
        return self._headers.write(revision) + body

    async def status(self, call: UnaryCall) -> bytes:
        """This member's own view; nobody else is asked."""
        raft, engine = self._raft.status, self._backend.backend.engine
        errors = [] if raft.leader else [NoLeader.text]
        for row in self._alarms.get():
            alarm = etcdserverpb.AlarmMember.FromString(row)
            kind = etcdserverpb.AlarmType.Name(alarm.alarm)
            errors.append(f"memberID:{alarm.memberID} alarm:{kind} ")
        me = self._membership.members.get(raft.node_id)
        response = etcdserverpb.StatusResponse(
            version=ETCD_VERSION,
            dbSize=engine.size(),
            dbSizeInUse=engine.size_in_use(),
            dbSizeQuota=max(self._quota.limit_bytes, 0),
            leader=raft.leader,
            raftIndex=raft.commit_index,
            raftAppliedIndex=self._backend.backend.applied_index,
            raftTerm=raft.term,
            errors=errors,
            isLearner=me is not None and me.is_learner,
            storageVersion=STORAGE_RELEASE,
            downgradeInfo=etcdserverpb.DowngradeInfo(
                enabled=bool(self._membership.downgrade_target),
                targetVersion=self._membership.downgrade_target,
            ),
        )
        return self._header() + response.SerializeToString()

    async def defragment(self, call: UnaryCall) -> bytes:
        await self._backend.defragment()
        return b""

    async def hash_kv(self, call: UnaryCall) -> bytes:
        return await self.hash_kv_of(call.payload)

    async def hash_kv_of(self, payload: bytes) -> bytes:
        """The hash of the keys at a revision; other calls go on meanwhile."""
        request = parse(etcdserverpb.HashKVRequest, payload)
        began = trio.current_time()
        with self._machine.pins.at(0):  # no compaction starts while rows are hashed
            await self._machine.wait_compaction()
            run = KVHash(self._store, request.revision)
            while run.step():
                await trio.lowlevel.checkpoint()
        self.revision_hashes.note(trio.current_time() - began)
        response = etcdserverpb.HashKVResponse(
            hash=run.value, compact_revision=run.compact_revision, hash_revision=run.revision
        )
        return self._header() + response.SerializeToString()

    async def hash(self, call: UnaryCall) -> bytes:
        """The hash of everything stored; equal only for databases with the same history."""
        began = trio.current_time()
        await self._backend.flush()
        snapshot = self._backend.backend.engine.snapshot()
        value = 0
        try:
            for so_far in backend_hash(_hashed_buckets(snapshot)):
                value = so_far
                await trio.lowlevel.checkpoint()
        finally:
            snapshot.close()
        self.hashes.note(trio.current_time() - began)
        return self._header() + etcdserverpb.HashResponse(hash=value).SerializeToString()

    async def move_leader(self, call: UnaryCall) -> bytes:
        request = parse(etcdserverpb.MoveLeaderRequest, call.payload)
        status = self._raft.status
        if not status.is_leader:
            raise NotLeader
        target = self._membership.members.get(request.targetID)
        if target is None or target.is_learner:
            raise BadLeaderTransferee
        deadline = call.deadline or trio.current_time() + self._timeout
        with trio.move_on_at(deadline) as waiting:
            await self._raft.transfer_leadership(request.targetID)
        if waiting.cancelled_caught:
            raise TimeoutLeaderTransfer
        return b""


def _hashed_buckets(
    snapshot: Snapshot,
) -> Iterator[tuple[str, Iterator[tuple[bytes, bytes]]]]:
    """All rows but those that differ between members with the same history."""
    for bucket in sorted(ALL):
        rows = snapshot.rows(bucket)
        yield bucket, (row for row in rows if (bucket, row[0]) not in _NOT_HASHED)
