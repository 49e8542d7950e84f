"""How much room the backend has left, and the alarm when there is none.

Looked at before a request is proposed, so that the request which would not fit is refused.
Source: etcd server/etcdserver/quota.go, server/storage/quota.go.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.apply.quota import DEFAULT_BYTES
from wire.errors import NoSpace


class Quota:
    """Counts down from what was left when the backend's size was last looked at."""

    def __init__(self, limit_bytes: int, size: Callable[[], int]) -> None:
        """`limit_bytes` 0: etcd's default; negative: none.  `size` is the backend's, now."""
        self.limit_bytes = DEFAULT_BYTES if limit_bytes == 0 else limit_bytes
        self._size = size
        self.exceeded: Callable[[], None] = lambda: None  # hears of every refusal
        self._left = 0
        self.refresh()

    def refresh(self) -> None:
        """Look at the size again; called after each commit."""
        self._left = (1 << 62) if self.limit_bytes < 0 else self.limit_bytes - self._size()

    def take(self, cost: int) -> None:
        """A request of this cost is about to be proposed.  Raises NoSpace."""
        if cost >= self._left:
            self.refresh()
            if cost >= self._left:
                self.exceeded()
                raise NoSpace
        self._left -= cost
