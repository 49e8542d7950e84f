"""Where the next fdatasync should run: on the event loop, or on a thread.

A thread costs the way there and back, 100 to 200 µs, which is as much as the fdatasync of a
fast disk; and when it is done it must get the interpreter lock from a busy event loop, which
may take its switch interval, 5 ms.  On the event loop a slow disk would hold up everything
else, heartbeats too.

So what counts is how long the disk itself takes.  Timed on the loop, it is that; timed on the
thread, waiting for the lock is included, so that a long time proves nothing and a short one
does.  While the disk is held to be slow, one in PROBE_EVERY runs on the loop to see.  With few
entries in a group few clients wait, and the loop has hardly anything else to do meanwhile: then
the shorter way pays for a slower disk too.
"""

from __future__ import annotations

INLINE_SECONDS = 0.0005  # a heartbeat is two hundred times as long
LONE_SECONDS = 0.005  # a stall that heartbeats survive twenty times over
LONE_ENTRIES = 16  # in a group: up to so many are few
STEP = 1.25  # by which one fdatasync moves what is held to be typical
SLOW_SECONDS = 0.02  # no lock is waited for that long
PROBE_EVERY = 32


class Pace:
    """Told how long each fdatasync took.  A disk is slow until it has shown otherwise.

    `_typical` follows the median, since one hiccup of a disk proves nothing.
    """

    def __init__(self) -> None:
        self._typical = SLOW_SECONDS / 2
        self._latest = 0.0
        self._since_probe = 0

    def is_inline(self, entries: int) -> bool:
        """Whether the disk is held to be fast enough for an fdatasync on the event loop."""
        return self._typical < (LONE_SECONDS if entries <= LONE_ENTRIES else INLINE_SECONDS)

    def next_is_inline(self, entries: int) -> bool:
        """`is_inline`, or it is time to see whether it might be.  Ask once for each."""
        if self.is_inline(entries):
            return True
        self._since_probe += 1
        if self._since_probe < PROBE_EVERY or self._latest > SLOW_SECONDS:
            return False
        self._since_probe = 0
        return True

    def note(self, seconds: float, *, inline: bool) -> None:
        self._latest = seconds
        if not inline and seconds > INLINE_SECONDS:
            return  # who knows what it waited for
        if seconds < self._typical:
            self._typical /= STEP
        elif self._typical < SLOW_SECONDS:
            self._typical *= STEP
