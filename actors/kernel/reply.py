"""One question's answer: given once, waited for by at most one task.

Source: Erlang/OTP gen_server:call, gen_server:reply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import outcome
import trio

from wire.invariant import invariant

T = TypeVar("T")


class ActorStopped(Exception):
    """The actor ended before it answered.  Whether it acted on the call is not known."""


class Reply(Generic[T]):
    """Invariant: answered at most once; whoever waits is woken exactly once."""

    __slots__ = ("_listener", "_open", "_outcome", "_waiter")

    def __init__(self) -> None:
        self._outcome: outcome.Outcome[T] | None = None
        self._waiter: trio.lowlevel.Task | None = None
        self._listener: Callable[[outcome.Outcome[T]], None] | None = None
        self._open: dict[Reply[Any], None] | None = None  # the inbox's unanswered calls, once sent

    @property
    def done(self) -> bool:
        return self._outcome is not None

    def answer(self, value: T) -> None:
        self._settle(outcome.Value(value))

    def refuse(self, error: BaseException) -> None:
        """Raise `error` at the caller."""
        self._settle(outcome.Error(error))

    def capture(
        self,
        function: Callable[..., T],
        *args: object,
        refusals: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        """Answer with what `function` returns, or refuse with a refusal it raises.

        Anything else it raises is the actor's crash and goes on from here.
        """
        try:
            value = function(*args)
        except refusals as refusal:
            self.refuse(refusal)
        else:
            self.answer(value)

    async def wait(self) -> T:
        """The answer, or the refusal raised.  One task waits; a cancelled one may wait again."""
        if self._outcome is None:
            invariant(self._waiter is None, "two tasks wait for one reply")
            self._waiter = trio.lowlevel.current_task()

            def abort(_: object) -> trio.lowlevel.Abort:
                self._waiter = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            await trio.lowlevel.checkpoint()
        return cast("outcome.Outcome[T]", self._outcome).unwrap()

    def tell(self, listener: Callable[[outcome.Outcome[T]], None]) -> None:
        """Instead of waiting: call `listener` with the answer, in the step that gives it.

        For the edge, where a task per answer would cost more than the answer.  The listener
        runs in the actor's step, so it must neither raise nor take long.
        """
        invariant(self._waiter is None and self._outcome is None, "told too late")
        self._listener = listener

    def opened(self, unanswered: dict[Reply[Any], None]) -> None:
        """An inbox took the call in: it is listed in `unanswered` until it is answered."""
        if self._outcome is None:
            self._open = unanswered
            unanswered[self] = None

    def _settle(self, result: outcome.Outcome[T]) -> None:
        invariant(self._outcome is None, "a reply is given twice", first=self._outcome)
        self._outcome = result
        if self._open is not None:
            self._open.pop(self, None)
            self._open = None
        if self._listener is not None:
            self._listener(result)
        elif self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            trio.lowlevel.reschedule(waiter)
