"""Clusters of processes, of trioetcd or of Go's etcd, that a test can hurt."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.interop.etcd_process import free_port
from tests.interop.processes import clean_environment, serve_command
from tests.system.proxy import Network
from wire.errors import EtcdError
from wire.grpc.channel import open_channel
from wire.network import Address, RealNetwork
from wire.pb import etcdserverpb

ELECTION_TIMEOUT = 1.0  # seconds; the default
PATIENCE = 60.0  # for a cluster to be ready
LOOK_SECONDS = 0.05  # between two looks at a server
ANSWER_SECONDS = 1.0


class NotInTime(AssertionError):
    """The cluster did not get where it should in time."""


class Member:
    """A process that may run or not; its data stay."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.home = cluster.home / name
        self.client_port, self.peer_port, self.proxy_port = (free_port() for _ in range(3))
        self.address = Address("127.0.0.1", self.client_port)
        self.process: subprocess.Popen[bytes] | None = None
        self._cluster = cluster

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.proxy_port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *, joins: bool = False) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        client = f"http://127.0.0.1:{self.client_port}"
        initial = ",".join(f"{one.name}={one.peer_url}" for one in self._cluster.members.values())
        flags = [
            f"--name={self.name}",
            f"--data-dir={self.home / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{self.peer_port}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={initial}",
            f"--initial-cluster-state={'existing' if joins else 'new'}",
            "--logger=zap",
            *self._cluster.flags,
        ]
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*serve_command(self._cluster.kind), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                cwd=self.home,
            )
        self._cluster.pids[self.name] = self.process.pid

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.is_running:
            self.send(number)
            assert self.process is not None
            await trio.to_thread.run_sync(self.process.wait)

    def wipe(self) -> None:
        shutil.rmtree(self.home / "data", ignore_errors=True)

    async def ask(self, path: str, request: bytes) -> bytes:
        """Raises EtcdError."""
        network = RealNetwork(reuse_port=False, reuse_address=False)
        answer: bytes | EtcdError
        async with open_channel(network, self.address, random.Random()) as channel:
            try:
                answer = await channel.unary(path, request, timeout=ANSWER_SECONDS)
            except EtcdError as error:
                answer = error
        if isinstance(answer, EtcdError):
            raise answer
        return answer

    async def status(self) -> etcdserverpb.StatusResponse | None:
        """None if it does not answer."""
        try:
            answer = await self.ask("/etcdserverpb.Maintenance/Status", b"")
        except EtcdError:
            return None
        return etcdserverpb.StatusResponse.FromString(answer)

    async def hash(self) -> tuple[int, int]:
        """Its revision and the hash of everything.  Raises EtcdError."""
        answer = await self.ask("/etcdserverpb.Maintenance/HashKV", b"")
        response = etcdserverpb.HashKVResponse.FromString(answer)
        return response.header.revision, response.hash


class Cluster:
    """Invariant: `members` are those of the cluster, running or not."""

    def __init__(self, kind: str, home: Path, flags: list[str], nursery: trio.Nursery) -> None:
        self.kind = kind
        self.home = home
        self.flags = flags
        self.pids: dict[str, int] = {}
        self._processes: list[Member] = []  # also those that were removed
        self.network = Network(self.pids)
        self.members: dict[str, Member] = {}
        self._nursery = nursery

    async def add(self, name: str) -> Member:
        """A member that does not run yet, with a way to it."""
        member = self.members[name] = Member(self, name)
        self._processes.append(member)
        await self.network.serve(name, member.proxy_port, member.peer_port, self._nursery)
        return member

    @property
    def running(self) -> list[Member]:
        return [one for one in self.members.values() if one.is_running]

    async def leader(self, among: list[Member] | None = None, within: float = PATIENCE) -> Member:
        """The one that all of these members (those that run) take for it, in one term."""
        some = among if among is not None else self.running
        found: list[Member] = []

        async def agreed() -> bool:
            found.clear()
            statuses = [(one, await one.status()) for one in some]
            views = {(s.leader, s.raftTerm) if s is not None else (0, 0) for _, s in statuses}
            found.extend(one for one, s in statuses if s and s.leader == s.header.member_id)
            return len(views) == 1 and len(found) == 1

        await until(agreed, within, "the members agree on a leader")
        return found[0]

    async def follower(self) -> Member:
        leader = await self.leader()
        return next(one for one in self.running if one is not leader)

    async def alike(self, within: float = PATIENCE) -> tuple[int, int]:
        """Until all members that run have the same revision and hash."""
        seen: list[tuple[int, int]] = []

        async def same() -> bool:
            seen.clear()
            for one in self.running:
                try:
                    seen.append(await one.hash())
                except EtcdError:
                    return False
            return len(set(seen)) == 1

        await until(same, within, lambda: f"the members hold the same: {seen}")
        return seen[0]

    async def stop(self) -> None:
        for one in self._processes:
            if one.is_running:
                one.send(signal.SIGCONT)
                await one.end()


async def until(holds: Callable[[], object], within: float, what: str | Callable[[], str]) -> None:
    """Look again and again; raises NotInTime."""
    with trio.move_on_after(within):
        while not await holds():  # type: ignore[misc]  # noqa: ASYNC110
            await trio.sleep(LOOK_SECONDS)
        return
    raise NotInTime(f"not within {within:g} s: {what if isinstance(what, str) else what()}")


@asynccontextmanager
async def cluster_of(
    kind: str, home: Path, size: int = 3, flags: list[str] | None = None
) -> AsyncIterator[Cluster]:
    """A cluster that has a leader; of no size, one that is still to be begun."""
    async with trio.open_nursery() as nursery:
        cluster = Cluster(kind, home, flags or [], nursery)
        try:
            for number in range(size):
                await cluster.add(f"m{number}")
            for member in cluster.members.values():
                member.start()
            if size:
                await cluster.leader()
            yield cluster
        finally:
            with trio.CancelScope(shield=True):
                await cluster.stop()
            nursery.cancel_scope.cancel()
