"""The client for asyncio programs that run inside Trio, by way of trio-asyncio.

    async def main():  # asyncio
        async with trioetcd.aio.open_client("http://127.0.0.1:2379") as client:
            await client.put("a", "1")
            async with client.lock("work") as lock:  # losing it cancels the block
                ...
            async with client.watch(prefix="a") as batches:
                async for batch in batches: ...

    trio_asyncio.run(trio_asyncio.aio_as_trio(main))

It is `trioetcd.Client` with every method in asyncio's manner: what is awaited can be awaited, what
is a block is a block, what is iterated over can be iterated over.  A block lives in a task of Trio
of its own; when that is cancelled from inside, as by a lease that is lost, the asyncio task is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any

import trio
from trio_asyncio import aio_as_trio, trio_as_aio

from trioetcd.client import client as trio_client
from trioetcd.client.calls import Calls


def open_client(*urls: str, **how: Any) -> Block:
    """`async with`: see `trioetcd.open_client`."""
    return Block(trio_client.open_client(*urls, **how))


class Block:
    """An async context manager of Trio's, entered by an asyncio task."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._left = trio.Event()
        self._outcome: BaseException | None = None  # what the body has raised
        self._failure: BaseException | None = None  # what the manager has
        self._is_cancelled = False  # the body was, from inside
        self._running: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Any:
        """Raises what the manager raises."""
        entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        owner = asyncio.current_task()
        assert owner is not None
        self._running = asyncio.ensure_future(trio_as_aio(self._run)(entered, owner))
        try:
            return in_asyncio(await asyncio.shield(entered))
        except BaseException:
            if not entered.done():
                self._running.cancel()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._running is not None
        self._outcome = error
        self._left.set()
        await self._running
        if self._is_cancelled:
            owner = asyncio.current_task()
            assert owner is not None
            owner.uncancel()
        if self._failure is error:
            return False
        if self._failure is not None:
            raise self._failure
        return error is not None and not isinstance(error, asyncio.CancelledError)

    async def _run(self, entered: asyncio.Future[Any], owner: asyncio.Task[Any]) -> None:
        """In Trio: the block, from its beginning to its end."""
        try:
            async with self._manager as value:
                entered.set_result(value)
                try:
                    await self._left.wait()
                except trio.Cancelled:
                    if not self._left.is_set():
                        self._is_cancelled = owner.cancel()
                        with trio.CancelScope(shield=True):
                            await self._left.wait()
                    raise
                if isinstance(self._outcome, Exception):
                    raise self._outcome
        except Exception as error:
            self._failure = error
            if not entered.done():
                entered.set_exception(error)


class Proxy:
    """A part of the client, or what one of its blocks has given, in asyncio's manner."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return in_asyncio(getattr(self._target, name))

    def __repr__(self) -> str:
        return f"<asyncio's {self._target!r}>"


class Iteration(Proxy):
    """What is iterated over."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        iterator: AsyncIterator[Any] = self._target  # type: ignore[assignment]
        ended = object()

        async def following() -> Any:
            try:
                return await anext(iterator)
            except StopAsyncIteration:  # which no future can carry
                return ended

        found = await trio_as_aio(following)()
        if found is ended:
            raise StopAsyncIteration
        return found


class Both(Iteration, Block):
    """A block whose own self is iterated over: a watch."""

    def __init__(self, target: Any) -> None:
        Iteration.__init__(self, target)
        Block.__init__(self, target)


def in_asyncio(value: Any) -> Any:
    """Something of the client's, for asyncio code; plain values stay as they are."""
    if inspect.iscoroutinefunction(value):
        return partial(_call, value)
    if inspect.ismethod(value) or inspect.isfunction(value):
        return lambda *arguments, **named: in_asyncio(value(*arguments, **named))
    is_block, is_iterated = hasattr(value, "__aenter__"), hasattr(value, "__anext__")
    if is_block and is_iterated:
        return Both(value)
    if is_block:
        return Block(value)
    if is_iterated:
        return Iteration(value)
    if isinstance(value, Calls) or _has_waiting_methods(type(value)):
        return Proxy(value)
    return value


async def _call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    if arguments and inspect.iscoroutinefunction(arguments[0]):  # an STM's, which is asyncio's
        arguments = (_in_trio(arguments[0]), *arguments[1:])
    return in_asyncio(await trio_as_aio(function)(*arguments, **named))


def _in_trio(function: Callable[..., Any]) -> Callable[..., Any]:
    async def called(*arguments: Any) -> Any:
        return await aio_as_trio(function)(*map(in_asyncio, arguments))

    return called


def _has_waiting_methods(kind: type) -> bool:
    return kind.__module__.startswith("trioetcd.client.") and any(
        inspect.iscoroutinefunction(method) for method in vars(kind).values()
    )
