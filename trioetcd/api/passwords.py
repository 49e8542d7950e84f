"""Passwords are hashed and checked beside the event loop, a few at a time.

Source: etcd server/etcdserver/v3_server.go (UserAdd, Authenticate).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from actors.auth.passwords import (
    SALT_BYTES,
    check_length,
    effective_cost,
    hash_password,
    is_right,
)
from actors.kernel import Worker
from wire.errors import TooManyRequests

THREADS = 2  # hashing at once: a member has more to do
MOST_WAITING = 256  # passwords; 13 seconds' worth at the default cost


class Passwords:
    def __init__(self, worker: Worker, rng: random.Random, cost: int) -> None:
        """`worker` limits how many are hashed at once; `rng` must not be predictable."""
        self._worker = worker
        self._rng = rng
        self._cost = effective_cost(cost)
        self._waiting = 0

    async def hash(self, password: str) -> bytes:
        """Raises TooManyRequests; Refused: it is too long."""
        check_length(password)
        with self._turn():
            salt = self._rng.randbytes(SALT_BYTES)
            return await self._worker.run(hash_password, password, self._cost, salt)

    async def check(self, password: str, hashed: bytes) -> bool:
        with self._turn():
            return await self._worker.run(is_right, password, hashed)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
