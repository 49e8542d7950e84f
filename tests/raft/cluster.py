"""A cluster in one process: real `Raft` objects, and a disk, a network and a clock made of lists.

Nothing happens by itself.  A test says what is delivered, what reaches a disk, what time it is;
`settle()` and `run()` do the obvious for all of them.  Every step is checked by `Safety`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from actors.raft.codec import decode, encode
from actors.raft.config import Config
from actors.raft.errors import RaftRefusal
from actors.raft.raft import Raft
from actors.raft.ready import Ready, SoftState, Write
from actors.raft.types import (
    NO_HARD_STATE,
    NO_SNAPSHOT,
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
    conf_change_of,
)
from tests.raft.safety import Safety
from tests.raft.transcript import show_message, show_write

SETTLE_ROUNDS = 1000  # more and the members are talking in circles


@dataclass
class Backend:
    """A state machine as it is stored: a digest of everything applied, in order."""

    applied: int = 0
    term: int = 0
    digest: int = 0
    conf_state: ConfState = NO_SNAPSHOT.conf_state

    def snapshot(self) -> Snapshot:
        metadata = SnapshotMetadata(self.applied, self.term, self.conf_state)
        return Snapshot(metadata, self.digest.to_bytes(8, "big", signed=True))

    @classmethod
    def of(cls, snapshot: Snapshot) -> Backend:
        index, term, conf_state = snapshot.metadata
        return cls(index, term, int.from_bytes(snapshot.data, "big", signed=True), conf_state)


@dataclass
class Disk:
    """What survives a crash, and the writes under way that may not."""

    start: SnapshotMetadata
    backend: Backend
    entries: list[Entry] = field(default_factory=list)
    hard_state: HardState = NO_HARD_STATE
    writing: deque[Write] = field(default_factory=deque)

    @property
    def last_index(self) -> int:
        return self.entries[-1].index if self.entries else self.start.index

    def term(self, index: int) -> int | None:
        position = index - self.start.index
        if position == 0:
            return self.start.term
        return self.entries[position - 1].term if 0 < position <= len(self.entries) else None

    def finish(self, write: Write) -> None:
        if write.snapshot is not None:
            self.start = write.snapshot.metadata
            self.entries = []
            self.backend = Backend.of(write.snapshot)
        self._put(write.entries)
        if write.hard_state is not None:
            self.hard_state = write.hard_state

    def tear(self, write: Write, rng: random.Random) -> None:
        """A crash in the middle of `write`: some of its entries, and nothing after them."""
        if write.snapshot is None:
            self._put(write.entries[: rng.randint(0, len(write.entries))])

    def _put(self, entries: list[Entry]) -> None:
        if entries:
            del self.entries[entries[0].index - self.start.index - 1 :]
            self.entries += entries

    def compact(self, index: int) -> None:
        term = self.term(index)
        if index > self.start.index and term is not None:
            del self.entries[: index - self.start.index]
            self.start = SnapshotMetadata(index, term)


class Member:
    """One member and what its driver would keep for it."""

    def __init__(self, config: Config, disk: Disk, rng: random.Random) -> None:
        self.id = config.node_id
        self.config = config
        self.disk = disk
        self.rng = rng
        self.machine = replace(disk.backend)
        self.apply_queue: deque[Entry] = deque()
        self.reads: dict[int, int] = {}  # token -> what was committed when it was asked
        self.answered: dict[int, int] = {}  # token -> index
        self.up: Raft | None = None

    @property
    def raft(self) -> Raft:
        assert self.up is not None, f"{self.id} is down"
        return self.up

    def start(self, now: float) -> None:
        disk = self.disk
        self.machine = replace(disk.backend)
        self.apply_queue.clear()
        self.reads.clear()
        self.up = Raft.restore(
            self.config,
            self.rng,
            now,
            hard_state=disk.hard_state,
            snapshot=disk.start,
            entries=list(disk.entries),
            applied=disk.backend.applied,
            conf_state=disk.backend.conf_state,
        )

    def crash(self, *, torn: random.Random | None = None) -> None:
        """Lose everything that is not on disk; with `torn`, maybe keep some writes under way."""
        self.up = None
        if torn is not None:
            for _ in range(torn.randint(0, len(self.disk.writing))):
                self.disk.finish(self.disk.writing.popleft())
            if self.disk.writing:
                self.disk.tear(self.disk.writing[0], torn)
        self.disk.writing.clear()


class Cluster:
    """Members 1 to n, or as `learners` and `voters` say.  `auto`: disks and appliers never lag."""

    def __init__(
        self,
        voters: int | Iterable[NodeID] = 3,
        *,
        learners: Iterable[NodeID] = (),
        spares: Iterable[NodeID] = (),
        seed: int = 1,
        auto: bool = True,
        trace: Callable[[str], None] | None = None,
        **settings: object,
    ) -> None:
        names = range(1, voters + 1) if isinstance(voters, int) else voters
        self.conf_state = ConfState(tuple(sorted(names)), tuple(sorted(learners)))
        self.now = 0.0
        self.auto = auto
        self.network: list[Message] = []
        self.cut: set[tuple[NodeID, NodeID]] = set()
        self.lose: Callable[[Message], bool] = lambda _: False
        self.safety = Safety()
        self.trace = trace or (lambda _: None)
        self.members: dict[NodeID, Member] = {}
        self._seed = seed
        self._settings = settings
        for node in (*self.conf_state.voters, *self.conf_state.learners, *spares):
            self.add(node)

    def add(self, node: NodeID) -> Member:
        """A member with an empty log.  All begin from the same configuration, in it or not."""
        config = Config(node_id=node, **self._settings)  # type: ignore[arg-type]
        start = SnapshotMetadata(0, 0, self.conf_state)
        disk = Disk(start, Backend(conf_state=self.conf_state))
        member = Member(config, disk, random.Random(f"{self._seed}/{node}"))
        self.members[node] = member
        member.start(self.now)
        return member

    def __getitem__(self, node: NodeID) -> Raft:
        return self.members[node].raft

    @property
    def up(self) -> list[Member]:
        return [member for member in self.members.values() if member.up is not None]

    @property
    def leader(self) -> NodeID:
        """The leader of the latest term, 0 if there is none."""
        leaders = [m.raft for m in self.up if m.raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.term).id if leaders else 0

    def log(self, node: NodeID) -> str:
        """The terms of a log, as the thesis draws it: `1 1 2`."""
        log = self[node].log
        return " ".join(str(log.term(i)) for i in range(log.offset + 1, log.last_index + 1))

    def applied_data(self, node: NodeID) -> list[bytes]:
        """The non-empty data a member's log holds as applied."""
        log = self[node].log
        count = log.applied - log.offset
        entries = log.slice(log.offset + 1, log.applied, 1 << 60, count) if count > 0 else []
        return [entry.data for entry in entries if entry.data and not entry.type]

    # One step of one member

    def act(self, node: NodeID, function: Callable[[Raft], object]) -> object:
        """Let `function` do something to a member, then take what is ready."""
        member = self.members[node]
        before = member.raft.soft_state
        try:
            return function(member.raft)
        finally:
            self._trace_role(member, before)
            self.pump(member)

    def _trace_role(self, member: Member, before: SoftState) -> None:
        after = member.raft.soft_state
        if after != before:
            role = after.role.name.lower().replace("_", "-")
            leader = f", leader {after.leader}" if after.leader else ""
            self.trace(f"{member.id} {role}, term {after.term}{leader}")

    def pump(self, member: Member) -> None:
        """Do what is asked for; a lagging disk and applier only queue it."""
        while True:
            self.safety.check(member, self.now)
            ready = member.raft.ready()
            if ready is None:
                return
            self._take(member, ready)
            if self.auto:  # neither disk nor applier lags
                self.write(member.id)
                self.apply(member.id)

    def _take(self, member: Member, ready: Ready) -> None:
        self.safety.check_ready(member, ready)
        for message in ready.messages:
            if message.type is MessageType.SNAPSHOT:
                message.snapshot = self._snapshot_of(member)
            self.safety.check_sent(member, message)
            self._send(message)
        if ready.write is not None:
            self.trace(f"{member.id} writes {show_write(ready.write)}")
            member.disk.writing.append(ready.write)
        member.apply_queue += ready.committed
        for token, index in ready.read_states:
            floor = member.reads.pop(token, None)
            if floor is not None:
                self.safety.check_read(member, index, floor)
                member.answered[token] = index
                self.trace(f"{member.id} may read at {index}")

    def _snapshot_of(self, member: Member) -> Snapshot:
        return member.machine.snapshot()

    def _send(self, message: Message) -> None:
        self.trace(f"{message.sender} -> {message.to} {show_message(message)}")
        self.network.append(decode(encode(message)))

    def write(self, node: NodeID, count: int | None = None) -> None:
        """Writes under way reach the disk: the oldest `count`, or all."""
        member = self.members[node]
        writing = member.disk.writing
        for _ in range(len(writing) if count is None else count):
            write = writing.popleft()
            member.disk.finish(write)
            if write.receipt is not None:
                self._written(member, write, write.receipt)
        self._pump_if_lagging(member)

    def _written(self, member: Member, write: Write, receipt: int) -> None:
        raft = member.raft
        before = raft.soft_state
        raft.persisted(receipt, self.now)
        if write.snapshot is not None:
            member.apply_queue.clear()  # all of it is in the snapshot
            member.machine = Backend.of(write.snapshot)
            raft.applied(member.machine.applied)
            self.safety.check_machine(member)
            self.trace(f"{member.id} installs snapshot {member.machine.applied}")
        self._trace_role(member, before)

    def _pump_if_lagging(self, member: Member) -> None:
        if not self.auto:
            self.pump(member)

    def apply(self, node: NodeID, count: int | None = None) -> None:
        """Committed entries reach the state machine: the oldest `count`, or all."""
        member = self.members[node]
        queue = member.apply_queue
        if not queue:
            return
        for _ in range(len(queue) if count is None else min(count, len(queue))):
            self._apply_one(member, queue.popleft())
        self.trace(f"{node} applied {member.machine.applied}")
        member.raft.applied(member.machine.applied)
        self._pump_if_lagging(member)

    def _apply_one(self, member: Member, entry: Entry) -> None:
        machine = member.machine
        machine.applied, machine.term = entry.index, entry.term
        machine.digest = hash((machine.digest, entry))
        if entry.type:
            change = conf_change_of(entry)
            machine.conf_state = member.raft.apply_conf_change(change, entry.index, self.now)
            self.trace(f"{member.id} configuration {show_conf_state(machine.conf_state)}")
        self.safety.check_applied(member, entry)

    def save(self, node: NodeID) -> None:
        """The backend commits: what is applied survives a crash."""
        member = self.members[node]
        # Like ours: never ahead of the log on disk, which `Ready.committed` guarantees.
        member.disk.backend = replace(member.machine)

    def compact(self, node: NodeID, index: int | None = None) -> None:
        """Forget entries through `index`, or all applied; the backend is saved first."""
        member = self.members[node]
        self.save(node)
        index = member.machine.applied if index is None else index
        member.disk.compact(index)
        member.raft.compact(index)

    # The network

    def deliver(self, message: Message) -> None:
        """Take one message out of the network and hand it over, unless it is lost."""
        self.network.remove(message)
        member = self.members.get(message.to)
        if member is None or member.up is None or (message.sender, message.to) in self.cut:
            return
        if self.lose(message):
            self.trace(f"lost: {message.sender} -> {message.to} {show_message(message)}")
            return
        self.act(message.to, lambda raft: raft.step(message, self.now))

    def deliver_all(self) -> None:
        """Everything that is in the network now, in order."""
        for message in list(self.network):
            self.deliver(message)

    def settle(self) -> None:
        """Until nobody has anything to say; time stands still."""
        for member in self.up:
            self.pump(member)
        for _ in range(SETTLE_ROUNDS):
            if not self.network:
                return
            self.deliver_all()
        raise AssertionError("the members never fall silent")

    def partition(self, *groups: Iterable[NodeID]) -> None:
        """Only members of the same group reach each other; who is in none is alone."""
        group_of = {node: i for i, group in enumerate(groups) for node in group}
        self.cut = {
            (a, b)
            for a in self.members
            for b in self.members
            if a != b and (a not in group_of or group_of[a] != group_of.get(b))
        }

    def heal(self) -> None:
        self.cut = set()
        self.lose = lambda _: False

    # Time

    @property
    def next_deadline(self) -> float:
        return min((member.raft.deadline for member in self.up), default=float("inf"))

    def run(self, seconds: float) -> None:
        """Let time pass, deadline by deadline, everything settling in between."""
        end = self.now + seconds
        self.settle()
        while self.next_deadline <= end:
            self.now = max(self.now, self.next_deadline)
            for member in self.up:
                if member.raft.deadline <= self.now:
                    self.act(member.id, lambda raft: raft.wake(self.now))
            self.settle()
        self.now = end

    def run_until(self, condition: Callable[[], object], *, seconds: float = 60.0) -> None:
        """Let time pass until `condition()`; fails if that takes longer than `seconds`."""
        end = self.now + seconds
        self.settle()
        while not condition():
            assert self.now < end, f"{condition} did not come about in {seconds} s"
            self.run(max(self.next_deadline - self.now, 0.0) if self.up else end - self.now)

    # Requests

    def elect(self, node: NodeID) -> None:
        """Make `node` the leader by elections, out of everyone's lease.

        It may take two: in the first it learns a later term.
        """
        for _ in range(2):
            self.now += 2 * self.members[node].config.election_timeout
            self.act(node, lambda raft: raft.campaign(self.now))
            self.settle()
            if self.leader == node:
                return
        assert self.leader == node, f"{node} was not elected"

    def propose(self, node: NodeID, *datas: bytes) -> int:
        index = self.act(node, lambda raft: raft.propose(datas, self.now))
        assert isinstance(index, int)
        return index

    def propose_conf_change(self, node: NodeID, change: AnyConfChange) -> int:
        index = self.act(node, lambda raft: raft.propose_conf_change(change, self.now))
        assert isinstance(index, int)
        return index

    def read(self, node: NodeID) -> int:
        """Ask for a read index; the token."""
        member = self.members[node]
        floor = self.safety.last_committed
        tokens: list[int] = []

        def ask(raft: Raft) -> None:
            tokens.append(raft.read_index(self.now))
            member.reads[tokens[0]] = floor

        self.act(node, ask)
        return tokens[0]

    def transfer(self, node: NodeID, to: NodeID) -> None:
        self.act(node, lambda raft: raft.transfer_leadership(to, self.now))

    def crash(self, node: NodeID, *, torn: random.Random | None = None) -> None:
        self.trace(f"{node} crashes")
        self.members[node].crash(torn=torn)
        self.safety.forget(node)

    def restart(self, node: NodeID) -> None:
        self.trace(f"{node} restarts")
        self.members[node].start(self.now)
        self.pump(self.members[node])

    def refused(self, function: Callable[[], object]) -> bool:
        """Whether `function` is refused by raft."""
        try:
            function()
        except RaftRefusal:
            return True
        return False


def show_conf_state(state: ConfState) -> str:
    shown = " ".join(map(str, state.voters))
    if state.voters_outgoing:
        shown += " & " + " ".join(map(str, state.voters_outgoing))
    if state.learners:
        shown += ", learners " + " ".join(map(str, state.learners))
    if state.learners_next:
        shown += ", then learners " + " ".join(map(str, state.learners_next))
    return shown
