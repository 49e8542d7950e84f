"""lock and elect: hold something until a signal, or while a command runs.

Source: etcd etcdctl/ctlv3/command/{lock,elect}_command.go.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence

import trio

from trioetcd.cli.pflag import Flag
from trioetcd.client import Client, Hold, LeaseLost
from trioetcd.client.lock import DEFAULT_TTL
from trioetcd.client.values import KeyValue
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded, range_answer
from trioetcd.ctl.errors import CommandFailed, Misused
from trioetcd.ctl.session import Session
from wire.pb import etcdserverpb

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What a signal means: whoever waits gives up, whoever holds something ends in order.  A
    second signal ends at once."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_holding = False
        self.asked = trio.Event()

    def signalled(self) -> None:
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
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for _ in signals:
                    interruption.signalled()

            nursery.start_soon(listen)
            failure: Exception | None = None
            with interruption.scope:
                try:
                    await work(interruption)
                except Exception as error:
                    failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
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
        done = await trio.run_process(
            list(command), env={**session.console.environ, **told}, stdin=None, check=False
        )
    except OSError as error:
        raise CommandFailed(f'exec: "{command[0]}": {error.strerror}') from error
    if done.returncode:
        status = done.returncode if done.returncode > 0 else 1
        raise CommandFailed(f"exit status {done.returncode}", status)


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
        await until_signal(lambda _: _observe(said.session, client, name))
    elif len(arguments) == 1:
        raise Misused("no proposal argument but -l not set")
    else:
        proposal = encoded(arguments[1])
        await until_signal(lambda one: _campaign(said.session, client, name, proposal, one))


async def _observe(session: Session, client: Client, name: bytes) -> None:
    async for leader in client.observe(name):
        _show_leader(session, leader)


def _show_leader(session: Session, leader: KeyValue) -> None:
    message = etcdserverpb.RangeResponse(count=1)
    kv = message.kvs.add()
    kv.key, kv.value, kv.version = leader.key, leader.value, leader.version
    kv.create_revision, kv.mod_revision = leader.create_revision, leader.mod_revision
    kv.lease = leader.lease_id
    message.header.revision = leader.mod_revision
    session.show(range_answer(message, as_hex=session.style.hex))


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
