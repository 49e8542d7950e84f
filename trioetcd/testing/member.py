"""One whole member on a simulated machine: it boots, is killed, loses power, boots again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import trio

from actors.backend.engine import Engine
from actors.kernel import InlineWorker
from trioetcd.node.listening import Answers, PeerTLS, make_port
from trioetcd.node.node import Node, start_node
from trioetcd.node.parts import Seams
from trioetcd.node.settings import NodeSettings
from trioetcd.testing.disk import SimulatedDisk
from trioetcd.testing.machine import Mount, SimulatedEngine, SlowWorker
from trioetcd.testing.network import SimulatedNetwork
from trioetcd.testing.trace import Trace, TraceLog
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.network import Address

CLIENT_PORT = 2379
EPOCH_SECONDS = 1_700_000_000.0  # the wall clock when Trio's is at zero
SYNC_SECONDS = 0.001  # half of what an fsync takes on average


@dataclass(frozen=True)
class Stage:
    """What all members share."""

    nursery: trio.Nursery
    network: SimulatedNetwork
    trace: Trace


class Member:
    """Invariant: at most one boot of it has power."""

    def __init__(self, stage: Stage, settings: NodeSettings, rng: random.Random) -> None:
        self.name = settings.name
        self.settings = settings
        self.node: Node | None = None  # while it serves
        self.disk = SimulatedDisk(rng)
        self.may_fail = False  # its disk was made to
        self.boots = 0
        self.failure: BaseException | None = None  # one that nothing excuses
        self._stage = stage
        self._rng = rng
        self._engine: SimulatedEngine | None = None
        self._mount: Mount | None = None
        self._scope = trio.CancelScope()
        self._leave = trio.Event()
        self._ended = trio.Event()
        self._ended.set()
        self.changed = trio.Event()  # it serves, or serves no more

    @property
    def address(self) -> Address:
        return Address(self.name, CLIENT_PORT)

    @property
    def is_up(self) -> bool:
        return not self._ended.is_set()

    # -- What may be done to it

    def boot(self) -> None:
        assert not self.is_up
        self._scope, self._leave, self._ended = trio.CancelScope(), trio.Event(), trio.Event()
        self.boots += 1
        self._note("boots")
        self._stage.network.power_on(self.name)
        self._stage.nursery.start_soon(self._run)

    def lose_power(self) -> None:
        """What was not synced may be lost; who speaks to it hears nothing."""
        self._note("loses power")
        self._stage.network.power_off(self.name)
        self.disk.crash()
        self._down()

    def kill(self) -> None:
        """As by SIGKILL: what was written stays, connections are reset."""
        self._note("is killed")
        self._stage.network.kill(self.name)
        self.disk.kill()
        self._down()

    def lose_power_after(self, operations: int) -> None:
        """In the middle of whatever it is doing to its disk then."""
        if self._mount is not None:
            self._mount.operations_left = operations

    def fail_sync(self) -> None:
        self._note("will fail to sync")
        self.may_fail = self.disk.fail_next_sync = True

    def stop(self) -> None:
        """As by SIGTERM."""
        self._note("is told to stop")
        self._leave.set()

    async def mend(self) -> None:
        """Take back faults that have not struck; one that has, or a stop, is waited for."""
        if self.disk.fail_next_sync:
            self.may_fail = self.disk.fail_next_sync = False
        if self._mount is not None:
            self._mount.operations_left = None
        if self.may_fail or self._leave.is_set() or self._scope.cancel_called:
            await self.ended()
        if not self.is_up:
            self.boot()

    async def ended(self) -> None:
        await self._ended.wait()

    # -- A boot

    def _down(self) -> None:
        self.node = None
        self._scope.cancel()
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def _note(self, what: str) -> None:
        self._stage.trace.note(self.name, what)

    async def _run(self) -> None:
        mount = self._mount = Mount(self.disk, self.lose_power)
        try:
            with self._scope:
                await self._serve(mount)
        except Exception as error:
            self._note(f"ended: {_reason(error)}")
            if not (mount.is_gone or self.may_fail):
                self.failure = error
        self.node = None
        if not mount.is_gone:
            self._stage.network.kill(self.name)
            if self.may_fail:  # and what was not synced is what it is
                self.disk.crash()
                self.may_fail = self.disk.fail_next_sync = False
            else:
                self.disk.kill()
        self._note("is down")
        self._ended.set()
        self._tell()

    async def _serve(self, mount: Mount) -> None:
        network = self._stage.network.host(self.name)
        worker = SlowWorker(self._rng, SYNC_SECONDS)
        log = TraceLog(self._stage.trace, self.name)
        clock = trio.current_time
        seams = Seams(
            network,
            None,
            mount,
            worker,
            worker,
            InlineWorker(),
            self._rng,
            self._rng,
            lambda: EPOCH_SECONDS + clock(),
        )

        def open_engine(directory: Path) -> Engine:
            self._engine = SimulatedEngine(mount, self._engine)
            return self._engine

        async with (
            start_node(self.settings, seams, open_engine, log=log, tls=PeerTLS()) as node,
            trio.open_nursery() as nursery,
        ):
            answers = Answers(
                node.registry, node.web.handle, Limits(), KeepAlive(), seams.unix_seconds
            )
            port = make_port(await network.listen(self.address), answers, None, log)
            await nursery.start(port.run)
            if not mount.is_gone:
                self.node = node
                self._note("serves")
                self._tell()
            await self._leave.wait()
            nursery.cancel_scope.cancel()


def _reason(error: BaseException) -> str:
    """The innermost of a group's first, in short."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
