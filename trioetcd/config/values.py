"""What a flag's text means, by Go's rules, which etcd's operators have in their fingers.

Source: Go's packages flag and time (ParseDuration).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Parser = Callable[[str], Any]


class BadValue(ValueError):
    """The text is not of the flag's type."""


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
_DURATION = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_INT = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")


def parse_bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadValue("parse error")


def parse_int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise BadValue("parse error")
    if re.fullmatch(r"[+-]?0[0-7]+", text):
        return int(text, 8)
    value = int(text, 0)
    if not -(1 << 63) <= value < 1 << 63:
        raise BadValue("value out of range")
    return value


def parse_uint(text: str) -> int:
    value = parse_int(text)
    if value < 0:
        raise BadValue("parse error")
    return value


def parse_duration(text: str) -> float:
    """Seconds; "0" is the only number that may stand without a unit."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _DURATION.fullmatch(text):
        raise BadValue("parse error")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def parse_list(text: str) -> tuple[str, ...]:
    """Comma separated; empty text is no items."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def parse_urls(text: str) -> tuple[str, ...]:
    """Comma separated, without repetition, sorted."""
    return tuple(sorted(set(parse_list(text))))


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
