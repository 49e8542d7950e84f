"""KeyValue messages made by hand: one is made for every change, and then only ever copied.

Field numbers: key 1, create_revision 2, mod_revision 3, version 4, value 5, lease 6; fields
come in that order and zero fields are left out, which the KV hash depends on.
"""

from __future__ import annotations

from wire.varint import encode, encode_signed


def encode_put(key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> bytes:
    """The stored form of a put."""
    mod_bytes = encode(mod)
    create_bytes = mod_bytes if create == mod else encode(create)
    head = b"\x0a%b%b\x10%b\x18%b\x20%b" % (
        encode(len(key)),
        key,
        create_bytes,
        mod_bytes,
        encode(version),
    )
    if value:
        head = b"%b\x2a%b%b" % (head, encode(len(value)), value)
    if lease:
        return head + b"\x30" + encode_signed(lease)
    return head


def encode_tombstone(key: bytes) -> bytes:
    """The stored form of a deletion: the key alone."""
    return b"\x0a" + encode(len(key)) + key
