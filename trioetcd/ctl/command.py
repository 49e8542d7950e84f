"""What a command is: its words, its flags, what it says of itself, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trioetcd.cli.pflag import Flag, Parsed
from trioetcd.ctl.errors import Misused

if TYPE_CHECKING:
    from trioetcd.ctl.session import Session


@dataclass(frozen=True)
class Invocation:
    """A command as it was typed."""

    parsed: Parsed  # its own flags and the global ones
    session: Session

    @property
    def arguments(self) -> list[str]:
        """Those after `--`, too."""
        return self.parsed.all_arguments

    def only_argument(self, misuse: str) -> str:
        """Raises CommandFailed: there are none, or more."""
        if len(self.arguments) != 1:
            raise Misused(misuse)
        return self.arguments[0]

    def no_arguments(self, misuse: str) -> None:
        """Raises CommandFailed: there are some."""
        if self.arguments:
            raise Misused(misuse)


Run = Callable[[Invocation], Awaitable[None]]


@dataclass(frozen=True)
class Command:
    """Leaves have `run`; of groups only the words are used."""

    path: tuple[str, ...]
    short: str
    run: Run | None = None
    usage: str = ""  # arguments, as the usage line shows them
    long: str = ""
    flags: Mapping[str, Flag] = field(default_factory=dict)
    inherited: Mapping[str, Flag] = field(default_factory=dict)  # a group's, for all in it
    is_offline: bool = False  # works on files: no endpoint is looked at

    @property
    def name(self) -> str:
        return " ".join(self.path)
