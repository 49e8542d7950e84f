"""Who asks: a user, and the state of users and roles in which that was found out."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """`revision` is the auth store's when the token was made (JWT), or now (all others)."""

    username: str
    revision: int


NOBODY = Identity("", 0)
"""Asks without a token or a certificate."""
