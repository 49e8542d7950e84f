"""Header blocks of requests, made once for all calls that look alike.

A server that caches blocks, as ours does, then understands them at a glance.  So that time left
does not make every block different, it is told in two digits, rounded up: the client ends the
call by itself on the instant.
Source: grpc/doc/PROTOCOL-HTTP2.md ("Requests").
"""

from __future__ import annotations

import math
from functools import lru_cache

from wire.grpc.metadata import encode_timeout
from wire.http2.headers import Headers, encode

CACHED = 256  # blocks and timeouts; a client uses some dozens


class RequestHeaders:
    """Of one channel."""

    def __init__(self, scheme: str, authority: str, user_agent: str) -> None:
        self._before = ((b":method", b"POST"), (b":scheme", scheme.encode()))
        self._after = (
            (b":authority", authority.encode()),
            (b"content-type", b"application/grpc"),
            (b"user-agent", user_agent.encode()),
            (b"te", b"trailers"),
        )
        self._blocks: dict[tuple[str, Headers], bytes] = {}

    def block(self, path: str, metadata: Headers, seconds: float) -> bytes:
        """Of a call that has so many seconds, or `inf`."""
        block = self._blocks.get((path, metadata))
        if block is None:
            if len(self._blocks) >= CACHED:
                self._blocks.clear()
            headers = (*self._before, (b":path", path.encode()), *self._after, *metadata)
            block = self._blocks[path, metadata] = encode(headers)
        return block if seconds == math.inf else block + timeout_field(seconds)


def timeout_field(seconds: float) -> bytes:
    """`grpc-timeout` as a field of a block, with two digits, not less than `seconds`."""
    if seconds <= 0:
        return _field(1, -9)
    exponent = math.floor(math.log10(seconds)) - 1
    return _field(math.ceil(seconds / 10.0**exponent), exponent)


@lru_cache(CACHED)
def _field(digits: int, exponent: int) -> bytes:
    return encode([(b"grpc-timeout", encode_timeout(digits * 10.0**exponent))])
