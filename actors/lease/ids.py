"""Numbers that no member gives out twice, not even across restarts.

Pure: the start time is passed in.  Used for lease ids that clients leave to the server, and
for the ids of proposals.
Source: etcd pkg/idutil/id.go.
"""

from __future__ import annotations

_SUFFIX_BITS = 48  # 40 of milliseconds, 8 of a counter that may run on into them
_SUFFIX_MASK = (1 << _SUFFIX_BITS) - 1
_POSITIVE = (1 << 63) - 1


class IDs:
    """Two low bytes of the member's id, five of the start time in ms, one of a counter.

    Unique as long as one start gives out fewer than 256 a millisecond on average, and the
    clock does not go back past an earlier start.
    """

    def __init__(self, member_id: int, unix_ms: int) -> None:
        self._prefix = (member_id & 0xFFFF) << _SUFFIX_BITS
        self._suffix = unix_ms << 8

    def next(self) -> int:
        """Any uint64 but 0."""
        self._suffix = (self._suffix + 1) & _SUFFIX_MASK
        return self._prefix | self._suffix or self.next()

    def next_lease(self) -> int:
        """A positive int64."""
        return self.next() & _POSITIVE or self.next_lease()
