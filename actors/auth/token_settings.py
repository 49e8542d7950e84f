"""Which tokens users get: what is asked for, apart from what makes them.

Programs that sign no tokens need not load what signs them.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.auth.identity import Identity
from wire.errors import AuthFailed

DEFAULT_TTL = 300.0  # seconds; etcd's


class BadTokenOptions(Exception):
    """What --auth-token asks for cannot be; the words are etcd's where it has any."""


@dataclass(frozen=True)
class JWTSettings:
    """`public_key` and `private_key` are contents of files, empty if not given."""

    method: str
    public_key: bytes = b""
    private_key: bytes = b""
    ttl: float = DEFAULT_TTL


class Forgetful:
    """Nothing is remembered of users, so there is nothing to forget."""

    def forget_user(self, username: str) -> None:
        pass

    def forget_all(self) -> None:
        pass

    def sweep(self) -> None:
        pass


class NoTokens(Forgetful):
    """`--auth-token=`: nobody gets one, so only certificates tell who somebody is."""

    def new_prefix(self) -> str:
        return ""

    def assign(self, username: str, prefix: str, index: int, revision: int) -> str:
        raise AuthFailed

    def identify(self, token: str, revision: int) -> Identity | None:
        return None

    def known_at(self, token: str) -> int:
        return 0
