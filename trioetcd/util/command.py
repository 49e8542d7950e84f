"""What a command of `trioetcd util` is, and how it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from actors.wal.disk import Disk
from trioetcd.cli.pflag import Flag, Parsed

ERROR, BAD_FEATURE, BAD_ARGUMENTS = 1, 4, 128  # exit statuses; cobrautl's


class Failed(Exception):
    """The command cannot do what it was told: what to say, and the exit status."""

    def __init__(self, message: str, status: int = ERROR) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Invocation:
    """A command as it was typed."""

    parsed: Parsed  # its own flags and the global ones
    arguments: list[str]
    disk: Disk

    def only_argument(self, misuse: str) -> str:
        """Raises Failed: there are none, or more."""
        if len(self.arguments) != 1:
            raise Failed(misuse, BAD_ARGUMENTS)
        return self.arguments[0]

    def no_arguments(self, misuse: str) -> None:
        """Raises Failed: there are some."""
        if self.arguments:
            raise Failed(misuse, BAD_ARGUMENTS)

    def needed(self, name: str) -> str:
        """A flag that must be given.  Raises Failed."""
        value = self.parsed.text(name)
        if not value:
            raise Failed(f'required flag(s) "{name}" not set')
        return value

    @property
    def style(self) -> str:
        return self.parsed.text("write-out")

    def print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@dataclass(frozen=True)
class Command:
    path: tuple[str, ...]
    short: str
    run: Callable[[Invocation], None]
    usage: str = ""  # arguments, as the usage line shows them
    flags: Mapping[str, Flag] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return " ".join(self.path)
