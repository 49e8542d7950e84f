"""What a peer may make us do for nothing.

Answering a ping, acknowledging settings or opening a stream that is reset at once costs the
peer next to nothing.  Each spends from a budget, which answers and time earn back.
Source: CVE-2019-9512 (pings), 9515 (settings), 9518 (empty frames), CVE-2023-44487 (rapid
reset), CVE-2025-8671 (making the server reset).
"""

from __future__ import annotations

from wire.http2.frames import Code, ConnectionFault


class Budget:
    def __init__(self, whole: int, what: str) -> None:
        self._whole = whole
        self._left = whole
        self._what = what

    def spend(self) -> None:
        """Raises ConnectionFault when nothing is left."""
        self._left -= 1
        if self._left < 0:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"too many {self._what}")

    def earn(self, count: int) -> None:
        if self._left < self._whole:
            self._left = min(self._whole, self._left + count)

    def earn_share(self, share: float) -> None:
        self.earn(int(self._whole * share) + 1)
