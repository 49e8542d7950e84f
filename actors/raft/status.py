"""What a member's raft lets others read at any time."""

from __future__ import annotations

from dataclasses import dataclass

from actors.raft.types import NodeID, Role


@dataclass
class RaftStatus:
    """Written by the driver after each step."""

    node_id: NodeID
    term: int = 0
    leader: NodeID = 0
    role: Role = Role.FOLLOWER
    commit_index: int = 0
    applied_index: int = 0
    reads_open: bool = False  # the local state is linearizable as it stands: no need to ask
    awaits_applied: bool = False  # more is committed than may be handed out to be applied
    leader_changes: int = 0
    proposals_failed: int = 0
    late_heartbeats: int = 0  # of a leader: sent an interval too late, or later still

    @property
    def is_leader(self) -> bool:
        return self.role is Role.LEADER
