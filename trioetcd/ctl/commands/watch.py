"""watch: events as they come, and a command for each of them if one is given.

Source: etcd etcdctl/ctlv3/command/watch_command.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, Parsed, parse_flags
from trioetcd.client.values import prefix_range
from trioetcd.client.watch import WatchRange
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.commands.txn import split_words
from trioetcd.ctl.errors import CommandFailed, Exit, Misused, words
from trioetcd.ctl.output import simple
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import lines, watch_rows
from trioetcd.ctl.output.go_json import go_json
from trioetcd.ctl.session import Session
from wire.errors import EtcdError
from wire.go_quote import go_quote
from wire.pb import etcdserverpb

NO_ARGUMENTS = "bad number of arguments"


@dataclass(frozen=True)
class Wish:
    """One watch, and what to run for each event."""

    wanted: WatchRange
    command: Sequence[str]


def wish_of(
    parsed: Parsed, arguments: Sequence[str], command: Sequence[str] | None, key: str, end: str
) -> Wish:
    """`command` is None if there was no `--`; `key` and `end` are the environment's.

    Raises:
        CommandFailed: these are not the arguments of a watch.
    """
    if command is not None and not command:
        raise Misused(f"{NO_ARGUMENTS} (found separator --, but no commands)")
    if key and arguments:
        raise Misused(f"{NO_ARGUMENTS} (found conflicting environment key)")
    if key:
        arguments = [key, end] if end else [key]
    if not 1 <= len(arguments) <= 2:
        raise Misused(NO_ARGUMENTS)
    first, last = encoded(arguments[0]), b""
    if len(arguments) == 2:
        if parsed.is_on("prefix"):
            raise Misused("`range_end` and `--prefix` are mutually exclusive")
        last = encoded(arguments[1])
    elif parsed.is_on("prefix"):
        first, last = prefix_range(first)
    return Wish(
        WatchRange(
            first,
            last,
            parsed.number("rev"),
            previous=parsed.is_on("prev-kv"),
            progress=parsed.is_on("progress-notify"),
        ),
        command or (),
    )


async def watch(said: Invocation) -> None:
    environ = said.session.console.environ
    key = environ.get("ETCDCTL_WATCH_KEY", "")
    end = environ.get("ETCDCTL_WATCH_RANGE_END", "")
    if end and not key:
        raise Misused(f"ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={go_quote(end)}")
    if said.parsed.is_on("interactive"):
        await _interactive(said.session, key, end)
        return
    wish = wish_of(said.parsed, said.parsed.arguments, said.parsed.after_dashes, key, end)
    await follow(said.session, wish)


async def follow(session: Session, wish: Wish) -> None:
    """Until the server ends the watch."""
    client = await session.client()
    try:
        async with client.watch_responses(wish.wanted) as responses:
            async for response in responses:
                show(session, response)
                if wish.command:
                    await run_for_each(wish.command, response, session.console.environ, session)
    except EtcdError as error:
        session.console.complain(f"watch was canceled ({words(error)})")
        text = "watch is canceled by the server"
        raise CommandFailed(text, Exit.INTERRUPTED) from error


def show(session: Session, response: etcdserverpb.WatchResponse) -> None:
    if not response.events:
        session.console.print(f"progress notify: {response.header.revision}\n")
    session.show(
        Answer(
            response,
            simple.watch_lines(response, as_hex=session.style.hex),
            fields=lambda: lines(watch_rows(response)),
            json=lambda: {
                "Header": go_json(response.header),
                "Events": [go_json(event) for event in response.events] or None,
                "CompactRevision": response.compact_revision,
                "Canceled": response.canceled,
                "Created": response.created,
            },
        )
    )


async def run_for_each(
    command: Sequence[str],
    response: etcdserverpb.WatchResponse,
    environ: Mapping[str, str],
    session: Session,
) -> None:
    """Raises CommandFailed: one of them has failed."""
    for event in response.events:
        told = {
            "ETCD_WATCH_REVISION": str(response.header.revision),
            "ETCD_WATCH_EVENT_TYPE": go_quote("DELETE" if event.type else "PUT"),
            "ETCD_WATCH_KEY": go_quote(event.kv.key),
            "ETCD_WATCH_VALUE": go_quote(event.kv.value),
        }
        try:
            done = await trio.run_process(
                list(command), env={**environ, **told}, capture_stdout=True, check=False
            )
        except OSError as error:
            why = f'exec: "{command[0]}": {error.strerror}'
        else:
            session.console.print(done.stdout)
            if not done.returncode:
                continue
            why = f"exit status {done.returncode}"
        shown = " ".join(go_quote(word) for word in command)
        session.console.complain(f"command [{shown}] error ({why})")
        raise CommandFailed("", Exit.ERROR)


async def _interactive(session: Session, key: str, end: str) -> None:
    """Watches as they are typed, all at once; until the input ends."""
    console = session.console
    async with trio.open_nursery() as nursery:
        while True:
            line = await trio.to_thread.run_sync(console.stdin.readline, abandon_on_cancel=True)
            if not line:
                nursery.cancel_scope.cancel()
                break
            text = line.decode(errors="surrogateescape").strip()
            if text == "progress":
                continue  # every watch here is told of progress by its server
            wish = _typed(text, key, end, session)
            if wish is not None:
                nursery.start_soon(follow, session, wish)
    raise CommandFailed("error reading watch request line: EOF", Exit.INVALID_INPUT)


def _typed(text: str, key: str, end: str, session: Session) -> Wish | None:
    said = split_words(text)
    if not said or said[0] != "watch":
        session.console.complain(f"Invalid command {text} (only support watch)")
        return None
    try:
        parsed = parse_flags(FLAGS, said[1:])
        return wish_of(parsed, parsed.arguments, parsed.after_dashes, key, end)
    except (BadFlags, HelpAsked, CommandFailed) as error:
        session.console.complain(f"Invalid command {text} ({error})")
        return None


FLAGS = {
    "interactive": Flag(False, "Interactive mode", "i"),
    "prefix": Flag(False, "Watch on a prefix if prefix is set"),
    "rev": Flag(0, "Revision to start watching", kind="int"),
    "prev-kv": Flag(False, "get the previous key-value pair before the event happens"),
    "progress-notify": Flag(False, "get periodic watch progress notification from server"),
}
COMMANDS = [
    Command(
        ("watch",),
        "Watches events stream on keys or prefixes",
        watch,
        "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
        "",
        FLAGS,
    )
]
