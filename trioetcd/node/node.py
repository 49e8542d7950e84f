"""A running member."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from actors.auth.token_settings import BadTokenOptions
from actors.backend.engine import Engine, MemoryEngine
from actors.backend.lmdb_engine import LMDBEngine
from actors.kernel import (
    ActorStopped,
    DedicatedThread,
    InlineWorker,
    ThreadWorker,
    Worker,
    describe,
)
from actors.kernel import Node as TreeNode
from actors.kernel.sampler import Sampler
from actors.wal.disk import Disk, RealDisk
from trioetcd.api.passwords import THREADS as PASSWORD_THREADS
from trioetcd.api.profile import ProfilePage
from trioetcd.api.revisions import RevisionsPage
from trioetcd.api.variables import VariablesPage
from trioetcd.api.web import Web
from trioetcd.metrics.page import MetricsPage
from trioetcd.node.bootstrap import refuse_second_beginning
from trioetcd.node.corruption import Inconsistent
from trioetcd.node.embedding import accepting, bound, open_node_client
from trioetcd.node.listening import PeerTLS, listen_to_members
from trioetcd.node.parts import Parts, Seams
from trioetcd.node.recovery import StartError, Storage, has_log, open_storage
from trioetcd.node.settings import NodeSettings
from trioetcd.node.tree import build_tree
from trioetcd.peer.joining import CannotJoin, Joining, find_cluster
from trioetcd.peer.links import FAREWELL_TIMEOUTS
from trioetcd.testing.disk import SimulatedDisk
from wire.errors import EtcdError
from wire.log import Log, NullLog
from wire.network import Network, RealNetwork
from wire.pb import membershippb
from wire.tls import ServerTLS, TLSError, TLSSettings

if TYPE_CHECKING:
    from trioetcd.client.client import Client

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
        self.web.add("/metrics", MetricsPage(parts, self.web))
        self.web.add("/debug/revisions", RevisionsPage(parts.revision_times, parts.unix_seconds))
        self.web.add("/debug/vars", VariablesPage(parts.core.status))
        if parts.settings.profiles:
            self.web.add("/debug/profile", ProfilePage(ThreadWorker(1), Sampler))
        self.log = log
        self.stopped = trio.Event()  # it was removed from its cluster, and has ended
        self.failure: ExceptionGroup | None = None  # what has ended it, by the names in the tree
        self.client_urls: tuple[str, ...] = ()  # where `open_node` was told to listen

    def client(self, *, user: str = "", password: str = "") -> AbstractAsyncContextManager[Client]:
        """`async with`: a client in this program, without any socket."""
        return open_node_client(self, user=user, password=password)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or until a part fails that the member cannot go on without, or until
        the member is removed from its cluster."""

        def note(name: str, error: BaseException) -> None:
            self.log.error("actor failed", actor=name, error=describe(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_when_removed, nursery.cancel_scope)
            try:
                await build_tree(self.parts, self.tree, note).run(task_status=task_status)
            except ExceptionGroup as failure:
                self.failure = failure
                raise
        self.stopped.set()

    async def _leave_when_removed(self, scope: trio.CancelScope) -> None:
        """The others may need its answers for some time yet: not all of them know that it is
        no member any more."""
        parts = self.parts
        await parts.removed.wait()
        self.log.warning("the member has been permanently removed from the cluster")
        parts.kv.give_up()
        await trio.sleep(FAREWELL_TIMEOUTS * parts.settings.election_timeout)
        self.log.warning("the data-dir used by this member must be removed")
        scope.cancel()

    def hasten_election(self) -> None:
        """The first one need not wait as long as one after a leader that fell silent."""
        parts = self.parts
        if parts.settings.hasten_first_election:
            shortest = parts.settings.heartbeat_interval
            parts.raft.hasten_election(parts.rng.uniform(2, 6) * shortest)

    async def defragment_at_start(self) -> None:
        """If that was asked for, and frees enough."""
        threshold = self.parts.settings.defrag_threshold_bytes
        engine = self.parts.rows.engine
        unused = engine.size() - engine.size_in_use()
        if not threshold:
            return
        shown = {"unused_bytes": unused, "threshold_bytes": threshold}
        if unused < threshold:
            self.log.info("Skipping defragmentation", **shown)
            return
        await self.parts.backend.defragment()
        self.log.info("defragmented before serving", bytes_now=engine.size(), **shown)

    async def hand_over(self) -> None:
        """A leader that stops lets another one lead, so that nobody has to wait for an election."""
        raft, links = self.parts.raft, self.parts.links
        since = {
            member.id: links.active_since(member.id) for member in self.parts.membership.voters
        }
        reached = {member: at for member, at in since.items() if at is not None}
        if not raft.status.is_leader or not reached:
            return
        successor = min(reached, key=lambda member: (reached[member], member))
        self.log.info("leadership transfer starting", transferee_member_id=f"{successor:x}")
        try:
            with trio.move_on_after(self.parts.settings.election_timeout) as waiting:
                await raft.transfer_leadership(successor)
        except (EtcdError, ActorStopped) as error:
            self.log.warning("leadership transfer failed", error=str(error))
        else:
            words = "timed out" if waiting.cancelled_caught else "finished"
            self.log.info(f"leadership transfer {words}")

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
            try:
                if self.parts.raft.status.leader == 0:
                    await self.parts.raft.leader_known()
                with trio.move_on_after(settings.request_timeout):
                    await self.parts.proposals.propose("cluster_member_attr_set", payload)
                    break
            except EtcdError as refusal:
                self.log.warning("failed to publish local member", error=str(refusal))
                await trio.sleep(PUBLISH_RETRY)
            except ActorStopped:
                await trio.sleep_forever()  # the tree ends, and says why
        self.log.info(
            "published local member to cluster through raft",
            local_member_name=settings.name,
            cluster_id=f"{self.cluster_id:x}",
            publish_timeout=f"{settings.request_timeout:g}s",
        )


ServePeers = Callable[[Node, trio.Nursery], Awaitable[None]]
"""Begins to accept other members' connections, in tasks of the nursery."""


@asynccontextmanager
async def open_node(
    settings: NodeSettings | None = None,
    *,
    listen: Sequence[str] = (),
    tls: TLSSettings | None = None,
    log: Log | None = None,
    rng: random.Random | None = None,
    disk: Disk | None = None,
    network: Network | None = None,
    password_worker: Worker | None = None,
    peer_tls: PeerTLS | None = None,
    serve_peers: ServePeers | None = None,
    built: Callable[[], None] = lambda: None,
) -> AsyncIterator[Node]:
    """Start a member, wait until it has joined its cluster, and stop it on the way out.

        async with open_node(listen=["http://127.0.0.1:0"]) as node:
            print(node.client_urls)

    Without a data directory everything is in memory and gone afterwards.  It answers clients at
    the URLs in `listen` (`http`, `https` with the certificate in `tls`, `unix`; port 0: any free
    one), and those of `Node.client` without any.  A member of several listens on its peer URLs,
    over `network`, unless `serve_peers` does.  What the block raises is raised as it is.

    Raises:
        StartError: a port is taken, the storage cannot be used, or the cluster not be joined.
        ExceptionGroup: a part failed that the member cannot go on without; it is named.
    """
    settings = settings or NodeSettings()
    log = log or NullLog()
    async with AsyncExitStack() as stack:
        chance = rng or random.Random()
        network = network or RealNetwork(reuse_port=False, reuse_address=True)
        between = peer_tls or PeerTLS()
        certificate = _certificate(tls, log)
        places = await stack.enter_async_context(bound(network, listen))
        if places and settings.client_urls == NodeSettings.client_urls:
            settings = replace(settings, client_urls=tuple(place.url for place in places))
        if disk is None:
            disk = (
                RealDisk(fsync=settings.fsync)
                if settings.data_dir is not None
                else SimulatedDisk(chance)
            )
        wal_worker, backend_worker = await _workers(settings, stack)
        seams = Seams(
            network,
            between.client,
            disk,
            wal_worker,
            backend_worker,
            password_worker or ThreadWorker(PASSWORD_THREADS),
            chance,
            rng or random.SystemRandom(),
            time.time,
        )
        node = await stack.enter_async_context(
            start_node(
                settings,
                seams,
                _engine_opener(settings),
                log=log,
                tls=between,
                serve_peers=serve_peers,
                built=built,
            )
        )
        await stack.enter_async_context(accepting(node, places, certificate))
        node.client_urls = tuple(place.url for place in places)
        yield node


def _certificate(tls: TLSSettings | None, log: Log) -> ServerTLS | None:
    if tls is None:
        return None
    try:
        return ServerTLS(tls, log)
    except TLSError as error:
        raise StartError(str(error)) from error


@asynccontextmanager
async def start_node(
    settings: NodeSettings,
    seams: Seams,
    open_engine: Callable[[Path], Engine],
    *,
    log: Log,
    tls: PeerTLS,
    serve_peers: ServePeers | None = None,
    built: Callable[[], None] = lambda: None,
) -> AsyncIterator[Node]:
    """`open_node`, with everything of the outside handed in.

    `built` is called when everything is recovered, before anything runs.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        joining = None
        if not has_log(settings, seams.disk):
            if settings.joins:
                joining = await _find_cluster(settings, seams.network, tls, seams.rng)
            else:
                await refuse_second_beginning(settings, seams.network, tls.client, seams.rng)
        storage = open_storage(settings, seams.disk, open_engine, joining)
        stack.callback(_close, storage)
        log = log.bind(local_member_id=f"{storage.member_id:x}")
        try:
            node = Node(Parts(settings, storage, seams, log), log)
        except BadTokenOptions as error:
            raise StartError(str(error)) from error
        built()
        async with _named(node), trio.open_nursery() as nursery:
            if serve_peers is not None:
                await serve_peers(node, nursery)
            elif settings.joins or len(settings.bootstrap_cluster) > 1:
                await listen_to_members(node.parts, seams.network, tls.server, nursery)
            await nursery.start(node.run)
            await node.defragment_at_start()
            if settings.check_initially:
                await _check(node)
            node.hasten_election()
            await node.publish()
            try:
                yield node
            except Exception as error:
                failure = error
            await node.hand_over()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _named(node: Node) -> AsyncIterator[None]:
    """What has ended a member is raised as the tree says it, in no nursery's group."""
    try:
        yield
    except BaseExceptionGroup:
        if node.failure is not None:
            raise node.failure from None
        raise


async def _check(node: Node) -> None:
    try:
        await node.parts.corruption.check_initially()
    except Inconsistent as error:
        raise StartError(str(error)) from error


def spare_collector() -> None:
    """What recovery built stays; the garbage collector need not look at it again.

    For processes that are a member and nothing else.
    """
    gc.collect()
    gc.freeze()


async def _find_cluster(
    settings: NodeSettings, network: Network, tls: PeerTLS, rng: random.Random
) -> Joining:
    try:
        return await find_cluster(
            network, tls.client, rng, settings.name, settings.bootstrap_cluster
        )
    except CannotJoin as error:
        raise StartError(str(error)) from error


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


__all__ = ["Node", "StartError", "open_node", "spare_collector", "start_node"]
