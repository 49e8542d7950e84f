"""`trioetcd COMMAND`: which program is meant."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from trioetcd.cli.announce import version_text
from trioetcd.cli.serve import die_by, serve

USAGE = """Usage: trioetcd COMMAND [flags]

Commands:
  serve      start a member; takes etcd's flags (see `trioetcd serve --help`)
  version    show the version
  help       show this
"""
MISUSED = 1  # exit status, as of cobra's commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:  # before a command has taken signals over
        return die_by(signal.SIGINT)


def _run(words: list[str]) -> int:
    match words:
        case ["serve", *flags]:
            return serve(flags)
        case ["version" | "--version", *_]:
            sys.stdout.write(version_text())
            return 0
        case ["-h" | "--help" | "help", *_]:
            sys.stdout.write(USAGE)
            return 0
        case []:
            sys.stderr.write(USAGE)
        case [unknown, *_]:
            sys.stderr.write(f'Error: unknown command "{unknown}" for "trioetcd"\n{USAGE}')
    return MISUSED
