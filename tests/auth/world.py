"""An auth store with rows in memory, and somebody who may do everything."""

from __future__ import annotations

import random
from collections.abc import Callable

from actors.auth.checks import Checks
from actors.auth.simple_tokens import SimpleTokens
from actors.auth.store import AuthStore
from actors.lease.table import LeaseTable
from trioetcd.api.permissions import Permissions


class Rows:
    """A backend of nothing but dictionaries."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[bytes, bytes]] = {}

    def get(self, bucket: str, key: bytes) -> bytes | None:
        return self.buckets.get(bucket, {}).get(key)

    def scan(self, bucket: str) -> list[tuple[bytes, bytes]]:
        return sorted(self.buckets.get(bucket, {}).items())

    def put(self, bucket: str, key: bytes, value: bytes) -> None:
        self.buckets.setdefault(bucket, {})[key] = value

    def delete(self, bucket: str, key: bytes) -> None:
        self.buckets.get(bucket, {}).pop(key, None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def simple_tokens(
    clock: Callable[[], float] | None = None, applied: Callable[[], int] = lambda: 1 << 62
) -> SimpleTokens:
    return SimpleTokens(300.0, clock or Clock(), random.Random(1), applied)


def auth_store(rows: Rows | None = None) -> AuthStore:
    return AuthStore(rows or Rows(), simple_tokens())


def permissions(store: AuthStore | None = None) -> Permissions:
    """Of nobody: authentication is off, unless `store` says otherwise."""

    async def never(index: int) -> None:
        raise AssertionError(f"waits for {index}")

    rows = Rows()
    checks = Checks(store or auth_store(rows), LeaseTable(rows, min_ttl=1))
    return Permissions(checks, simple_tokens(), never, trusts_certificates=False, timeout=7.0)
