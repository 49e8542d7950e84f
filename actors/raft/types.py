"""What raft's parts say to each other, to the log on disk and to other members: plain values.

Pure data; the rules are in `raft`, `follower`, `candidate` and `leader`.  Members are named by
uint64 ids, never 0.  What is stored (entries, changes of configuration) has etcd's bytes; what
travels between members has ours (`codec`).
Source: etcd-io/raft raftpb/raft.proto, raftpb/confchange.go; Raft thesis §3.4 (the RPCs), §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from wire.pb import raftpb

NodeID: TypeAlias = int

NO_NODE: NodeID = 0  # no leader, no vote


class Role(IntEnum):
    FOLLOWER = 0
    PRE_CANDIDATE = 1  # asks whether it could win before it disturbs anyone; thesis §9.6
    CANDIDATE = 2
    LEADER = 3


class EntryType(IntEnum):
    NORMAL = 0
    CONF_CHANGE = 1  # `data` is a ConfChange
    CONF_CHANGE_V2 = 2  # `data` is a ConfChangeV2


class Entry(NamedTuple):
    """One entry of the log.  A plain tuple: there are a hundred thousand new ones per second."""

    type: int  # an EntryType
    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which no one misses
    data: bytes


class HardState(NamedTuple):
    """What must survive a crash beside the entries; thesis §3.8.

    Term and vote are durable before anything that follows from them is said.  The commit index
    may be old after a crash: it is learnt again from the leader.
    """

    term: int = 0
    vote: NodeID = NO_NODE
    commit: int = 0


class ConfState(NamedTuple):
    """A configuration as it is stored; `configuration.Configuration` is one that is used.

    `voters_outgoing` is empty unless the configuration is joint.  Ids ascend.
    """

    voters: tuple[NodeID, ...] = ()
    learners: tuple[NodeID, ...] = ()
    voters_outgoing: tuple[NodeID, ...] = ()
    learners_next: tuple[NodeID, ...] = ()  # voters of the outgoing half that will be learners
    auto_leave: bool = False

    def marshal(self) -> bytes:
        return raftpb.ConfState(**self._asdict()).SerializeToString(deterministic=True)

    @classmethod
    def unmarshal(cls, data: bytes) -> ConfState:
        """Raises ConfChangeMalformed."""
        state = raftpb.ConfState()
        _parse(state, data)
        return cls(
            tuple(sorted(state.voters)),
            tuple(sorted(state.learners)),
            tuple(sorted(state.voters_outgoing)),
            tuple(sorted(state.learners_next)),
            state.auto_leave,
        )


class SnapshotMetadata(NamedTuple):
    """The last entry a snapshot includes, and the configuration after it."""

    index: int = 0  # type: ignore[assignment]
    term: int = 0
    conf_state: ConfState = ConfState()


NO_HARD_STATE = HardState()
NO_SNAPSHOT = SnapshotMetadata()


class Snapshot(NamedTuple):
    """`data` is whatever the driver needs to find the state itself; raft does not look at it."""

    metadata: SnapshotMetadata
    data: bytes = b""


class MessageType(IntEnum):
    """Who sends it: L a leader, C a candidate, F anyone who does not lead."""

    APPEND = 1  # L: entries after (index, log_term), and the commit index
    APPEND_REPLY = 2  # F: durable through `index`, knows `commit`; or a rejection with a hint
    HEARTBEAT = 3  # L: I lead; `context` is the newest round of reads, 0 for none
    HEARTBEAT_REPLY = 4  # F: returns `context`, knows `commit`
    SNAPSHOT = 5  # L: `snapshot` instead of entries that are gone
    VOTE = 6  # C: my log ends at (index, log_term); `context` may be TRANSFER
    VOTE_REPLY = 7  # all four about votes: `commit` is committed, in term `hint`
    PRE_VOTE = 8  # C: the same question for term + 1, binding no one
    PRE_VOTE_REPLY = 9
    TIMEOUT_NOW = 10  # L: start an election at once (leadership transfer)
    PROPOSE = 11  # F: entries for the leader to append; carries no term
    READ_INDEX = 12  # F: which index must I have applied?  `context` names the read; no term
    READ_INDEX_REPLY = 13  # L: `index`, for the read `context`
    TRANSFER_LEADER = 14  # F: give the leadership to member `context`; carries no term


TERMLESS = frozenset({MessageType.PROPOSE, MessageType.READ_INDEX, MessageType.TRANSFER_LEADER})
TRANSFER = 1  # `context` of a VOTE asked for by the leader itself: leases do not protect it


@dataclass(slots=True)
class Message:
    """One message between two members.  Treat as immutable once it is handed over."""

    type: MessageType
    to: NodeID
    sender: NodeID = NO_NODE
    term: int = 0
    index: int = 0
    log_term: int = 0  # of the entry at `index` (of the hint, in a rejection)
    commit: int = 0
    entries: Sequence[Entry] = ()
    reject: bool = False
    hint: int = 0  # in a rejected APPEND_REPLY: the last index that may match; else see votes
    context: int = 0
    snapshot: Snapshot | None = None


class ConfChangeMalformed(ValueError):
    """The bytes are not a change of configuration."""


class ConfChangeType(IntEnum):
    ADD_NODE = 0  # a voter, also: promote a learner
    REMOVE_NODE = 1
    UPDATE_NODE = 2  # nothing raft must know
    ADD_LEARNER = 3  # also: demote a voter


class ConfChangeTransition(IntEnum):
    AUTO = 0  # single step if it is one change, else as JOINT_IMPLICIT
    JOINT_IMPLICIT = 1  # through a joint configuration that is left by itself
    JOINT_EXPLICIT = 2  # through a joint configuration that an empty change leaves


class ConfChangeSingle(NamedTuple):
    type: ConfChangeType
    node_id: NodeID  # 0: no effect (a change that was refused when it was applied)


@dataclass(frozen=True, slots=True)
class ConfChangeV2:
    """Several changes as one; with none at all, leaves the joint configuration."""

    changes: tuple[ConfChangeSingle, ...] = ()
    transition: ConfChangeTransition = ConfChangeTransition.AUTO
    context: bytes = b""  # the driver's

    entry_type = EntryType.CONF_CHANGE_V2

    @property
    def leaves_joint(self) -> bool:
        return not self.changes and self.transition is ConfChangeTransition.AUTO

    @property
    def enters_joint(self) -> bool:
        return len(self.changes) > 1 or self.transition is not ConfChangeTransition.AUTO

    @property
    def auto_leave(self) -> bool:
        return self.enters_joint and self.transition is not ConfChangeTransition.JOINT_EXPLICIT

    def as_v2(self) -> ConfChangeV2:
        return self

    def marshal(self) -> bytes:
        """The empty change is no bytes at all, so that no limit on bytes can refuse it."""
        if self == ConfChangeV2():
            return b""
        message = raftpb.ConfChangeV2(
            transition=raftpb.ConfChangeTransition.ValueType(self.transition),
            changes=[
                raftpb.ConfChangeSingle(
                    type=raftpb.ConfChangeType.ValueType(change.type), node_id=change.node_id
                )
                for change in self.changes
            ],
        )
        if self.context:
            message.context = self.context
        return message.SerializeToString(deterministic=True)

    @classmethod
    def unmarshal(cls, data: bytes) -> ConfChangeV2:
        """Raises ConfChangeMalformed."""
        message = raftpb.ConfChangeV2()
        _parse(message, data)
        return cls(
            tuple(
                ConfChangeSingle(ConfChangeType(change.type), change.node_id)
                for change in message.changes
            ),
            ConfChangeTransition(message.transition),
            message.context,
        )


@dataclass(frozen=True, slots=True)
class ConfChange:
    """One change, in the form etcd's own members propose."""

    type: ConfChangeType
    node_id: NodeID
    context: bytes = b""  # etcd's member JSON
    id: int = 0  # the driver's, to find who waits for it

    entry_type = EntryType.CONF_CHANGE

    def as_v2(self) -> ConfChangeV2:
        return ConfChangeV2((ConfChangeSingle(self.type, self.node_id),), context=self.context)

    def marshal(self) -> bytes:
        message = raftpb.ConfChange(
            ID=self.id, Type=raftpb.ConfChangeType.ValueType(self.type), NodeID=self.node_id
        )
        if self.context:
            message.Context = self.context
        return message.SerializeToString(deterministic=True)

    @classmethod
    def unmarshal(cls, data: bytes) -> ConfChange:
        """Raises ConfChangeMalformed."""
        message = raftpb.ConfChange()
        _parse(message, data)
        return cls(ConfChangeType(message.Type), message.NodeID, message.Context, message.ID)


AnyConfChange: TypeAlias = ConfChange | ConfChangeV2


def conf_change_of(entry: Entry) -> AnyConfChange:
    """The change in an entry whose type is not NORMAL.  Raises ConfChangeMalformed."""
    if entry.type == EntryType.CONF_CHANGE:
        return ConfChange.unmarshal(entry.data)
    return ConfChangeV2.unmarshal(entry.data)


def _parse(
    message: raftpb.ConfChange | raftpb.ConfChangeV2 | raftpb.ConfState, data: bytes
) -> None:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ConfChangeMalformed(str(error)) from error
