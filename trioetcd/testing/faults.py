"""What goes wrong in a simulation: chosen at random, one disturbance after another.

Each kind lasts for a while and is then over; several may be going on at once, and more than a
minority may be affected.  What is promised must hold all the same; only progress needs a calm.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import trio

from actors.kernel import ActorStopped
from trioetcd.testing.member import Member
from trioetcd.testing.network import SimulatedNetwork, Way
from trioetcd.testing.trace import Trace
from wire.errors import EtcdError

MAX_DISTURBANCES = 2  # at once


class Disturber:
    """Invariant: a member is taken down and brought back by one disturbance at a time."""

    def __init__(
        self,
        members: Sequence[Member],
        clients: Sequence[str],
        network: SimulatedNetwork,
        rng: random.Random,
        trace: Trace,
    ) -> None:
        self._members = members
        self._clients = clients
        self._network = network
        self._rng = rng
        self._trace = trace
        self._busy: set[str] = set()  # members that somebody is at
        self._going_on = 0
        self.counts: dict[str, int] = {}
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "power": self._power,
            "kill": self._kill,
            "stop": self._stop,
            "torn": self._torn_write,
            "sync": self._failed_sync,
            "isolate": self._isolate,
            "split": self._split,
            "slow": self._slow,
            "clients": self._cut_clients,
            "move": self._move_leader,
        }
        if len(members) == 1:
            del self._kinds["isolate"], self._kinds["split"], self._kinds["move"]

    async def run(self, mean_pause: float) -> None:
        """Disturb until cancelled; what was taken down is then left to the caller."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self._rng.expovariate(1 / mean_pause))
                if self._going_on < MAX_DISTURBANCES:
                    nursery.start_soon(self._disturb, self._rng.choice(list(self._kinds)))

    async def _disturb(self, kind: str) -> None:
        self._going_on += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        try:
            await self._kinds[kind]()
        finally:
            self._going_on -= 1

    async def _seconds(self, least: float, most: float) -> None:
        """Short ones are more frequent."""
        await trio.sleep(self._rng.triangular(least, most, least))

    # -- Members

    async def _down_and_up(self, take_down: Callable[[Member], None], most: float) -> None:
        free = [one for one in self._members if one.is_up and one.name not in self._busy]
        if not free:
            return
        member = self._rng.choice(free)
        self._busy.add(member.name)
        try:
            take_down(member)
            with trio.move_on_after(20):  # what was to end it may not come about
                await member.ended()
            if member.is_up:
                member.kill()
                await member.ended()
            await self._seconds(0.01, most)
            member.boot()
        finally:
            self._busy.discard(member.name)

    async def _power(self) -> None:
        await self._down_and_up(Member.lose_power, 6)

    async def _kill(self) -> None:
        await self._down_and_up(Member.kill, 3)

    async def _stop(self) -> None:
        await self._down_and_up(Member.stop, 3)

    async def _torn_write(self) -> None:
        operations = self._rng.randrange(40)
        await self._down_and_up(lambda member: member.lose_power_after(operations), 3)

    async def _failed_sync(self) -> None:
        await self._down_and_up(Member.fail_sync, 3)

    async def _move_leader(self) -> None:
        nodes = [one.node for one in self._members if one.node is not None]
        leading = [node for node in nodes if node.parts.raft.status.is_leader]
        if not leading:
            return
        voters = sorted(member.id for member in leading[0].parts.membership.voters)
        target = self._rng.choice(voters)
        self._trace.note("world", f"moves the leader to {target:x}")
        try:
            with trio.move_on_after(5):
                await leading[0].parts.raft.transfer_leadership(target)
        except (EtcdError, ActorStopped) as error:
            self._trace.note("world", f"cannot move the leader: {error}")

    # -- The network

    async def _isolate(self) -> None:
        """One member, from all others; maybe in one direction only."""
        names = [one.name for one in self._members]
        alone = self._rng.choice(names)
        others = [name for name in names if name != alone]
        manner = self._rng.choice(("both", "in", "out"))
        self._trace.note("network", f"isolates {alone}: {manner}")
        if manner == "in":
            self._network.cut(others, [alone], one_way=True)
        else:
            self._network.cut([alone], others, one_way=manner == "out")
        await self._seconds(0.3, 8)
        self._heal()

    async def _split(self) -> None:
        """Each way between members is cut or not, by chance."""
        names = [one.name for one in self._members]
        for source in names:
            for target in names:
                if source != target and self._rng.random() < 0.4:
                    self._trace.note("network", f"cuts {source} from {target}")
                    self._network.cut([source], [target], one_way=True)
        await self._seconds(0.3, 8)
        self._heal()

    def _heal(self) -> None:
        self._trace.note("network", "heals")
        self._network.heal()

    async def _slow(self) -> None:
        """One member's ways are long, lossy and narrow."""
        name = self._rng.choice(self._members).name
        bad = Way(
            delay=self._rng.uniform(0.01, 0.4),
            jitter=self._rng.uniform(0, 0.4),
            loss=self._rng.choice((0.0, 0.05, 0.3)),
            bytes_per_second=self._rng.choice((float("inf"), 20_000.0)),
        )
        others = [one.name for one in self._members if one.name != name] or list(self._clients)
        self._trace.note("network", f"slows {name}: {bad}")
        for other in others:
            self._network.change(name, other, bad)
            self._network.change(other, name, bad)
        await self._seconds(0.5, 6)
        self._trace.note("network", f"{name} is quick again")
        for other in others:
            self._network.change(name, other, self._network.usual)
            self._network.change(other, name, self._network.usual)

    async def _cut_clients(self) -> None:
        name = self._rng.choice(self._members).name
        self._trace.note("network", f"cuts clients from {name}")
        one_way = self._rng.random() < 0.5
        self._network.cut(self._clients, [name], one_way=one_way)
        await self._seconds(0.3, 5)
        self._heal()
