"""Sending without waiting, where the stream allows it.

Waking a task that then calls `send_all` takes two passes of Trio's scheduler, more than all the
work for a unary call.  A TCP socket nearly always takes what it is given, so it is asked first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import trio

SendNow = Callable[[bytes], int]
"""Takes a prefix of the bytes, and says how long it was."""


def sender_of(stream: trio.abc.Stream) -> SendNow | None:
    """How to send on `stream` without waiting; None if there is no way.

    To be used only while no task is in `send_all`.  An error counts as "nothing was taken":
    the `send_all` that follows will meet it again.
    """
    if not isinstance(stream, trio.SocketStream) or sys.platform == "win32":
        return None
    socket = stream.socket

    def send_now(data: bytes) -> int:
        try:
            return os.write(socket.fileno(), data)
        except OSError:
            return 0

    return send_now
