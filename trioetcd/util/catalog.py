"""Which module has which command: only the one that is asked for is imported."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from trioetcd.util.command import Command

HOMES = {
    "snapshot": "snapshot",
    "defrag": "database",
    "hashkv": "database",
    "migrate": "migrate",
    "verify": "verify",
    "wal": "wal",
    "certs": "certs",
    "version": "version",
}


def commands_of(word: str) -> list[Command]:
    """Those that begin with this word."""
    home = HOMES.get(word)
    if home is None:
        return []
    found: list[Command] = import_module(f"trioetcd.util.commands.{home}").COMMANDS
    return [command for command in found if command.path[0] == word]


def all_commands() -> list[Command]:
    return [command for word in HOMES for command in commands_of(word)]


def find(words: Sequence[str]) -> Command | None:
    """The command that the first one or two words name."""
    for command in commands_of(words[0]) if words else ():
        if tuple(words[: len(command.path)]) == command.path:
            return command
    return None
