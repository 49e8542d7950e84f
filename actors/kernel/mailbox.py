"""An actor's inbox: three kinds of message, told apart by what happens when it is full.

A **call** waits for room and then for its reply; a **notice** takes the place of an older one
of its kind, so there is never more than one; a **packet** is dropped.  Waiting goes one way,
from the edge towards storage: what comes back is a reply or a notice.

Not built on `trio.MemoryChannel`: a channel cannot coalesce, and `drain`, which takes all that
waits in one go, is what makes a batch.  A message here costs 0.2 µs and waking the actor one
task switch, where a channel's `send` and `receive` are two checkpoints (6 to 15 µs).
Source: Erlang/OTP mailboxes; architecture, "a call waits, a notice coalesces".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from actors.kernel.reply import ActorStopped, Reply
from wire.invariant import invariant

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A message that is answered; subclasses add what is asked."""

    reply: Reply[T] = field(init=False, repr=False, compare=False, default_factory=Reply)


class Notice:
    """A message of which only the sum matters: `persisted up to 812` replaces `… 811`."""

    __slots__ = ()

    def merge(self, older: Self) -> Self:
        """What to deliver instead of `older` and this one; by default, this one."""
        return self


class Inbox:
    """What waits for one actor.

    Only the actor's task receives; any task of the same Trio run sends.  `with inbox:` around
    the actor's loop closes it on the way out and answers every open call with ActorStopped.

    Invariant: at most `calls` calls and `packets` packets wait, and one notice of each type.
    """

    def __init__(self, name: str, *, calls: int, packets: int = 0) -> None:
        self.name = name
        self.call_limit = calls
        self.packet_limit = packets
        self.peak = 0  # the most messages that ever waited
        self.dropped = 0  # packets refused because the inbox was full
        self._waiting: deque[Any] = deque()
        self._calls = 0
        self._packets = 0
        self._notices: dict[type, int] = {}  # type -> how many messages came before it, ever
        self._taken = 0  # messages ever taken out: a notice's place is its number minus this
        self._closed = False
        self._receiver: trio.lowlevel.Task | None = None
        self._room = trio.lowlevel.ParkingLot()
        self._unanswered: dict[Reply[Any], None] = {}  # oldest first

    # -- The senders' side

    async def call(self, message: Call[T]) -> T:
        """Send, and wait for the answer.

        Raises:
            ActorStopped: the actor ended, or had ended, without an answer.
            Exception: what the actor refused the call with.
        """
        await self.send(message)
        return await message.reply.wait()

    async def send(self, message: Call[Any]) -> None:
        """Wait for room only: somebody else hears the reply.  Raises ActorStopped."""
        while self._calls >= self.call_limit and not self._closed:
            await self._room.park()
        if not self.try_send(message):
            raise ActorStopped(self.name)

    def try_send(self, message: Call[Any]) -> bool:
        """`send` for those who cannot wait; False when there is no room, or no actor."""
        if self._closed or self._calls >= self.call_limit:
            return False
        self._calls += 1
        message.reply.opened(self._unanswered)
        self._add(message)
        return True

    def notify(self, notice: Notice, *, wake: bool = True) -> None:
        """Never blocks.  Lost when the actor has ended: what restarts reads the state anew.

        Without `wake` the notice waits until something else wakes the actor: for news that
        nobody acts on by itself.
        """
        if self._closed:
            return
        kind = type(notice)
        place = self._notices.get(kind)
        if place is None:
            self._notices[kind] = self._taken + len(self._waiting)
            self._put(notice)
        else:
            at = place - self._taken
            self._waiting[at] = notice.merge(self._waiting[at])
        if wake:
            self._wake()

    def post(self, packet: object) -> bool:
        """Never blocks; False when the packet was dropped."""
        if self._closed or self._packets >= self.packet_limit:
            self.dropped += 1
            return False
        self._packets += 1
        self._add(packet)
        return True

    def _add(self, message: object) -> None:
        self._put(message)
        self._wake()

    def _put(self, message: object) -> None:
        waiting = self._waiting
        waiting.append(message)
        if len(waiting) > self.peak:
            self.peak = len(waiting)

    @property
    def is_idle(self) -> bool:
        """Whether the actor waits, and nothing has woken it.  Its next step may then be taken by
        whoever brings the occasion, in the same task: nobody can tell the difference."""
        return self._receiver is not None

    def wake(self) -> None:
        """Have the actor look at its state though there is no message."""
        self._wake()

    def _wake(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            trio.lowlevel.reschedule(receiver)

    # -- The actor's side

    @property
    def depth(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Until something is there.  Always a checkpoint, so that senders can gather a batch."""
        if self._waiting:
            await trio.lowlevel.checkpoint()
            return
        invariant(self._receiver is None, "two tasks receive from one inbox", inbox=self.name)
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def receive(self) -> Any:
        """The next message, waited for."""
        await self.wait()
        return self.receive_nowait()

    def receive_nowait(self) -> Any:
        """The next message; raises `trio.WouldBlock` when there is none."""
        if not self._waiting:
            raise trio.WouldBlock
        message = self._waiting.popleft()
        self._taken += 1
        if isinstance(message, Call):
            self._calls -= 1
            self._room.unpark()
        elif isinstance(message, Notice):
            del self._notices[type(message)]
        else:
            self._packets -= 1
        return message

    def drain(self) -> list[Any]:
        """Everything that waits, oldest first; may be nothing.  Not a checkpoint."""
        messages = list(self._waiting)
        self._waiting.clear()
        self._taken += len(messages)
        self._notices.clear()
        self._calls = self._packets = 0
        if self._room:
            self._room.unpark(count=self.call_limit)
        return messages

    @property
    def closed(self) -> bool:
        return self._closed

    # -- The end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer every call that is queued, or taken and unanswered, oldest first; take no more."""
        self._closed = True
        self.drain()
        self._room.unpark_all()
        for reply in list(self._unanswered):
            reply.refuse(ActorStopped(self.name))

    def reopen(self) -> None:
        """A restarted actor takes over: handles stay good, what was open is gone."""
        invariant(self._closed and not self._waiting, "reopened in use", inbox=self.name)
        self._closed = False
