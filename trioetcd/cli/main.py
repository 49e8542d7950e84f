"""`trioetcd COMMAND`: which program is meant."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trioetcd.cli.serve import serve

USAGE = """Usage: trioetcd COMMAND [flags]

Commands:
  serve    start a member; takes etcd's flags (see `trioetcd serve --help`)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "serve":
        return serve(words[1:])
    if words and words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if words:
        sys.stderr.write(f'Error: unknown command "{words[0]}" for "trioetcd"\n')
    sys.stderr.write(USAGE)
    return 1
