"""Where the next fdatasync should run: on the event loop, or on a thread.

A thread costs the way there and back, 100 to 200 µs, which is as much as the fdatasync of a
fast disk; and when it is done it must get the interpreter lock from a busy event loop, which
may take its switch interval, 5 ms.  On the event loop a slow disk would hold up everything
else, heartbeats too.

So what counts is how long the disk itself takes.  Timed on the loop, it is that; timed on the
thread, waiting for the lock is included, so that a long time proves nothing and a short one
does.  While the disk is held to be slow, one in PROBE_EVERY runs on the loop to see.
"""

from __future__ import annotations

INLINE_SECONDS = 0.0005  # a heartbeat is two hundred times as long
CAP_SECONDS = 0.002  # longer ones count as this: a single slow one proves nothing either
SMOOTHING = 0.1  # weight of the newest in the average
PROBE_EVERY = 32
PROBE_SECONDS = 0.02  # not after one that took longer: no lock is waited for that long


class Pace:
    """Told how long each fdatasync took.  A disk is slow until it has shown otherwise."""

    def __init__(self) -> None:
        self._average = CAP_SECONDS
        self._latest = 0.0
        self._since_probe = 0

    def next_is_inline(self) -> bool:
        """Whether the next runs on the event loop.  Ask once for each."""
        if self._average < INLINE_SECONDS:
            return True
        self._since_probe += 1
        if self._since_probe < PROBE_EVERY or self._latest > PROBE_SECONDS:
            return False
        self._since_probe = 0
        return True

    def note(self, seconds: float, *, inline: bool) -> None:
        self._latest = seconds
        if inline or seconds < INLINE_SECONDS:
            self._average += SMOOTHING * (min(seconds, CAP_SECONDS) - self._average)
