"""Unary requests that do not come in one frame, or are not right.

Source: grpc/doc/PROTOCOL-HTTP2.md ("Requests"); what is answered to requests that are cut short
or say too much, as seen from etcd 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from wire.errors import Refused
from wire.grpc.framing import PREFIX, PREFIX_BYTES, decompress, too_large
from wire.http2.heads import CallHead
from wire.status import Status


class Intake:
    """The bytes a connection keeps of requests that nobody has taken yet."""

    __slots__ = ("_most", "held")

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @property
    def is_full(self) -> bool:
        return self.held > self._most


NO_ROOM = Refused(
    Status.RESOURCE_EXHAUSTED, "grpc: too many bytes of incomplete requests on one connection"
)


class Upload:
    """A lane stream whose request is not complete."""

    __slots__ = ("_intake", "body", "head", "received", "window")

    def __init__(self, head: CallHead, window: int, intake: Intake) -> None:
        self.head = head
        self.body = bytearray()  # no more than the first message
        self.received = 0  # bytes of DATA without padding
        self.window = window  # what the peer may still send
        self._intake = intake

    def add(self, data: bytes, limit: int) -> None:
        """DATA came in.

        Raises:
            Refused: the message is larger than `limit`, or there is no room for it.
        """
        self.body += data
        self.received += len(data)
        self._intake.held += len(data)
        if len(self.body) >= PREFIX_BYTES:
            _, size = PREFIX.unpack_from(self.body)
            if size > limit:
                raise too_large(size, limit)
            # Whatever comes after the first message of a unary call is ignored.
            excess = len(self.body) - PREFIX_BYTES - size
            if excess > 0:
                del self.body[-excess:]
                self._intake.held -= excess
        if self._intake.is_full:
            raise NO_ROOM

    def message(self, limit: int) -> bytes:
        """The request's one message, when all of it is here."""
        body = self.body
        if len(body) < PREFIX_BYTES:
            raise Refused(Status.UNKNOWN, "unexpected EOF" if body else "EOF")
        flag, size = PREFIX.unpack_from(body)
        if len(body) - PREFIX_BYTES < size:
            raise Refused(Status.UNKNOWN, "unexpected EOF")
        message = bytes(body[PREFIX_BYTES:])
        return decompress(flag, message, self.head.context.encoding, limit)

    def release(self) -> None:
        """The bytes are no longer kept."""
        self._intake.held -= len(self.body)
