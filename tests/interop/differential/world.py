"""What is known of the servers' state, so that calls hit what is there about as often as not."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

# Neighbours in byte order, bytes that mean something elsewhere, and keys that are long.
KEYS: tuple[bytes, ...] = (
    *(b"a", b"a\0", b"a\0\0", b"a\x01", b"ab", b"abc", b"b", b"ba", b"c/1", b"c/2", b"c/3", b"d"),
    *(b"\0", b"\0\0", b"\x01", b"\xff", b"\xff\xff", b"\xfe\xff", b"\x80utf", "ключ".encode()),
    *(b"lease/1", b"lease/2", b"lease/3", b"k" * 511, b"k" * 512, b"k" * 600, b"l" * 5000),
    *(b"dir/%d" % number for number in range(12)),
)
LARGEST = (1 << 63) - 1


@dataclass
class World:
    """Invariant: `revision` and `compacted` are those of the reference after the last call."""

    revision: int = 1
    compacted: int = -1
    leases: dict[int, int] = field(default_factory=dict)  # id -> granted TTL
    next_lease: int = 1000

    def key(self, rng: Random) -> bytes:
        return rng.choice(KEYS)

    def range_end(self, rng: Random, key: bytes) -> bytes:
        """Mostly one that makes sense."""
        kind = rng.randrange(10)
        if kind < 3:
            return b"\0"
        if kind < 6:
            return prefix_end(key)
        if kind == 6:
            return key
        if kind == 7:
            return key + b"\0"
        return rng.choice(KEYS)

    def old_revision(self, rng: Random) -> int:
        """One that can be read."""
        return rng.randint(max(1, self.compacted), self.revision)

    def any_revision(self, rng: Random) -> int:
        near = (-1, 0, 1, 2, self.compacted - 1, self.compacted, self.compacted + 1)
        near += (self.revision - 1, self.revision, self.revision + 1, self.revision + 100)
        kind = rng.randrange(20)
        if kind < 8:
            return self.old_revision(rng)
        if kind == 8:
            return rng.choice((LARGEST, -LARGEST - 1, 1 << 32, -(1 << 31)))
        return rng.choice(near)

    def lease(self, rng: Random) -> int:
        """The id of a lease that is there, if one is."""
        return rng.choice(list(self.leases)) if self.leases else 0

    def any_lease(self, rng: Random) -> int:
        if rng.random() < 0.8:
            return self.lease(rng)
        return rng.choice((0, -1, 7, LARGEST, -LARGEST - 1, self.next_lease))


def prefix_end(key: bytes) -> bytes:
    """The end of the range of all keys with a prefix."""
    stem = key.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
