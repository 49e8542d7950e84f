"""What raft asks for: one value, whose parts have an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from actors.raft.progress import ProgressState
from actors.raft.types import (
    ConfState,
    Entry,
    HardState,
    Message,
    NodeID,
    Role,
    Snapshot,
)


class SoftState(NamedTuple):
    """What need not be stored.  Reads in progress are void when it changes: ask again."""

    term: int
    leader: NodeID
    role: Role


class ReadState(NamedTuple):
    """The read that `Raft.read_index` named `token` may be answered once `index` is applied."""

    token: int
    index: int  # type: ignore[assignment]  # hides tuple.index


class Write(NamedTuple):
    """What to store, in this order: the snapshot's record, the entries, the hard state.

    Writes are made in the order they were handed out.  Entries replace what the log on disk has at
    and after their first index; a snapshot replaces all of it.
    With a `receipt`, the write must be durable before `Raft.persisted(receipt)`; answering for
    one answers for all before it, and several may be under way.  Without one only the commit
    index moved: no answer is awaited, no fsync is needed, and it may be joined to the next write.
    """

    receipt: int | None
    snapshot: Snapshot | None
    entries: list[Entry]
    hard_state: HardState | None


@dataclass(slots=True)
class Ready:
    """What to do now.  In any order, or at the same time, unless it says otherwise:

    `write`        store it, then call `Raft.persisted`.  What depends on it (acknowledgements,
                   votes, commits) appears in a later Ready, never in this one.
    `messages`     send them; none waits for `write`.  They may be lost, repeated and reordered.
                   A SNAPSHOT names the least index its receiver needs: send a snapshot of the
                   state machine at that index or a later one, with that one's metadata, and then
                   call `Raft.report_snapshot`, or nothing more is sent to that member.
    `committed`    apply them in order, after those of earlier Readys (and after their snapshot),
                   then call `Raft.applied`.  They are already on disk.  For an entry that is no
                   plain data, `Raft.apply_conf_change` comes before `Raft.applied` of its index.
    `write.snapshot`  beside being stored it must replace the state machine; then call
                   `Raft.applied(snapshot.metadata.index)`.  Nothing is handed out to be applied
                   before that.
    `read_states`  answer these reads once their index is applied.
    `soft`         the new term, leader or role, if one changed: publish it first.
    """

    write: Write | None
    messages: list[Message]
    committed: list[Entry]
    read_states: list[ReadState]
    soft: SoftState | None


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A member as the leader sees it; indexes as in `progress.Progress`."""

    match: int
    next: int
    state: ProgressState
    active: bool
    paused: bool
    learner: bool
    inflight_messages: int
    inflight_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """A picture for metrics and the Status RPC."""

    node_id: NodeID
    term: int
    vote: NodeID
    leader: NodeID
    role: Role
    commit: int
    applied: int
    last_index: int
    first_index: int
    conf_state: ConfState
    transferring_to: NodeID
    peers: dict[NodeID, PeerStatus] = field(default_factory=dict)  # empty unless leading
