"""What a flag's text means, by Go's rules, which etcd's operators have in their fingers.

Source: Go's packages flag, strconv and time (ParseDuration); etcd pkg/flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from actors.cluster.urls import BadURL, check_urls

Parser = Callable[[str], Any]


class BadValue(ValueError):
    """The text is not of the flag's type; the message is Go's."""


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)", re.ASCII)
_DURATION = re.compile(rf"[+-]?(?:{_PART.pattern})+", re.ASCII)
_INT = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
_MAX_DURATION = (1 << 63) / 1e9  # seconds; Go counts nanoseconds in an int64


def parse_bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadValue("parse error")


def parse_anything(text: str) -> str:
    """Of a flag that is taken and ignored; on the command line it needs no value."""
    return text


def _integer(text: str) -> int:
    if not _INT.fullmatch(text):
        raise BadValue("parse error")
    try:
        return int(text, 8 if re.fullmatch(r"[+-]?0[0-7_]+", text) else 0)
    except ValueError:  # underscores where there must be none, or 08
        raise BadValue("parse error") from None


def parse_int(text: str) -> int:
    value = _integer(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise BadValue("value out of range")
    return value


def parse_uint(text: str) -> int:
    return _unsigned(text, 64)


def parse_uint32(text: str) -> int:
    """As `parse_uint`, but Go has no flags of this size and etcd's own ones say more."""
    try:
        return _unsigned(text, 32)
    except BadValue as error:
        why = "invalid syntax" if str(error) == "parse error" else error
        raise BadValue(f'strconv.ParseUint: parsing "{text}": {why}') from error


def _unsigned(text: str, bits: int) -> int:
    if text[:1] in ("+", "-"):
        raise BadValue("parse error")
    value = _integer(text)
    if value >> bits:
        raise BadValue("value out of range")
    return value


def parse_duration(text: str) -> float:
    """Seconds; "0" is the only number that may stand without a unit."""
    try:
        return read_duration(text)
    except BadValue:
        raise BadValue("parse error") from None


def read_duration(text: str) -> float:
    """As `parse_duration`, but what is wrong is said at length."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _DURATION.fullmatch(text):
        raise BadValue(f'time: invalid duration "{text}"')
    seconds = 0.0
    for number, unit in _PART.findall(text):
        if not unit:
            raise BadValue(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise BadValue(f'time: unknown unit "{unit}" in duration "{text}"')
        seconds += float(number) * _UNITS[unit]
    if seconds >= _MAX_DURATION:
        raise BadValue(f'time: invalid duration "{text}"')
    return -seconds if text.startswith("-") else seconds


def parse_list(text: str) -> tuple[str, ...]:
    """Comma separated; empty text is no items."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def parse_urls(text: str) -> tuple[str, ...]:
    """Comma separated, without repetition, sorted; empty text is no URLs."""
    return _checked_urls(text) if text else ()


def parse_origins(text: str) -> tuple[str, ...]:
    """URLs, or `*` for every origin; unlike listeners, not none at all."""
    return ("*",) if text == "*" else _checked_urls(text)


def _checked_urls(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(set(check_urls(text.split(",")))))
    except BadURL as error:
        raise BadValue(str(error)) from error


def parse_choice(*allowed: str) -> Parser:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise BadValue("invalid value")
        return text

    return parse


def parse_text(text: str) -> str:
    return text


def show_duration(seconds: float) -> str:
    """As Go prints it: 1m30s, 2h0m0s, 300ms."""
    if seconds == 0:
        return "0s"
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    if rest < 1:
        for unit, size in (("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
            if rest >= size:
                return f"{sign}{_number(rest / size)}{unit}"
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{int(hours)}h" if hours else ""
    text += f"{int(minutes)}m" if hours or minutes else ""
    return f"{sign}{text}{_number(rest)}s"


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def show_value(value: Any) -> str:
    """A flag's value as it would be given."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return show_duration(value)
    return str(value)
