"""`trioetcd ctl COMMAND`: from words to an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import trio

from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, Parsed, parse_flags
from trioetcd.ctl.catalog import HOMES, all_commands, find
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.console import Console
from trioetcd.ctl.endpoints import endpoints_of
from trioetcd.ctl.errors import CommandFailed, Exit, words
from trioetcd.ctl.flags import GLOBAL, variable, with_environment
from trioetcd.ctl.help import PROGRAM, command_help, group_help, root_help
from trioetcd.ctl.session import Session, check_style
from wire.errors import EtcdError
from wire.network import Network
from wire.version import ETCD_VERSION

INTERRUPTED = 130  # as of a shell, whose child SIGINT has ended


def ctl(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    try:
        return trio.run(run_ctl, arguments, Console())
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough
        sys.stdout = None
        return Exit.ERROR


async def run_ctl(
    arguments: Sequence[str], console: Console, network: Network | None = None
) -> int:
    """The same inside a Trio program; what is said goes to the console."""
    named = _command_words(arguments)
    if named[:1] == ["help"]:
        arguments = [*_without(arguments, ["help"]), "--help"]
        named = _command_words(arguments)
    command, within = find(named)
    if command is None and named:
        return _unknown(named[0], console)
    if command is None:
        return _root(arguments, console)
    if command.run is None:
        return _group(command, within, arguments, console)
    flags = {**GLOBAL, **command.inherited, **command.flags}
    try:
        parsed = parse_flags(flags, _without(arguments, named[: len(command.path)]))
    except HelpAsked:
        console.print(command_help(command))
        return Exit.OK
    except BadFlags as error:
        console.complain(f"Error: {error}\n{command_help(command)}")
        return Exit.ERROR
    try:
        await _run(command, parsed, console, network)
    except CommandFailed as failure:
        if failure.text:
            console.complain(f"Error: {failure.text}")
        return failure.status
    except EtcdError as refused:
        console.complain(f"Error: {words(refused)}")
        return Exit.ERROR
    return Exit.OK


async def _run(command: Command, parsed: Parsed, console: Console, network: Network | None) -> None:
    endpoints: tuple[str, ...] = ()
    if not command.is_offline:
        parsed = _configured(parsed, console)
        endpoints = await endpoints_of(parsed, console)
    assert command.run is not None
    async with AsyncExitStack() as clients:
        session = Session(parsed, console, endpoints, clients, network)
        await command.run(Invocation(parsed, session))


def _configured(parsed: Parsed, console: Console) -> Parsed:
    """By the environment, too.  Raises CommandFailed."""
    parsed, unknown = with_environment(parsed, console.environ)
    for setting in unknown:
        console.complain(f"unrecognized environment variable {setting}")
    check_style(parsed)
    if parsed.is_on("debug"):
        for name in sorted(GLOBAL):
            console.complain(f"{variable(name)}={_shown(parsed, name)}")
    return parsed


def _shown(parsed: Parsed, name: str) -> str:
    if name in ("password", "auth-jwt-token") or (name == "user" and ":" in parsed.text(name)):
        return "(hidden)"
    value = parsed.values[name]
    return Flag(value, "").shown_default.strip('"')


# Help and mistakes


def _root(arguments: Sequence[str], console: Console) -> int:
    try:
        parse_flags(GLOBAL, arguments)
    except HelpAsked:
        pass
    except BadFlags as error:
        console.complain(f"Error: {error}\n{root_help(all_commands(), ETCD_VERSION)}")
        return Exit.ERROR
    console.print(root_help(all_commands(), ETCD_VERSION))
    return Exit.OK


def _group(
    group: Command, within: Sequence[Command], arguments: Sequence[str], console: Console
) -> int:
    text = group_help(group, within)
    try:
        parse_flags({**GLOBAL, **group.inherited}, arguments)
    except HelpAsked:
        pass
    except BadFlags as error:
        console.complain(f"Error: {error}\n{text}")
        return Exit.ERROR
    console.print(text)
    return Exit.OK


def _unknown(word: str, console: Console) -> int:
    near = [name for name in sorted(HOMES) if name.startswith(word) or _distance(word, name) <= 2]
    meant = "\n\nDid you mean this?\n\t" + "\n\t".join(near) + "\n" if near else ""
    console.complain(
        f'Error: unknown command "{word}" for "{PROGRAM}"{meant}\n'
        f"Run '{PROGRAM} --help' for usage."
    )
    if console.environ.get("ETCDCTL_API") == "2":
        console.complain("ETCDCTL_API=2 says nothing here: etcd's v2 API has gone with etcd 3.6.")
    return Exit.ERROR


def _distance(word: str, name: str) -> int:
    """Letters to change, add or leave out; Levenshtein's."""
    row = list(range(len(name) + 1))
    for number, letter in enumerate(word, 1):
        before, row[0] = row[0], number
        for column, other in enumerate(name, 1):
            cost = before if letter == other else 1 + min(before, row[column], row[column - 1])
            before, row[column] = row[column], cost
    return row[-1]


# Words


def _command_words(arguments: Sequence[str]) -> list[str]:
    """The first two words that are neither flags nor values of flags."""
    found: list[str] = []
    rest = list(arguments)
    while rest and len(found) < 2:
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            found.append(word)
        elif _takes_value(word) and rest:
            rest.pop(0)
    return found


def _takes_value(word: str) -> bool:
    """Whether a flag's value is the next word; of one that belongs to a command, nobody knows
    before the command is known."""
    if "=" in word:
        return False
    if word.startswith("--"):
        flag = GLOBAL.get(word[2:])
        return flag is not None and flag.type != ""
    flag = next((one for one in GLOBAL.values() if one.short == word[1]), None)
    return flag is not None and flag.type != "" and len(word) == 2


def _without(arguments: Sequence[str], path: Sequence[str]) -> list[str]:
    """The words but for those that name the command."""
    left = list(path)
    rest = list(arguments)
    kept: list[str] = []
    while rest:
        word = rest.pop(0)
        if left and word == left[0]:
            left.pop(0)
            continue
        kept.append(word)
        if word.startswith("-") and _takes_value(word) and rest:
            kept.append(rest.pop(0))
        if word == "--":
            break
    return kept + rest
