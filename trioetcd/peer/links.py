"""Links to all other members, as the membership has them.

Inbox     none: what is sent is put into the links' queues, or dropped.
Waits on  nobody.
Restarts  yes: links are made anew, and raft says again what was lost.  Each link is a child of
          the same supervisor, and restarted alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from actors.kernel import Child, Restart
from actors.raft.types import Message, MessageType, NodeID
from trioetcd.peer.link import Link, Surroundings
from trioetcd.peer.traffic import TrafficBook
from wire.grpc.channel import Channel
from wire.http2.headers import Headers

MAX_MET = 64  # callers that the membership does not name
FAREWELL_TIMEOUTS = 3  # election timeouts for which a removed member is still spoken to


class Links:
    """The handle: raft's `Peers`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.traffic = TrafficBook()
        self._links: dict[NodeID, Link] = {}
        self._wanted: dict[NodeID, tuple[str, ...]] = {}
        self._met: dict[NodeID, tuple[str, ...]] = {}
        self._changed = trio.Event()

    def send(self, messages: list[Message]) -> None:
        links = self._links
        for message in messages:
            link = links.get(message.to)
            if link is not None:
                link.send(message)
            elif message.type is MessageType.SNAPSHOT:
                self._around.raft.snapshot_sent(message.to, arrived=False)
            elif message.type is MessageType.APPEND:
                self._around.raft.unreachable(message.to)

    def follow(self, members: Mapping[NodeID, Sequence[str]]) -> None:
        """The peer URLs of all members from now on; our own do not matter."""
        own = self._around.own
        self._wanted = {peer: tuple(urls) for peer, urls in members.items() if peer != own and urls}
        if own in members:
            self._met.clear()  # who we are told about counts, not who calls
        self._changed.set()

    def meet(self, peer: NodeID, urls: Sequence[str]) -> None:
        """A member that the log here does not name yet has called: it wants to be answered."""
        if peer not in self._wanted and peer not in self._met and urls and len(self._met) < MAX_MET:
            self._met[peer] = tuple(urls)
            self._changed.set()

    def active_since(self, peer: NodeID) -> float | None:
        """Since when, in Trio's time, a member has been reached without a break."""
        link = self._links.get(peer)
        return None if link is None else link.active_since

    @property
    def peers(self) -> list[NodeID]:
        """Whoever there is a link to now."""
        return list(self._links)

    def channel(self, peer: NodeID) -> Channel | None:
        """A way to ask a member something; None while it is not reached."""
        link = self._links.get(peer)
        return None if link is None else link.channel

    async def until_active(self) -> None:
        """Until all members that are followed now have been reached."""
        for link in list(self._links.values()):
            await link.until_active()

    def introduction(self, peer: NodeID) -> Headers:
        """What a question to a member is to carry."""
        return self._around.introduction(peer)

    def take_up(self, begin: Callable[[Child], None]) -> None:
        """Begin and end links as wanted."""
        self._changed = trio.Event()
        wanted = {**self._met, **self._wanted}
        for peer, link in list(self._links.items()):
            if peer not in wanted:
                link.retire(FAREWELL_TIMEOUTS * self._around.election_timeout)
            elif link.is_retiring or link.urls != wanted[peer]:
                link.scope.cancel()
                del self._links[peer]
        for peer, urls in wanted.items():
            if peer not in self._links:
                link = self._links[peer] = Link(peer, urls, self._around, self.traffic.of(peer))
                run = partial(self._run, link)
                begin(Child(f"link-{peer:x}", run, Restart.TRANSIENT))

    async def _run(
        self, link: Link, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Until it is wanted no more."""
        task_status.started()
        await link.run()
        if self._links.get(link.peer) is link:
            del self._links[link.peer]

    async def run(
        self, begin: Callable[[Child], None], *, task_status: trio.TaskStatus[Links]
    ) -> None:
        """`begin` has the supervisor take on a link."""
        try:
            self.take_up(begin)
            task_status.started(self)
            while True:
                await self._changed.wait()
                self.take_up(begin)
        finally:
            for link in self._links.values():
                link.scope.cancel()
            self._links.clear()


async def run_links(
    links: Links,
    begin: Callable[[Child], None],
    *,
    task_status: trio.TaskStatus[Links] = trio.TASK_STATUS_IGNORED,
) -> None:
    await links.run(begin, task_status=task_status)
