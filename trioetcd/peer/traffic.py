"""What went to and came from each other member, in plain numbers.

Kept apart from links, which come and go with a member's addresses.
Source: etcd server/etcdserver/api/rafthttp/metrics.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.raft.types import NodeID
from wire.durations import Durations, doubling

MAX_KNOWN = 256  # members counted apart; those that come later count together, as member 0
_OTHERS: NodeID = 0


@dataclass(slots=True)
class SnapshotTraffic:
    """One way."""

    succeeded: int = 0
    failed: int = 0
    under_way: int = 0
    durations: Durations = field(default_factory=lambda: Durations(doubling(0.1, 10)))


@dataclass(slots=True)
class Traffic:
    """With one member.  Bytes are those of raft's messages."""

    sent_bytes: int = 0
    sent_failures: int = 0
    received_bytes: int = 0
    received_failures: int = 0
    disconnections: int = 0
    round_trips: Durations = field(default_factory=lambda: Durations(doubling(0.0001, 16)))
    snapshots_sent: SnapshotTraffic = field(default_factory=SnapshotTraffic)
    snapshots_received: SnapshotTraffic = field(default_factory=SnapshotTraffic)


class TrafficBook:
    """By member."""

    def __init__(self) -> None:
        self.members: dict[NodeID, Traffic] = {}

    def of(self, member: NodeID) -> Traffic:
        found = self.members.get(member)
        if found is None:
            if len(self.members) >= MAX_KNOWN:
                member = _OTHERS
            found = self.members.setdefault(member, Traffic())
        return found
