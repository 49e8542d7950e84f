"""Numbers as arguments, and what Go's parser says of those that are none.

Source: Go's strconv (ParseInt, ParseUint, NumError).
"""

from __future__ import annotations

import re

_SIGNED = {10: re.compile(r"[+-]?[0-9]+"), 16: re.compile(r"[+-]?[0-9a-fA-F]+")}


class BadNumber(ValueError):
    pass


def parse_signed(text: str, base: int = 10) -> int:
    """64 bits with a sign.  Raises BadNumber."""
    return _parse(text, base, "ParseInt", -(1 << 63), (1 << 63) - 1)


def parse_hex(text: str) -> int:
    """An id as etcd shows it, without 0x.  Raises BadNumber."""
    return parse_signed(text, 16)


def parse_unsigned_hex(text: str) -> int:
    """Raises BadNumber."""
    if text.startswith(("+", "-")):
        raise BadNumber(_words("ParseUint", text, "invalid syntax"))
    return _parse(text, 16, "ParseUint", 0, (1 << 64) - 1)


def _parse(text: str, base: int, parser: str, least: int, most: int) -> int:
    if not _SIGNED[base].fullmatch(text):
        raise BadNumber(_words(parser, text, "invalid syntax"))
    number = int(text, base)
    if not least <= number <= most:
        raise BadNumber(_words(parser, text, "value out of range"))
    return number


def _words(parser: str, text: str, why: str) -> str:
    return f'strconv.{parser}: parsing "{text}": {why}'
