"""Pings: which of the client's are too many, and when the server sends its own.

Pure.  A ping soon after another earns a strike, unless we have sent something in between (then
the client may be measuring the path); more strikes than are forgiven end the connection.
Source: gRPC proposal A8; grpc-go internal/transport/http2_server.go (handlePing, keepalive).
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.http2.frames import Code, ConnectionFault


@dataclass(frozen=True)
class KeepAlive:
    """Times in seconds; etcd's defaults."""

    interval: float = 7200.0  # idle time before the server pings; 0: never
    timeout: float = 20.0  # for the answer
    min_time: float = 5.0  # between a client's pings while it has streams
    without_stream: float = 7200.0  # between a client's pings while it has none
    strikes: int = 2  # pings too many that are forgiven


class Pings:
    def __init__(self, policy: KeepAlive, now: float) -> None:
        self._policy = policy
        self._last_client_ping = float("-inf")
        self._strikes = 0
        self._sent_something = False
        self._heard_at = now
        self._asked_at: float | None = None  # our ping, while it is unanswered

    def sent(self) -> None:
        """We have sent data or headers."""
        self._sent_something = True

    def judge(self, count: int, now: float, *, has_streams: bool) -> None:
        """The client has sent `count` pings.  Raises ConnectionFault when that is too many."""
        pause = self._policy.min_time if has_streams else self._policy.without_stream
        for _ in range(count):
            if self._sent_something:
                self._sent_something = False
                self._strikes = 0
            elif now - self._last_client_ping < pause:
                self._strikes += 1
            self._last_client_ping = now
        if self._strikes > self._policy.strikes:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too_many_pings")

    def heard(self, now: float) -> None:
        """Anything came in: the peer lives."""
        self._heard_at = now
        self._asked_at = None

    def should_ask(self, now: float) -> bool:
        """Whether it is time to ping the peer; counts as having done so."""
        policy = self._policy
        if not policy.interval or self._asked_at is not None:
            return False
        if now - self._heard_at < policy.interval:
            return False
        self._asked_at = now
        return True

    def is_dead(self, now: float) -> bool:
        """Whether the peer has left our ping unanswered for too long."""
        return self._asked_at is not None and now - self._asked_at >= self._policy.timeout
