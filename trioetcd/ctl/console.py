"""Where a command reads and writes; a test gives it other places than the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO


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

    def read(self) -> bytes:
        return self.stdin.read()

    def line(self) -> str:
        """Without its end; empty at the end of the input."""
        return self.stdin.readline().decode(errors="surrogateescape").rstrip("\r\n")
