"""Prometheus' text format, and what it is made of.

Written by hand: `prometheus_client` insists that the names of counters end in `_total`, and
several of etcd's do not.
Source: prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from wire.durations import Durations

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]
_NONE: Labels = {}


class Family:
    """Everything that is known under one name."""

    def __init__(self, name: str, kind: Kind, meaning: str) -> None:
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.lines: list[str] = []

    def add(self, value: float, **labels: str) -> Family:
        self.lines.append(f"{self.name}{_braces(labels)} {_number(value)}")
        return self

    def observe(self, durations: Durations, **labels: str) -> Family:
        return self.buckets(durations.bounds, durations.counts, durations.total_seconds, **labels)

    def buckets(
        self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str
    ) -> Family:
        """A histogram; `counts` has one more than `bounds`, for what is beyond them."""
        reached = list(accumulate(counts))
        for bound, count in zip([*map(_bound, bounds), "+Inf"], reached, strict=True):
            self.lines.append(f"{self.name}_bucket{_braces({**labels, 'le': bound})} {count}")
        shown = _braces(labels)
        self.lines.append(f"{self.name}_sum{shown} {_number(total)}")
        self.lines.append(f"{self.name}_count{shown} {reached[-1]}")
        return self


def counter(name: str, meaning: str, value: float | None = None) -> Family:
    """With one value, or with values that are to be added."""
    return _family(name, "counter", meaning, value)


def gauge(name: str, meaning: str, value: float | None = None) -> Family:
    """See `counter`."""
    return _family(name, "gauge", meaning, value)


def histogram(name: str, meaning: str, durations: Durations | None = None) -> Family:
    """See `counter`."""
    family = Family(name, "histogram", meaning)
    return family if durations is None else family.observe(durations)


def _family(name: str, kind: Kind, meaning: str, value: float | None) -> Family:
    family = Family(name, kind, meaning)
    return family if value is None else family.add(value)


def render(families: Iterable[Family]) -> bytes:
    """In the order of their names; what has no value yet is left out, as in etcd."""
    lines: list[str] = []
    for family in sorted(families, key=lambda one: one.name):
        if family.lines:
            meaning = family.meaning.replace("\\", r"\\").replace("\n", r"\n")
            lines.append(f"# HELP {family.name} {meaning}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += family.lines
    return "".join(f"{line}\n" for line in lines).encode()


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """Whole numbers without a point, as Go writes them."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)


def _bound(value: float) -> str:
    """As Go writes it, because `le` is a label: queries name it letter by letter."""
    if abs(value) < 1e6:
        return _number(value)
    shown = (f"{value:.{digits}e}" for digits in range(17))
    return next(text for text in shown if float(text) == value)
