"""KeyValue messages made by hand: one is made for every change, and then only ever copied.

Field numbers: key 1, create_revision 2, mod_revision 3, version 4, value 5, lease 6; fields
come in that order and zero fields are left out, which the KV hash depends on.
"""

from __future__ import annotations

from wire.varint import encode, encode_signed


def encode_put(key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> bytes:
    """The stored form of a put."""
    mod_bytes = encode(mod)
    head = (
        encode(len(key)),
        key,
        mod_bytes if create == mod else encode(create),
        mod_bytes,
        encode(version),
    )
    if not value:
        row = b"\x0a%b%b\x10%b\x18%b\x20%b" % head
    else:
        row = b"\x0a%b%b\x10%b\x18%b\x20%b\x2a%b%b" % (*head, encode(len(value)), value)
    return row + b"\x30" + encode_signed(lease) if lease else row


def encode_tombstone(key: bytes) -> bytes:
    """The stored form of a deletion: the key alone."""
    return b"\x0a" + encode(len(key)) + key
