"""A running member."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from actors.backend.engine import Engine, MemoryEngine
from actors.backend.lmdb_engine import LMDBEngine
from actors.kernel import DedicatedThread, InlineWorker, Worker, describe
from actors.kernel import Node as TreeNode
from actors.wal.disk import Disk, RealDisk
from trioetcd.api.web import Web
from trioetcd.node.parts import Parts, Seams
from trioetcd.node.recovery import StartError, Storage, open_storage
from trioetcd.node.settings import NodeSettings
from trioetcd.node.tree import build_tree
from trioetcd.testing.disk import SimulatedDisk
from wire.errors import EtcdError
from wire.log import Log, NullLog
from wire.pb import membershippb
from wire.version import CLUSTER_VERSION

PUBLISH_RETRY = 1.0  # seconds between tries to make the member's name known


class Node:
    """A member that has joined its cluster and serves."""

    def __init__(self, parts: Parts, log: Log) -> None:
        self.parts = parts
        self.registry = parts.registry
        self.member_id = parts.member_id
        self.cluster_id = parts.cluster_id
        self.tree = TreeNode("member")
        self.web = Web(self.tree, parts.membership, parts.alarms, parts.raft.status, parts.reads)
        self.log = log

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or until a part fails that the member cannot go on without."""

        def note(name: str, error: BaseException) -> None:
            self.log.error("actor failed", actor=name, error=describe(error))

        await build_tree(self.parts, self.tree, note).run(task_status=task_status)

    async def publish(self) -> None:
        """Make this member's name and client URLs known to the cluster; then it has joined."""
        settings = self.parts.settings
        request = membershippb.ClusterMemberAttrSetRequest(
            member_ID=self.member_id,
            member_attributes=membershippb.Attributes(
                name=settings.name, client_urls=settings.client_urls
            ),
        )
        payload = request.SerializeToString()
        while True:
            await self.parts.raft.leader_known()
            try:
                await self.parts.proposals.propose("cluster_member_attr_set", payload)
                break
            except EtcdError as refusal:
                self.log.warning("failed to publish local member", error=str(refusal))
                await trio.sleep(PUBLISH_RETRY)
        self.log.info(
            "published local member to cluster through raft",
            local_member_name=settings.name,
            cluster_id=f"{self.cluster_id:x}",
            publish_timeout=f"{settings.request_timeout:g}s",
        )


async def decide_version(parts: Parts) -> None:
    """The leader of a new cluster says which release its members agree on."""
    request = membershippb.ClusterVersionSetRequest(ver=CLUSTER_VERSION)
    if not parts.membership.version and parts.raft.status.is_leader:
        await parts.proposals.propose("cluster_version_set", request.SerializeToString())


@asynccontextmanager
async def open_node(
    settings: NodeSettings,
    *,
    log: Log | None = None,
    rng: random.Random | None = None,
    disk: Disk | None = None,
) -> AsyncIterator[Node]:
    """Start a member, and stop it on the way out.

    Without a data directory everything is in memory and gone afterwards.

    Raises:
        StartError: the storage cannot be used.
        ExceptionGroup: a part failed that the member cannot go on without.
    """
    log = log or NullLog()
    async with AsyncExitStack() as stack:
        chance = rng or random.Random()
        if disk is None:
            disk = (
                RealDisk(fsync=settings.fsync)
                if settings.data_dir is not None
                else SimulatedDisk(chance)
            )
        wal_worker, backend_worker = await _workers(settings, stack)
        storage = open_storage(settings, disk, _engine_opener(settings))
        stack.callback(_close, storage)
        seams = Seams(disk, wal_worker, backend_worker, chance, time.time)
        log = log.bind(local_member_id=f"{storage.member_id:x}")
        node = Node(Parts(settings, storage, seams, log), log)
        gc.collect()
        gc.freeze()  # what recovery built stays; the collector need not look at it again
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            await node.publish()
            await decide_version(node.parts)
            yield node
            nursery.cancel_scope.cancel()


async def _workers(settings: NodeSettings, stack: AsyncExitStack) -> tuple[Worker, Worker]:
    """A thread for the log and one for the database; none for what never blocks."""
    if settings.data_dir is None:
        return InlineWorker(), InlineWorker()
    return (
        await stack.enter_async_context(DedicatedThread("wal")),
        await stack.enter_async_context(DedicatedThread("backend")),
    )


def _engine_opener(settings: NodeSettings) -> Callable[[Path], Engine]:
    def open_engine(directory: Path) -> Engine:
        if settings.data_dir is None:
            return MemoryEngine()
        return LMDBEngine(directory, fsync=settings.fsync)

    return open_engine


def _close(storage: Storage) -> None:
    storage.backend.engine.close()
    if storage.lock is not None:
        storage.lock.release()


__all__ = ["Node", "StartError", "open_node"]
