"""`trioetcd COMMAND`: which program is meant.

A command is imported when it is known which: the others need not be waited for.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

USAGE = """Usage: trioetcd COMMAND [flags]

Commands:
  serve      start a member; takes etcd's flags (see `trioetcd serve --help`)
  ctl        ask a cluster, or change it: etcdctl's commands and flags
  util       work on files: snapshots, data directories, logs, certificates
  version    show the version
  help       show this
"""
MISUSED = 1  # exit status, as of cobra's commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; without arguments, as the program itself."""
    if arguments is None:
        # Until a command takes signals over, an interrupt ends the process without a traceback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        arguments = sys.argv[1:]
    match list(arguments):
        case ["serve", *flags]:
            from trioetcd.cli.serve import serve

            return serve(flags)
        case ["ctl", *words]:
            from trioetcd.ctl.main import ctl

            return ctl(words)
        case ["util", *words]:
            from trioetcd.util.main import util

            return util(words)
        case ["version" | "--version", *_]:
            from trioetcd.cli.announce import version_text

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
