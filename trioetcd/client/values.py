"""Keys and values as programs see them; text is UTF-8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from wire.pb import mvccpb

Data: TypeAlias = bytes | str
ALL = b"\0"  # as a range's end: no end


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int  # 1 after the key was made, and 1 more with each put
    lease_id: int  # 0: none

    @property
    def text(self) -> str:
        """The value as UTF-8."""
        return self.value.decode()


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to a range."""

    items: tuple[KeyValue, ...]
    count: int  # of keys in the range, also of those left out by a limit
    more: bool
    revision: int  # of the store, when it was read


def to_bytes(data: Data) -> bytes:
    return data.encode() if isinstance(data, str) else data


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`; `ALL` if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else ALL


def prefix_range(prefix: Data) -> tuple[bytes, bytes]:
    """Key and range end; the empty prefix is every key."""
    start = to_bytes(prefix)
    return start or b"\0", prefix_end(start)


def range_of(key: Data | None, prefix: Data | None, end: Data) -> tuple[bytes, bytes]:
    """Key and range end of what a method was given: a key, from a key up to `end`, or a prefix.

    Raises:
        ValueError: it was given both a key and a prefix, or neither.
    """
    if (key is None) == (prefix is None):
        raise ValueError("give either a key or a prefix")
    if prefix is not None:
        return prefix_range(prefix)
    return to_bytes(key or b""), to_bytes(end)


def key_value(kv: mvccpb.KeyValue) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
