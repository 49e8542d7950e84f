"""Where a command reads and writes; a test gives it other places than the terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import BinaryIO

from trioetcd.ctl.errors import CommandFailed

GIVEN_UP = 255  # exit status, when a password is asked for and a signal comes
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@contextmanager
def unseen(terminal: BinaryIO) -> Iterator[None]:
    """The terminal shows nothing that is typed.

    Source: github.com/bgentry/speakeasy (speakeasy_unix.go), which etcdctl asks by.
    """
    import termios  # which not every system has

    def give_up(number: int, frame: object) -> None:
        raise CommandFailed("", GIVEN_UP)

    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    handlers = {number: signal.signal(number, give_up) for number in _SIGNALS}
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@dataclass
class Console:
    stdin: BinaryIO = field(default_factory=lambda: sys.stdin.buffer)
    stdout: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    stderr: BinaryIO = field(default_factory=lambda: sys.stderr.buffer)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def print(self, text: str | bytes) -> None:
        """To standard output, at once: somebody may read along."""
        self.stdout.write(text.encode(errors="surrogateescape") if isinstance(text, str) else text)
        self.stdout.flush()

    def complain(self, text: str) -> None:
        self.stderr.write(text.encode(errors="surrogateescape") + b"\n")
        self.stderr.flush()

    @property
    def is_process(self) -> bool:
        """Whether it is the process's own, which children share."""
        return self.stdout is getattr(sys.stdout, "buffer", None)

    @property
    def is_terminal(self) -> bool:
        return self.stdout.isatty()

    def ask(self, prompt: str) -> str:
        """A password: not shown while it is typed, if a person types it; without white space.

        Raises:
            CommandFailed: a signal has come instead.
        """
        self.print(prompt)
        with unseen(self.stdin) if self.stdin.isatty() else nullcontext():
            line = self.line()
        self.print("\n")
        return line.strip()

    def read(self) -> bytes:
        return self.stdin.read()

    def line(self) -> str:
        """Without its end; empty at the end of the input."""
        return self.stdin.readline().decode(errors="surrogateescape").rstrip("\r\n")
