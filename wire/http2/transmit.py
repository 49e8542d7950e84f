"""Sending without waiting, and reading without trying in vain, where the stream allows it.

Waking a task that then calls `send_all` takes two passes of Trio's scheduler, more than all the
work for a unary call.  A TCP socket nearly always takes what it is given, so it is asked first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

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


Receive = Callable[[int], Awaitable[bytes | bytearray]]
"""`receive_some` of a stream."""


def receiver_of(stream: trio.abc.Stream) -> Receive:
    """How to read from `stream`, with as few system calls and task switches as it allows.

    `receive_some` of a socket tries first and waits when there was nothing, which after
    everything has just been read costs a system call and an exception for nothing; and when
    there was something, it lets other tasks run before it returns.
    """
    if not isinstance(stream, trio.SocketStream) or sys.platform == "win32":
        return stream.receive_some
    socket = stream.socket

    async def receive(limit: int) -> bytes:
        await trio.lowlevel.wait_readable(socket)
        try:
            return os.read(socket.fileno(), limit)
        except BlockingIOError:  # it was not for us
            return bytes(await stream.receive_some(limit))
        except OSError as error:
            raise trio.BrokenResourceError from error

    return receive
