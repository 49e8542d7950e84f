"""lock and elect: hold something until a signal, or while a command runs.

Source: etcd etcdctl/ctlv3/command/{lock,elect}_command.go.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence

import trio

from trioetcd.beside import beside
from trioetcd.cli.pflag import Flag
from trioetcd.client import Client, Hold, LeaseLost
from trioetcd.client.lock import DEFAULT_TTL
from trioetcd.ctl.child import ChildFailed, run_child
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded, range_answer
from trioetcd.ctl.errors import CommandFailed, Misused
from trioetcd.ctl.observer import observe
from trioetcd.ctl.session import Session
from wire.errors import EtcdError
from wire.pb import etcdserverpb

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What a signal means: whoever waits gives up, whoever holds something ends in order.

    A second signal ends at once.  A command that runs is not disturbed: it may be signalled itself.
    """

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_holding = False
        self.is_deaf = False
        self.asked = trio.Event()

    def signalled(self) -> None:
        if self.is_deaf:
            return
        if self.is_holding and not self.asked.is_set():
            self.asked.set()
        else:
            self.scope.cancel()

    async def hold(self) -> None:
        """Until a signal comes."""
        self.is_holding = True
        await self.asked.wait()


async def until_signal(work: Callable[[Interruption], Awaitable[None]]) -> None:
    """Raises CommandFailed: it was given up."""
    interruption = Interruption()
    with trio.open_signal_receiver(*SIGNALS) as signals:

        async def listen() -> None:
            async for _ in signals:
                interruption.signalled()

        async with beside(listen):
            with interruption.scope:
                await work(interruption)
    if interruption.scope.cancelled_caught:
        raise CommandFailed("context canceled")


async def _show_key(session: Session, client: Client, key: bytes) -> None:
    """As `get` shows it."""
    answer = await session.call(
        "/etcdserverpb.KV/Range",
        etcdserverpb.RangeRequest(key=key),
        etcdserverpb.RangeResponse,
    )
    if not answer.kvs:
        raise CommandFailed("lock lost on init")
    session.show(range_answer(answer, as_hex=session.style.hex))


# lock


async def lock(said: Invocation) -> None:
    if not said.arguments:
        raise Misused("lock takes a lock name argument and an optional command to execute")
    name, *command = said.arguments
    client = await said.session.client()

    async def work(interruption: Interruption) -> None:
        try:
            async with client.lock(encoded(name), ttl=said.parsed.number("ttl")) as held:
                if command:
                    interruption.is_deaf = True
                    await _run_with(said.session, held, command)
                else:
                    await _show_key(said.session, client, held.key)
                    await interruption.hold()
        except LeaseLost as lost:
            raise CommandFailed("session expired") from lost

    await until_signal(work)


async def _run_with(session: Session, held: Hold, command: Sequence[str]) -> None:
    """Raises CommandFailed: with the exit status of the command."""
    told = {
        "ETCD_LOCK_KEY": held.key.decode(errors="surrogateescape"),
        "ETCD_LOCK_REV": str(held.token),
    }
    try:
        await run_child(command, told, session.console)
    except ChildFailed as failed:
        raise CommandFailed(str(failed), failed.status) from failed


# elect


async def elect(said: Invocation) -> None:
    arguments = said.arguments
    if not 1 <= len(arguments) <= 2:
        raise Misused("elect takes one election name argument and an optional proposal argument")
    name = encoded(arguments[0])
    client = await said.session.client()
    if said.parsed.is_on("listen"):
        if len(arguments) > 1:
            raise Misused("proposal given but -l is set")
        await until_signal(lambda interruption: _observe(said.session, name, interruption))
    elif len(arguments) == 1:
        raise Misused("no proposal argument but -l not set")
    else:
        proposal = encoded(arguments[1])
        await until_signal(lambda one: _campaign(said.session, client, name, proposal, one))


async def _observe(session: Session, name: bytes, interruption: Interruption) -> None:
    """Until a signal, which is no failure."""

    def show(answer: etcdserverpb.RangeResponse) -> None:
        session.show(range_answer(answer, as_hex=session.style.hex))

    async def until_asked() -> None:
        await interruption.hold()
        watching.cancel()

    with trio.CancelScope() as watching:
        async with beside(until_asked):
            try:
                await observe(session, name, show)
            except EtcdError as error:
                raise CommandFailed("elect: observer lost") from error


async def _campaign(
    session: Session, client: Client, name: bytes, proposal: bytes, interruption: Interruption
) -> None:
    try:
        async with client.leadership(name, proposal, ttl=DEFAULT_TTL) as term:
            await _show_key(session, client, term.key)
            await interruption.hold()
    except LeaseLost as lost:
        raise CommandFailed("elect: session expired") from lost


COMMANDS = [
    Command(
        ("lock",),
        "Acquires a named lock",
        lock,
        "<lockname> [exec-command arg1 arg2 ...]",
        "",
        {"ttl": Flag(10, "timeout for session", kind="int")},
    ),
    Command(
        ("elect",),
        "Observes and participates in leader election",
        elect,
        "<election-name> [proposal]",
        "",
        {"listen": Flag(False, "observation mode", "l")},
    ),
]
