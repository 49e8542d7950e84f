"""The header that every response starts with, made without message objects.

ResponseHeader is field 1 of every response, so putting its bytes in front of a body made
elsewhere is a whole response: protobuf messages concatenate.
"""

from __future__ import annotations

from typing import Protocol

from wire.varint import encode


class HasTerm(Protocol):
    term: int


class HeaderWriter:
    """Writes this member's response headers."""

    def __init__(self, cluster_id: int, member_id: int, status: HasTerm) -> None:
        """`status.term` is the raft term; it changes rarely, so its bytes are kept."""
        self.cluster_id = cluster_id
        self.member_id = member_id
        self._status = status
        self._ids = _field(1, cluster_id) + _field(2, member_id)
        self._take_term()

    def _take_term(self) -> None:
        self._term = self._status.term
        self._term_field = _field(4, self._term)
        fixed = len(self._ids) + len(self._term_field)
        # By the bytes that the revision takes; the whole is below 128, its length one byte.
        self._before = tuple(
            b"\x0a" + encode(fixed + 1 + size) + self._ids + b"\x18" for size in range(11)
        )
        self._without = b"\x0a" + encode(fixed) + self._ids + self._term_field

    def write(self, revision: int) -> bytes:
        """Field 1 of a response, for a store at `revision` (0: the field is left out)."""
        if self._status.term != self._term:
            self._take_term()
        if revision <= 0:
            return self._without
        revision_bytes = encode(revision)
        return self._before[len(revision_bytes)] + revision_bytes + self._term_field


def _field(number: int, value: int) -> bytes:
    return encode(number << 3) + encode(value) if value else b""
