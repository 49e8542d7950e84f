"""Simple tokens: random words that every member remembers from the log, for a while.

A token ends in the index of the log entry that made it, so a member that has not come so far
knows that it cannot know it yet.  How long ago it was used is each member's own affair.
Source: etcd server/auth/simple_token.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from actors.auth.identity import Identity

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX_LETTERS = 16
DEFAULT_TTL = 300.0  # seconds after its last use; etcd's
MOST_TOKENS = 100_000  # of all users; the one not used for the longest time has to go


class SimpleTokens:
    """Invariant: `_tokens` is in the order of last use, and so of expiry."""

    def __init__(
        self, ttl: float, clock: Callable[[], float], rng: random.Random, applied: Callable[[], int]
    ) -> None:
        """`clock` in seconds; `rng` must not be predictable; `applied` is the log index reached."""
        self._ttl = ttl if ttl > 0 else DEFAULT_TTL
        self._clock = clock
        self._rng = rng
        self._applied = applied
        self._tokens: dict[str, tuple[str, float]] = {}  # -> user, deadline

    def __len__(self) -> int:
        return len(self._tokens)

    def new_prefix(self) -> str:
        """What makes the next token one that nobody can guess."""
        return "".join(self._rng.choice(LETTERS) for _ in range(PREFIX_LETTERS))

    def assign(self, username: str, prefix: str, index: int, revision: int) -> str:
        token = f"{prefix}.{index}"
        self._tokens[token] = username, self._clock() + self._ttl
        if len(self._tokens) > MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return token

    def identify(self, token: str, revision: int) -> Identity | None:
        """Whose it is; its time starts over.  None: nobody's."""
        found = self._tokens.pop(token, None)
        if found is None:
            return None
        username, deadline = found
        now = self._clock()
        if deadline <= now:
            return None
        self._tokens[token] = username, now + self._ttl
        return Identity(username, revision)

    def known_at(self, token: str) -> int:
        """The log index that must be applied before it can be told whose it is; 0: now."""
        _, dot, index = token.partition(".")
        if not dot or not index.isascii() or not index.isdecimal() or len(index) > 20:
            return 0
        return int(index) if int(index) > self._applied() else 0

    def forget_user(self, username: str) -> None:
        self._tokens = {t: found for t, found in self._tokens.items() if found[0] != username}

    def forget_all(self) -> None:
        self._tokens.clear()

    def sweep(self) -> None:
        """Forget those whose time is over."""
        now = self._clock()
        while self._tokens:
            token, (_, deadline) = next(iter(self._tokens.items()))
            if deadline > now:
                break
            del self._tokens[token]
