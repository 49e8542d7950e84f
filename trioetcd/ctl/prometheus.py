"""Prometheus' text format, read: samples by name, and quantiles of histograms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Samples:
    """Of one scrape."""

    values: dict[str, dict[Labels, float]] = field(default_factory=dict)

    def get(self, name: str, **having: str) -> float | None:
        """The sum of a name's samples with these labels; None if there are none."""
        found = [value for labels, value in self._having(name, having)]
        return sum(found) if found else None

    def number(self, name: str, **having: str) -> float:
        return self.get(name, **having) or 0.0

    def _having(self, name: str, having: dict[str, str]) -> Iterator[tuple[Labels, float]]:
        for labels, value in self.values.get(name, {}).items():
            if having.items() <= dict(labels).items():
                yield labels, value

    def buckets(self, name: str, **having: str) -> dict[float, float]:
        """A histogram's, cumulated; those with other labels added up."""
        found: dict[float, float] = {}
        for labels, value in self._having(f"{name}_bucket", having):
            bound = float(dict(labels)["le"])
            found[bound] = found.get(bound, 0.0) + value
        return found


def parse(text: str) -> Samples:
    """What is no sample is left out."""
    samples = Samples()
    for line in text.splitlines():
        match = None if line.startswith("#") else _LINE.match(line)
        if match is None:
            continue
        name, labels, value = match.groups()
        try:
            number = float(value)
        except ValueError:
            continue
        key = tuple((n, v) for n, v in _LABEL.findall(labels or ""))
        samples.values.setdefault(name, {})[key] = number
    return samples


def quantile(
    share: float, now: dict[float, float], before: dict[float, float] | None = None
) -> float | None:
    """As Prometheus' histogram_quantile, of what came between two scrapes; None: nothing did.

    What lies beyond the last bucket is called the bound of the one before.
    """
    earlier = before or {}
    counts = sorted((bound, count - earlier.get(bound, 0.0)) for bound, count in now.items())
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    rank = share * total
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            if bound == float("inf"):
                return low
            inside = count - below
            return bound if inside <= 0 else low + (bound - low) * (rank - below) / inside
        low, below = bound, count
    return low
