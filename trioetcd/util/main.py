"""`trioetcd util COMMAND`: from words to an exit status.  Commands, flags and words are etcdutl's,
where it has them.

Source: etcd etcdutl/ctl.go.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.wal.disk import RealDisk
from trioetcd.cli.pflag import BadFlags, Flag, HelpAsked, parse_flags, usage
from trioetcd.cli.shown import FORMATS
from trioetcd.util.catalog import all_commands, commands_of, find
from trioetcd.util.command import BAD_FEATURE, ERROR, Command, Failed, Invocation

GLOBAL = {
    "write-out": Flag(
        "simple", "set the output format (fields, json, protobuf, simple, table)", short="w"
    )
}
_VALUED = {"-w", "--write-out"}


def util(words: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    named = _command_words(words)
    if not named or named[0] == "help":
        sys.stdout.write(_listing("trioetcd util [command]", all_commands()))
        return 0
    command = find(named)
    if command is not None:
        return _run(command, words)
    within = commands_of(named[0])
    if within and len(named) == 1:
        sys.stdout.write(_listing(f"trioetcd util {named[0]} [command]", within))
        return 0
    unknown = named[1] if within else named[0]
    sys.stderr.write(
        f'Error: unknown command "{unknown}" for "trioetcd util"\n'
        "Run 'trioetcd util --help' for usage.\n"
    )
    return ERROR


def _command_words(words: Sequence[str]) -> list[str]:
    """The first two words that are neither flags nor values of global ones."""
    before = ["", *words]
    return [
        word
        for word, last in zip(words, before, strict=False)
        if not word.startswith("-") and last not in _VALUED
    ][:2]


def _listing(how: str, commands: Sequence[Command]) -> str:
    width = max(len(command.name) for command in commands) + 2
    rows = "".join(f"  {command.name:<{width}}{command.short}\n" for command in commands)
    return f"Usage:\n  {how}\n\nAvailable Commands:\n{rows}\nGlobal Flags:\n{usage(GLOBAL)}"


def _run(command: Command, words: Sequence[str]) -> int:
    own = f"Flags:\n{usage(command.flags)}\n" if command.flags else ""
    how = f"{command.name} {command.usage}".rstrip()
    text = f"Usage:\n  trioetcd util {how} [flags]\n\n{own}Global Flags:\n{usage(GLOBAL)}"
    try:
        parsed = parse_flags({**GLOBAL, **command.flags}, words)
        arguments = list(parsed.all_arguments[len(command.path) :])
        if parsed.text("write-out") not in FORMATS:
            raise Failed("unsupported output format", BAD_FEATURE)
        command.run(Invocation(parsed, arguments, RealDisk()))
    except HelpAsked:
        sys.stdout.write(f"{command.short}\n\n{text}")
        return 0
    except BadFlags as error:
        sys.stderr.write(f"Error: {error}\n{text}\n")
        return ERROR
    except Failed as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.status
    return 0
