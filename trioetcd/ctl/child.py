"""Another program, run by a command; what is said when it fails is what Go says.

Source: Go's os/exec (LookPath, ExitError), syscall.Signal; etcdctl/ctlv3/command/lock_command.go.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

import trio

from trioetcd.ctl.console import Console

KILLED = 255  # exit status of a command whose program a signal has ended


class ChildFailed(Exception):
    """It did not start, or did not end well: why, and the exit status it ends with."""

    def __init__(self, why: str, status: int = 1) -> None:
        super().__init__(why)
        self.status = status


async def run_child(command: Sequence[str], told: Mapping[str, str], console: Console) -> None:
    """With `told` in its environment, and nothing to read.  It writes where we write; if we are
    cancelled, it is ended.

    Raises:
        ChildFailed
    """
    captured = not console.is_process
    try:
        done = await trio.run_process(
            list(command),
            env={**console.environ, **told},
            capture_stdout=captured,
            capture_stderr=captured,
            check=False,
        )
    except OSError as error:
        raise ChildFailed(_not_started(command[0], error)) from error
    if captured:
        console.print(done.stdout)
        console.stderr.write(done.stderr)
    if done.returncode:
        raise ChildFailed(*_ended(done.returncode))


def _not_started(program: str, error: OSError) -> str:
    if "/" in program:
        return f"fork/exec {program}: {(error.strerror or '').lower()}"
    return f'exec: "{program}": executable file not found in $PATH'


def _ended(status: int) -> tuple[str, int]:
    if status > 0:
        return f"exit status {status}", status
    return f"signal: {(signal.strsignal(-status) or str(-status)).lower()}", KILLED
