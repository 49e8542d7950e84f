"""Passwords are kept as bcrypt hashes, in the form that etcd makes them.

Both functions take long on purpose (50 ms at cost 10) and belong on a thread.
Source: golang.org/x/crypto/bcrypt.
"""

from __future__ import annotations

import base64

import bcrypt

from wire.errors import Refused
from wire.status import Status

MIN_COST, DEFAULT_COST, MAX_COST = 4, 10, 31
MOST_BYTES = 72  # that bcrypt looks at
SALT_BYTES = 16
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPTS = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TO_BCRYPT = bytes.maketrans(_STANDARD, _BCRYPTS)


def effective_cost(cost: int) -> int:
    """The default in place of one that cannot be."""
    return cost if MIN_COST <= cost <= MAX_COST else DEFAULT_COST


def check_length(password: str) -> None:
    """Raises Refused: the end of it would not count."""
    if len(password.encode()) > MOST_BYTES:
        raise Refused(Status.UNKNOWN, "bcrypt: password length exceeds 72 bytes")


def hash_password(password: str, cost: int, salt: bytes) -> bytes:
    """`salt` are SALT_BYTES random bytes."""
    encoded = base64.b64encode(salt).rstrip(b"=").translate(_TO_BCRYPT)
    return bcrypt.hashpw(password.encode(), b"$2a$%02d$%b" % (cost, encoded))


def is_right(password: str, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:MOST_BYTES], hashed)
    except ValueError:  # that is no hash
        return False
