"""Which release's features a cluster may use: those of its oldest member.

A version is (major, minor, patch); what members agree on always has patch 0.
Source: etcd server/etcdserver/version/monitor.go, downgrade.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Version = tuple[int, int, int]

LOWEST = "3.0.0"  # agreed on while the members do not know each other's versions
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")


def parse_version(text: str) -> Version:
    """Raises ValueError.  What stands behind the digits (`3.6.0-rc.1`) does not count."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"not a version: {text!r}")
    return int(found[1]), int(found[2]), int(found[3])


def agreed(text: str) -> str:
    """The cluster version that goes with a member's version: 3.6.4 → 3.6.0."""
    major, minor, _ = parse_version(text)
    return f"{major}.{minor}.0"


def downgrade_version(text: str) -> str:
    """The cluster version that is meant by `3.5`, `3.5.0` or `3.5.4`.  Raises ValueError."""
    try:
        return agreed(text)
    except ValueError:
        return agreed(f"{text}.0")


def may_become(current: str, target: str) -> bool:
    """Whether a cluster may be downgraded so: by one minor version."""
    (major, minor, _), to = parse_version(current), parse_version(target)
    return to == (major, minor - 1, 0)


def decide_cluster_version(current: str, servers: Iterable[str | None]) -> str | None:
    """What the leader should propose, or None to leave it as it is.

    `current` is empty before the first decision.  `servers` are all members' versions, the
    leader's own among them; None or nonsense for a member that could not be asked.
    """
    lowest = _lowest(servers)
    if not current:
        return LOWEST if lowest is None else lowest
    if lowest is None:
        return None
    before, after = parse_version(current), parse_version(lowest)
    return lowest if before[0] == after[0] and before < after else None


def _lowest(servers: Iterable[str | None]) -> str | None:
    """The agreed version of the oldest member; None if one of them is not known."""
    known: list[Version] = []
    for server in servers:
        if server is None:
            return None
        try:
            known.append(parse_version(server))
        except ValueError:
            return None
    if not known:
        return None
    major, minor, _ = min(known)
    return f"{major}.{minor}.0"


def too_old(server: str, cluster: str) -> bool:
    """Whether a member of version `server` must not join a cluster that agreed on `cluster`."""
    return bool(cluster) and parse_version(agreed(server)) < parse_version(cluster)
