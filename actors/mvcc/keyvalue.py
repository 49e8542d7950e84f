"""KeyValue messages made by hand: one is made for every change, and then only ever copied.

Field numbers: key 1, create_revision 2, mod_revision 3, version 4, value 5, lease 6; fields
come in that order and zero fields are left out, which the KV hash depends on.
"""

from __future__ import annotations

from wire.varint import encode, encode_signed

_join = b"".join


def encode_put(key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> bytes:
    """The stored form of a put."""
    mod_bytes = encode(mod)
    create_bytes = mod_bytes if create == mod else encode(create)
    size, version_bytes = encode(len(key)), encode(version)
    # Twice the same but for the end: a tuple that is put together costs as much as the join.
    if value:
        row = _join(
            (b"\x0a", size, key, b"\x10", create_bytes, b"\x18", mod_bytes, b"\x20", version_bytes,
             b"\x2a", encode(len(value)), value)
        )  # fmt: skip
    else:
        row = _join(
            (b"\x0a", size, key, b"\x10", create_bytes, b"\x18", mod_bytes, b"\x20", version_bytes)
        )
    return row + b"\x30" + encode_signed(lease) if lease else row


def encode_tombstone(key: bytes) -> bytes:
    """The stored form of a deletion: the key alone."""
    return b"\x0a" + encode(len(key)) + key
