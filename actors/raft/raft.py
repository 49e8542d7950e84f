"""One member's raft: terms, votes, and what to do next.

Pure: no clock, no disk, no network.  Its driver says what happened and what time it is, in
seconds of any clock that does not go back, and does what `ready()` asks for:

    raft = Raft.restore(config, rng, now, ...)
    loop: at `raft.deadline` call `wake(now)`; `step(message, now)`, `propose(datas, now)`, ...;
          then `ready()` until it is None; `persisted(receipt, now)`, `applied(index)` when done.

What all roles share is here: the terms that order leaderships, the votes, the log and the
configuration.  A role's own state is an object (`Follower`, `Candidate`, `Leader`) that is dropped
when the role ends, so nothing of a leadership can outlive it.

Source: Raft thesis ch. 3, 4, 6.4, 9.6; etcd-io/raft raft.go, rawnode.go.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from actors.raft.candidate import Candidate
from actors.raft.config import Config
from actors.raft.configuration import Configuration
from actors.raft.errors import NoLeader, TransferRefused
from actors.raft.follower import Follower
from actors.raft.leader import Leader
from actors.raft.log import Log
from actors.raft.ready import ReadState, Ready, SoftState, Status
from actors.raft.types import (
    NO_HARD_STATE,
    NO_NODE,
    NO_SNAPSHOT,
    TERMLESS,
    AnyConfChange,
    ConfState,
    Entry,
    HardState,
    Message,
    MessageType,
    NodeID,
    Role,
    Snapshot,
    SnapshotMetadata,
)
from actors.raft.voter import ELECTION, QUESTIONS, Voter
from actors.raft.writes import Writes
from wire.invariant import invariant

_OF_LEADER = frozenset({MessageType.APPEND, MessageType.HEARTBEAT, MessageType.SNAPSHOT})


class Raft:
    """The state machine of one member.

    Invariant: `term` never falls; within a term `vote` changes once, from NO_NODE;
    a member whose role is LEADER has `leader == id`.
    """

    def __init__(
        self,
        config: Config,
        rng: random.Random,
        now: float,
        *,
        log: Log,
        configuration: Configuration,
        hard_state: HardState,
    ) -> None:
        self.config = config
        self.id = config.node_id
        self.log = log
        self.configuration = configuration
        self.term, self.vote, _ = hard_state
        self.leader = NO_NODE
        self._rng = rng
        self._voter = Voter(self)
        self._outbox: list[Message] = []
        self._writes = Writes(hard_state)
        self._snapshot: Snapshot | None = None  # to be written
        self._read_states: list[ReadState] = []
        self._last_token = rng.getrandbits(62)  # a token of before a restart must not be known
        self.role_state: Follower | Candidate | Leader = Follower(self, now)
        self._published = self.soft_state

    @classmethod
    def restore(
        cls,
        config: Config,
        rng: random.Random,
        now: float,
        *,
        hard_state: HardState = NO_HARD_STATE,
        snapshot: SnapshotMetadata = NO_SNAPSHOT,
        entries: Iterable[Entry] = (),
        applied: int = 0,
        conf_state: ConfState | None = None,
    ) -> Raft:
        """A member as it was stored: `entries` follow `snapshot`, `applied` is the last index in
        the state machine and `conf_state` the configuration after it (the snapshot's if None).

        The commit index is at least `applied`, and at least the last change of configuration but
        one: a leader appends a change only when it has applied the one before.  Without that, a
        crash that kept entries and lost the commit index could bring back a member two
        configurations behind, whose quorum need not overlap that of the others.
        """
        log = Log(snapshot, entries)
        changes = log.conf_changes
        known = max(hard_state.commit, applied, changes[-2] if len(changes) > 1 else 0)
        log.start_from(known, applied)
        if conf_state is None:
            conf_state = snapshot.conf_state
        return cls(
            config,
            rng,
            now,
            log=log,
            configuration=Configuration.of(conf_state),
            hard_state=hard_state,
        )

    # Time

    @property
    def deadline(self) -> float:
        """When to call `wake` at the latest, whatever else happens; may be infinite."""
        return self.role_state.deadline

    def wake(self, now: float) -> None:
        """It is `now`: campaign, send heartbeats, step down; nothing before the deadline."""
        if now >= self.role_state.deadline:
            self.role_state.wake(now)

    def random_timeout(self) -> float:
        """Seconds without a leader before an election, drawn anew each time; thesis §3.4."""
        return self.config.election_timeout * (1 + self._rng.random())

    # Requests of the driver

    def propose(self, datas: Sequence[bytes], now: float) -> int:
        """Append `datas`, in order and without gaps; the index of the first.

        A follower sends them to the leader instead, from where they may get lost, and returns 0.

        Raises:
            NoLeader, ProposalDropped, TooManyUncommitted: nothing was appended.
        """
        return self.role_state.propose(datas)

    def propose_conf_change(self, change: AnyConfChange, now: float) -> int:
        """As `propose`, for one change of configuration.

        Raises:
            ConfChangeRefused: (leader only) not legal from the configuration in use, or the
                change before it is not applied yet.
        """
        return self.role_state.propose_conf_change(change)

    def read_index(self, now: float) -> int:
        """Ask for an index that includes everything committed by now; the read's token.

        The answer is a `ReadState` in some later Ready.  It may never come: ask again (for a new
        token) when `Ready.soft` says the leader or the term changed, and after a while.

        Raises:
            NoLeader, TooManyReads.
        """
        token = self._last_token + 1
        self.role_state.read_index(token)
        self._last_token = token
        return token

    def transfer_leadership(self, to: NodeID, now: float) -> None:
        """Make `to` the leader, or give up after an election timeout; thesis §3.10.

        Raises:
            TransferRefused: `to` is no voter, or no leader is known.
        """
        if not self.configuration.is_voter(to):
            raise TransferRefused("the leadership goes to a voter or nowhere")
        self.role_state.transfer_leadership(to, now)

    def report_unreachable(self, peer: NodeID) -> None:
        """Messages to `peer` were lost: send less ahead until it answers."""
        if isinstance(self.role_state, Leader):
            self.role_state.replication.unreachable(peer)

    def report_snapshot(self, peer: NodeID, *, arrived: bool) -> None:
        """The snapshot for `peer` got there, or did not and will be tried again."""
        if isinstance(self.role_state, Leader):
            self.role_state.replication.snapshot_done(peer, arrived=arrived)

    def campaign(self, now: float) -> bool:
        """Start an election now (a pre-vote first, if configured); whether that was possible."""
        return not isinstance(self.role_state, Leader) and self._campaign(now, transfer=False)

    def hasten_election(self, now: float, within: float) -> None:
        """A member that has just started need not wait a whole election timeout."""
        if isinstance(self.role_state, Follower):
            self.role_state.hasten(now + within)

    # What the driver did

    def ready(self) -> Ready | None:
        """What there is to do now; None if nothing.  Taking it counts as doing it."""
        role = self.role_state
        if isinstance(role, Leader):
            role.flush()
        write, free = self._writes.begin(self.log, self.term, self.vote, self._snapshot)
        self._snapshot = None
        self._outbox += free
        committed = self.log.begin_apply(self.config.max_apply_bytes)
        if self._published == (self.term, self.leader, role.role):
            if not (write or committed or self._outbox or self._read_states):
                return None
            news = None
        else:
            news = self._published = self.soft_state
        messages, self._outbox = self._outbox, []
        reads, self._read_states = self._read_states, []
        return Ready(write, messages, committed, reads, news)

    def persisted(self, receipt: int, now: float) -> None:
        """The write with this receipt, and every one before it, is durable."""
        free = self._writes.finish(self.log, receipt)
        if isinstance(self.role_state, Leader):
            self.role_state.persisted()
        for message in free:
            if message.to == self.id:
                self.step(message, now)  # a candidate's own vote
            else:
                self._outbox.append(message)

    def applied(self, index: int) -> None:
        """Everything through `index` is in the state machine."""
        self.log.applied_to(index)
        if isinstance(self.role_state, Leader):
            self.role_state.applied()

    def apply_conf_change(self, change: AnyConfChange, index: int, now: float) -> ConfState:
        """The committed change at `index` takes effect; the configuration from now on.

        A change the driver refuses is applied with node id 0: it then changes nothing.  One that
        was handed out before a snapshot that includes it changes nothing either.  A member that
        is removed should go on answering messages for some election timeouts before it stops:
        who stays may not know yet that it needs no vote of it.

        Raises:
            ConfChangeRefused: the log holds a change that is not legal: it was not proposed here.
        """
        if index > self.log.offset:
            self.configuration = self.configuration.after(change)
            self.role_state.configuration_changed(now)
        return self.configuration.conf_state()

    def compact(self, index: int) -> None:
        """Forget the entries through `index`; see `Log.compact`."""
        self.log.compact(index)

    # Pictures

    @property
    def role(self) -> Role:
        return self.role_state.role

    @property
    def soft_state(self) -> SoftState:
        return SoftState(self.term, self.leader, self.role_state.role)

    def status(self) -> Status:
        leading = self.role_state if isinstance(self.role_state, Leader) else None
        return Status(
            node_id=self.id,
            term=self.term,
            vote=self.vote,
            leader=self.leader,
            role=self.role_state.role,
            commit=self.log.committed,
            applied=self.log.applied,
            last_index=self.log.last_index,
            first_index=self.log.offset + 1,
            conf_state=self.configuration.conf_state(),
            transferring_to=leading.transferring_to if leading else NO_NODE,
            peers=leading.replication.status() if leading else {},
        )

    # Messages

    def step(self, message: Message, now: float) -> None:
        """Take in a message of another member."""
        if message.to != self.id:
            return
        kind = message.type
        if kind in ELECTION:
            self._voter.learn_commit(message)
        if kind not in TERMLESS and message.term != self.term:
            if message.term < self.term:
                self._answer_the_past(message)
                return
            if self._voter.ignores(message, now):
                return
            self._enter_term_of(message, now)
        if kind in QUESTIONS:
            self._voter.judge(message, now)
        else:
            self.role_state.step(message, now)

    def _enter_term_of(self, message: Message, now: float) -> None:
        """Follow a later term, thesis §3.3; but a pre-vote speaks of one that may never begin."""
        kind = message.type
        asked = kind is MessageType.PRE_VOTE
        granted = kind is MessageType.PRE_VOTE_REPLY and not message.reject
        if not (asked or granted):
            leader = message.sender if kind in _OF_LEADER else NO_NODE
            self.become_follower(message.term, leader, now)

    def _answer_the_past(self, message: Message) -> None:
        """Tell the sender our term if it could otherwise stay behind for ever.

        A leader of an earlier term whose messages come through may lead others who ignore our
        votes; a pre-candidate of an earlier term will not learn ours from votes at all.
        """
        if message.type in _OF_LEADER:
            self.send(Message(MessageType.APPEND_REPLY, message.sender, term=self.term))
        elif message.type is MessageType.PRE_VOTE:
            self._voter.answer(message, granted=False)

    def hears_leader(self, now: float) -> bool:
        """Whether a leader was heard within the shortest election timeout, or is this member."""
        return self.role_state.in_lease(now)

    # What the roles use

    def send(self, message: Message) -> None:
        """Send with the next Ready, whether or not anything is on disk."""
        message.sender = message.sender or self.id
        self._outbox.append(message)

    def hold(self, message: Message) -> None:
        """Send when everything decided up to now is on disk."""
        message.sender = message.sender or self.id
        self._writes.hold(message)

    def answer_read(self, token: int, index: int) -> None:
        self._read_states.append(ReadState(token, index))

    def forward(self, message: Message) -> None:
        """Send on to the leader.  Raises NoLeader."""
        if self.leader == NO_NODE:
            raise NoLeader(f"no leader in term {self.term}")
        message.to = self.leader
        self.send(message)

    def restore_snapshot(self, snapshot: Snapshot) -> bool:
        """Begin anew from a leader's snapshot; False if it has nothing new."""
        index, term, conf_state = snapshot.metadata
        if index <= self.log.committed:
            return False
        if self.log.term(index) == term:
            self.log.commit_to(index)  # all of it is here already
            return False
        configuration = Configuration.of(conf_state)
        if self.id not in configuration.members:
            return False
        self.log.restore(snapshot.metadata)
        self._snapshot = snapshot
        self.configuration = configuration
        return True

    @property
    def may_campaign(self) -> bool:
        """A voter, with a state machine, that knows the configuration it would be elected by."""
        return (
            self.configuration.is_voter(self.id)
            and self.log.applied >= self.log.offset
            and not self.log.commits_conf_change_after(self.log.applied)
        )

    def _campaign(self, now: float, *, transfer: bool) -> bool:
        if not self.may_campaign:
            return False
        if self.config.pre_vote and not transfer:
            self.become_pre_candidate(now)
        else:
            self.become_candidate(now, transfer=transfer)
        return True

    def campaign_for_transfer(self, now: float) -> None:
        self._campaign(now, transfer=True)

    def become_follower(self, term: int, leader: NodeID, now: float) -> None:
        invariant(term >= self.term, "terms never fall", term=term, ours=self.term)
        if term != self.term:
            self.term, self.vote = term, NO_NODE
        self.leader = leader
        self.role_state = Follower(self, now)

    def become_pre_candidate(self, now: float) -> None:
        self.leader = NO_NODE
        self.role_state = Candidate(self, now, Role.PRE_CANDIDATE)
        self.role_state.ask_for_votes(now)

    def become_candidate(self, now: float, *, transfer: bool = False) -> None:
        self.term, self.vote = self.term + 1, self.id
        self.leader = NO_NODE
        self.role_state = Candidate(self, now, Role.CANDIDATE)
        self.role_state.ask_for_votes(now, transfer=transfer)

    def become_leader(self, now: float) -> None:
        self.leader = self.id
        self.role_state = Leader(self, now)
