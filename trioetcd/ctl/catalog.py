"""Which module has which command: only the one that is asked for is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module

from trioetcd.ctl.command import Command

HOMES = {
    "put": "keys",
    "get": "keys",
    "del": "keys",
    "compaction": "keys",
    "txn": "txn",
    "watch": "watch",
    "lease": "lease",
    "lock": "lock",
    "elect": "lock",
    "member": "member",
    "endpoint": "endpoint",
    "alarm": "maintenance",
    "check": "check",
    "completion": "completion",
    "defrag": "maintenance",
    "make-mirror": "mirror",
    "move-leader": "maintenance",
    "downgrade": "maintenance",
    "auth": "auth",
    "user": "user",
    "role": "role",
    "snapshot": "snapshot",
    "actors": "actors",
    "diff": "history",
    "doctor": "doctor",
    "export": "transfer",
    "history": "history",
    "import": "transfer",
    "top": "top",
    "options": "version",
    "version": "version",
}


def commands_of(word: str) -> list[Command]:
    """Those that begin with this word; the group first, if it is one."""
    home = HOMES.get(word)
    if home is None:
        return []
    module = import_module(f"trioetcd.ctl.commands.{home}")
    return [command for command in module.COMMANDS if command.path[0] == word]


def all_commands() -> list[Command]:
    """That can be run, by name."""
    found = [command for word in HOMES for command in commands_of(word) if command.run]
    return sorted(found, key=lambda command: command.name)


def full_name(word: str, names: Iterable[str]) -> str:
    """The one name that begins so; the word itself, if there is none or more than one."""
    found = [name for name in names if name.startswith(word)]
    return found[0] if len(found) == 1 and word not in names else word


def find(words: Sequence[str]) -> tuple[Command | None, list[Command]]:
    """The command or group that the words name, and what is in the group.

    A word may be cut short, as long as it is clear which is meant.
    """
    commands = commands_of(full_name(words[0], HOMES)) if words else []
    if not commands:
        return None, []
    within = [command.path[1] for command in commands if len(command.path) > 1]
    for command in commands:
        if len(words) > 1 and command.path[1:] == (full_name(words[1], within),):
            return command, []
    return commands[0], commands[1:]
