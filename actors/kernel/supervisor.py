"""Supervisors: start in order, stop in reverse, restart what can be rebuilt.

A supervisor runs its children in a nursery of its own.  Each child lives under a cancel scope
that is shielded from outside once the child has started, so that however the supervisor is
told to stop, its children go one by one, last first, each with its grace.  A child that fails
more often than `burst` times in `period` seconds, or that may not be restarted, ends the
supervisor: the others are stopped and an exception group says who failed and why.
Source: Erlang/OTP supervisor (strategies, restart types, intensity and period).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import trio

from actors.kernel.mailbox import Inbox
from actors.kernel.tree import Node, State


class Strategy(Enum):
    """Who is restarted with a child that ended."""

    ONE_FOR_ONE = "one_for_one"  # it alone
    ONE_FOR_ALL = "one_for_all"  # all of them
    REST_FOR_ONE = "rest_for_one"  # it and those started after it


class Restart(Enum):
    """When a child that ended is restarted."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # when it failed, not when it returned
    TEMPORARY = "temporary"  # never; its end is nobody's failure


class Run(Protocol):
    """An actor's main function; it calls `task_status.started()` when others may use it."""

    def __call__(self, *, task_status: trio.TaskStatus[Any]) -> Awaitable[object]: ...


@dataclass(eq=False)
class Child:
    """How to run one child.

    `stop`, if given, asks it to finish by itself; what has not finished within `grace` seconds
    is cancelled.  A restart opens `inbox` anew, so handles to the child stay good; calls made
    while it is down raise ActorStopped.
    """

    name: str
    run: Run
    restart: Restart = Restart.PERMANENT
    inbox: Inbox | None = None
    stop: Callable[[], None] | None = None
    grace: float = 5.0
    node_of: Node | None = None  # its place in the live tree, if it has made one: a supervisor
    node: Node = field(init=False)
    scope: trio.CancelScope = field(init=False)
    ended: trio.Event = field(init=False)


class ChildEnded(Exception):
    """A child that should run for ever returned."""


class Supervisor:
    """Runs `children` until it is cancelled, all of them have ended for good, or one fails."""

    def __init__(
        self,
        node: Node,
        children: Sequence[Child],
        *,
        strategy: Strategy,
        burst: int,
        period: float,
        on_failure: Callable[[str, BaseException], None] = lambda name, error: None,
    ) -> None:
        """At most `burst` restarts in `period` seconds; `on_failure` hears of every failure."""
        self._node = node
        self._children = list(children)
        self._strategy = strategy
        self._burst = burst
        self._period = period
        self._on_failure = on_failure
        self._restarts: deque[float] = deque()
        self._endings: deque[tuple[Child, Exception | None]] = deque()
        self._stirred = trio.Event()
        self._failure: Exception | None = None
        self._nursery: trio.Nursery | None = None  # while it runs
        self._passing: set[Child] = set()  # those that `begin` was given
        for child in self._children:
            self._show(child)

    def _show(self, child: Child) -> None:
        """Give a child its place in the live tree."""
        if child.node_of is None:
            child.node = self._node.child(child.name, child.inbox)
        else:
            child.node = child.node_of
            self._node.children.append(child.node)

    def begin(self, child: Child) -> None:
        """Take on one more child while running; never waits.

        It is supervised like the others, and gone from the tree once it has ended for good.
        """
        nursery = self._nursery
        assert nursery is not None, "only a supervisor that runs takes on children"
        self._children.append(child)
        self._passing.add(child)
        self._show(child)
        nursery.start_soon(self._start, [child])

    def _let_go(self, child: Child) -> None:
        if child in self._passing:
            self._passing.remove(child)
            self._children.remove(child)
            self._node.children.remove(child.node)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Raises an ExceptionGroup named after the child that could not be restarted."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                self._node.state = State.STARTING
                if await self._start(self._children):
                    self._node.state = State.RUNNING
                    task_status.started()
                    await self._watch()
            finally:
                with trio.CancelScope(shield=True):
                    self._node.state = State.STOPPING
                    await self._stop(self._children)
                    self._node.state = State.STOPPED
                    nursery.cancel_scope.cancel()  # those that were just beginning
        if self._failure is not None:
            self._node.state = State.FAILED
            raise self._failure

    async def _watch(self) -> None:
        while self._failure is None and any(c.node.state is State.RUNNING for c in self._children):
            await self._stirred.wait()
            self._stirred = trio.Event()
            while self._endings and self._failure is None:
                child, error = self._endings.popleft()
                await self._handle_end(child, error)

    async def _handle_end(self, child: Child, error: Exception | None) -> None:
        if error is not None:
            self._on_failure(child.name, error)
        if child.restart is Restart.TEMPORARY or (
            child.restart is Restart.TRANSIENT and error is None
        ):
            self._let_go(child)
            return
        if error is None:
            error = ChildEnded(f"{child.name} returned")
        if not self._may_restart():
            self._fail(child, error)
            return
        others = self._restarted_with(child)
        await self._stop(others)
        self._endings = deque(end for end in self._endings if end[0] not in others)
        for one in others:
            one.node.restarts += 1
        await self._start(others)

    def _restarted_with(self, child: Child) -> list[Child]:
        if self._strategy is Strategy.ONE_FOR_ONE:
            return [child]
        first = 0 if self._strategy is Strategy.ONE_FOR_ALL else self._children.index(child)
        return [c for c in self._children[first:] if c.restart is not Restart.TEMPORARY]

    def _may_restart(self) -> bool:
        now = trio.current_time()
        while self._restarts and self._restarts[0] <= now - self._period:
            self._restarts.popleft()
        if len(self._restarts) >= self._burst:
            return False
        self._restarts.append(now)
        return True

    def _fail(self, child: Child, error: Exception) -> None:
        self._failure = ExceptionGroup(f"{self._node.name}: {child.name} failed", [error])
        self._stirred.set()

    async def _start(self, children: Sequence[Child]) -> bool:
        """Start in order; False when one could not start, which ends the supervisor."""
        nursery = self._nursery
        assert nursery is not None
        for child in tuple(children):  # more may begin meanwhile
            if child.inbox is not None and child.inbox.closed:
                child.inbox.reopen()
            child.scope = trio.CancelScope()
            child.ended = trio.Event()
            child.node.state = State.STARTING
            try:
                await nursery.start(self._run_child, child)
            except Exception as error:
                self._note_end(child, error)
                self._on_failure(child.name, error)
                self._fail(child, error)
                return False
            except BaseException:  # cancelled: the nursery has seen the child end already
                self._note_end(child, None)
                raise
            child.node.started_at = trio.current_time()
            if child.node.state is State.STARTING:
                child.node.state = State.RUNNING
        return True

    async def _run_child(self, child: Child, *, task_status: trio.TaskStatus[Any]) -> None:
        status = _ShieldWhenStarted(child.scope, task_status)
        try:
            with child.scope:
                await child.run(task_status=status)
        except Exception as error:
            if not status.is_started:
                raise
            self._note_end(child, error)
            self._endings.append((child, error))
        else:
            if not status.is_started:
                task_status.started()
            cancelled = child.scope.cancelled_caught or child.node.state is State.STOPPING
            self._note_end(child, None)
            if not cancelled:
                self._endings.append((child, None))
        self._stirred.set()

    def _note_end(self, child: Child, error: Exception | None) -> None:
        child.node.state = State.STOPPED if error is None else State.FAILED
        if error is not None:
            child.node.last_error = describe(error)
        child.ended.set()

    async def _stop(self, children: Sequence[Child]) -> None:
        for child in reversed(children):
            if child.node.state not in (State.RUNNING, State.STARTING):
                continue
            child.node.state = State.STOPPING
            if child.stop is not None:
                child.stop()
                with trio.move_on_after(child.grace):
                    await child.ended.wait()
            child.scope.cancel()
            await child.ended.wait()


class _ShieldWhenStarted:
    """Hands `started` on, and from then on keeps the outside's cancellation off the child.

    But not if that came before: then Trio leaves the child to whoever starts it, who waits for it
    to end.
    """

    def __init__(self, scope: trio.CancelScope, inner: trio.TaskStatus[Any]) -> None:
        self._scope = scope
        self._inner = inner
        self.is_started = False

    def started(self, value: Any = None) -> None:
        self.is_started = True
        self._scope.shield = trio.current_effective_deadline() > -math.inf
        self._inner.started(value)


def describe(error: BaseException) -> str:
    """One line: the leaf errors of a group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
