"""watch: events as they come, and a command for each of them if one is given.

Source: etcd etcdctl/ctlv3/command/watch_command.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, Parsed, parse_flags
from trioetcd.client.values import prefix_range
from trioetcd.client.watch import WatchRange, WatchResponses
from trioetcd.ctl.child import ChildFailed, run_child
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.keys import encoded
from trioetcd.ctl.commands.txn import split_words
from trioetcd.ctl.errors import CommandFailed, Exit, Misused, words
from trioetcd.ctl.output import simple
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import lines, watch_rows
from trioetcd.ctl.output.go_json import go_json
from trioetcd.ctl.session import Session
from wire.errors import EtcdError, PermissionDenied
from wire.go_quote import go_quote
from wire.pb import etcdserverpb
from wire.status import Status

NO_ARGUMENTS = "bad number of arguments"


class NotTogether(Misused):
    """What was asked for contradicts itself."""


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
            raise NotTogether("`range_end` and `--prefix` are mutually exclusive")
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
        await Prompt(said.session, key, end).run()
        return
    wish = wish_of(said.parsed, said.parsed.arguments, said.parsed.after_dashes, key, end)
    await follow(said.session, wish)


async def follow(session: Session, wish: Wish, watching: set[WatchResponses] | None = None) -> None:
    """Until the server ends the watch; as long as it goes on, it is one of `watching`."""
    client = await session.client()
    watching = set() if watching is None else watching
    responses = client.watch_responses(wish.wanted)
    try:
        async with responses:
            watching.add(responses)
            async for response in responses:
                show(session, response)
                if wish.command:
                    await run_for_each(wish.command, response, session)
    except EtcdError as error:
        session.console.complain(f"watch was canceled ({_reason(error)})")
        text = "watch is canceled by the server"
        raise CommandFailed(text, Exit.INTERRUPTED) from error
    finally:
        watching.discard(responses)


def _reason(error: EtcdError) -> str:
    """As the server has put it."""
    if isinstance(error, PermissionDenied):  # which our client has taken out of its frame
        return f"rpc error: code = PermissionDenied desc = {error.text}"
    return error.text if error.status is Status.CANCELLED else words(error)


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
    command: Sequence[str], response: etcdserverpb.WatchResponse, session: Session
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
            await run_child(command, told, session.console)
        except ChildFailed as failed:
            shown = " ".join(go_quote(word) for word in command)
            session.console.complain(f"command [{shown}] error ({failed})")
            raise CommandFailed("", Exit.ERROR) from failed


class Prompt:
    """Watches as they are typed, all at once; until the input ends, or a program fails."""

    def __init__(self, session: Session, key: str, end: str) -> None:
        self._session = session
        self._key = key  # the environment's
        self._end = end
        self._watching: set[WatchResponses] = set()

    async def run(self) -> None:
        """Raises CommandFailed."""
        await self._session.client()
        failures: list[CommandFailed] = []
        async with trio.open_nursery() as nursery:
            try:
                while (line := await self._line()) is not None:
                    wish = self._typed(line)
                    if wish is not None:
                        nursery.start_soon(self._follow, wish, failures, nursery.cancel_scope)
            except CommandFailed as failure:
                failures.append(failure)
            nursery.cancel_scope.cancel()
        if failures:
            raise failures[0]
        raise CommandFailed("error reading watch request line: EOF", Exit.INVALID_INPUT)

    async def _line(self) -> str | None:
        """Without its end."""
        stdin = self._session.console.stdin
        line = await trio.to_thread.run_sync(stdin.readline, abandon_on_cancel=True)
        return line.decode(errors="surrogateescape").removesuffix("\n") if line else None

    async def _follow(
        self, wish: Wish, failures: list[CommandFailed], prompt: trio.CancelScope
    ) -> None:
        """A watch that its server ends does not end the others."""
        try:
            await follow(self._session, wish, self._watching)
        except CommandFailed as failure:
            if failure.status != Exit.INTERRUPTED:
                failures.append(failure)
                prompt.cancel()

    def _typed(self, text: str) -> Wish | None:
        """Raises CommandFailed: flags or arguments are wrong, which ends it all."""
        complain = self._session.console.complain
        said = split_words(text)
        if not said:
            complain(f"Invalid command: {text} (watch and progress supported)")
        elif said[0] == "progress":
            for watch in self._watching:
                watch.ask_progress()
        elif said[0] != "watch":
            complain(f"Invalid command {text} (only support watch)")
        elif len(said) < 2 and not self._key:
            complain(f"Invalid command {text} (command type or key is not provided)")
        else:
            return self._wish(text, said[1:])
        return None

    def _wish(self, text: str, said: Sequence[str]) -> Wish | None:
        try:
            parsed = parse_flags(FLAGS, said)
        except (BadFlags, HelpAsked) as error:
            raise Misused(str(error)) from error
        try:
            return wish_of(parsed, parsed.arguments, parsed.after_dashes, self._key, self._end)
        except NotTogether as error:
            self._session.console.complain(f"Invalid command {text} ({error})")
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
