"""How long raft waits and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass

from actors.raft.types import NO_NODE, NodeID
from wire.invariant import invariant

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one member.  Times in seconds; every queue of the core is limited here."""

    node_id: NodeID

    election_timeout: float = 1.0  # the shortest; each wait is drawn from [1, 2) times this
    heartbeat_interval: float = 0.1
    pre_vote: bool = True  # thesis §9.6
    check_quorum: bool = True  # thesis §6.2: a leader that hears no quorum steps down; also the
    # lease of §4.2.3: who heard a leader within election_timeout ignores candidates

    # One message of entries.  etcd's value is near: larger ones hold up heartbeats behind them.
    max_message_bytes: int = MIB
    max_message_entries: int = 16_384  # so that tiny entries cannot make a huge message

    # What a leader sends to one follower ahead of its acknowledgements.
    max_inflight_messages: int = 512
    max_inflight_bytes: int = 64 * MIB

    max_uncommitted_bytes: int = 256 * MIB  # in a leader's log; proposals above it are refused
    max_apply_bytes: int = 16 * MIB  # handed out to be applied and not yet reported applied
    max_waiting_reads: int = 4096  # reads a leader has not yet confirmed

    def __post_init__(self) -> None:
        invariant(self.node_id != NO_NODE, "a member has an id")
        invariant(
            0 < self.heartbeat_interval < self.election_timeout,
            "a heartbeat must arrive within an election timeout",
            heartbeat_interval=self.heartbeat_interval,
            election_timeout=self.election_timeout,
        )
        invariant(
            self.max_inflight_bytes >= self.max_message_bytes > 0
            and min(self.max_message_entries, self.max_inflight_messages) > 0,
            "at least one message fits the window",
        )
