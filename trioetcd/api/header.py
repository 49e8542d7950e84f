"""The header that every response starts with, made without message objects.

ResponseHeader is field 1 of every response, so putting its bytes in front of a body made
elsewhere is a whole response: protobuf messages concatenate.
"""

from __future__ import annotations

from wire.varint import encode


class HeaderWriter:
    """Writes this member's response headers.

    `term` is kept up to date by whoever hears of elections; it changes rarely, so its bytes
    are made once.
    """

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self._ids = _field(1, cluster_id) + _field(2, member_id)
        self._term = b""
        self.term = 0

    @property
    def term(self) -> int:
        return self._term_number

    @term.setter
    def term(self, term: int) -> None:
        self._term_number = term
        self._term = _field(4, term)
        # Revisions take at most 10 bytes and a tag, so the length is always one byte.
        self._fixed = len(self._ids) + len(self._term)

    def write(self, revision: int) -> bytes:
        """Field 1 of a response, for a store at `revision` (0: the field is left out)."""
        if revision <= 0:
            return b"\x0a" + encode(self._fixed) + self._ids + self._term
        middle = b"\x18" + encode(revision)
        return b"\x0a" + encode(self._fixed + len(middle)) + self._ids + middle + self._term


def _field(number: int, value: int) -> bytes:
    return encode(number << 3) + encode(value) if value else b""
