"""Random schedules: everything that may happen to a cluster, in an order drawn from a seed.

One schedule is a function of (seed, members).  Messages are lost, repeated and reordered, links
are cut one way or both, members crash with writes under way, disks and appliers lag, the
configuration changes, the log is compacted; `Safety` looks at every step.  At the end everything
is mended, and the cluster must come to an agreement again within a bounded time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from actors.raft.errors import RaftRefusal
from actors.raft.types import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Message,
    MessageType,
    NodeID,
    Role,
)
from tests.raft.cluster import Cluster

STEPS = 250
RECOVERY = 60.0  # seconds of simulated time; tens of election timeouts
MAX_IN_FLIGHT = 60  # messages; what is older is lost, as links have bounded queues


class Schedule:
    """One run.  `log` keeps what was done, for the report of a failure."""

    def __init__(
        self, seed: int, voters: int, *, trace: Callable[[str], None] | None = None
    ) -> None:
        self.seed, self.voters = seed, voters
        self.rng = rng = random.Random(f"{seed}/{voters}")
        self.cluster = Cluster(
            voters,
            learners=[voters + 1] if rng.random() < 0.3 else [],
            spares=[voters + 2, voters + 3],
            seed=seed,
            auto=False,
            trace=trace,
            pre_vote=rng.random() < 0.8,
            check_quorum=rng.random() < 0.8,
            max_message_entries=rng.choice([1, 3, 100]),
            max_message_bytes=rng.choice([10, 1000]),
            max_inflight_messages=rng.choice([1, 4, 100]),
            max_inflight_bytes=1000,
            max_apply_bytes=rng.choice([1, 30, 10_000]),
            max_uncommitted_bytes=200,
        )
        self._proposed = 0
        # How wild this run is: each kind of trouble has its own rate.
        trouble = [rng.random() ** 2 for _ in range(8)]
        self._actions: list[tuple[float, Callable[[], None]]] = [
            (25, self._deliver),
            (12, self._deliver_in_order),
            (10, self._write),
            (8, self._apply),
            (6, self._pass_time),
            (6, self._propose),
            (5, self._work),
            (1, self._campaign),
            (3, self._read),
            (4 * trouble[0], self._lose),
            (3 * trouble[1], self._repeat),
            (1.5 * trouble[2], self._cut),
            (2, self._mend_a_link),
            (0.5, self._mend_all),
            (1.5 * trouble[3], self._crash),
            (2, self._restart),
            (5 * trouble[4], self._change_configuration),
            (4 * trouble[5], self._compact),
            (2 * trouble[6], self._transfer),
            (1, self._report),
            (2, self._save),
        ]

    def run(self, steps: int = STEPS) -> None:
        """Raises AssertionError or InvariantBroken when a property is broken."""
        weights = [weight for weight, _ in self._actions]
        actions = [action for _, action in self._actions]
        for action in self.rng.choices(actions, weights, k=steps):
            action()
        self.recover()

    # The network

    def _some_message(self) -> Message | None:
        return self.rng.choice(self.cluster.network) if self.cluster.network else None

    def _deliver(self) -> None:
        if message := self._some_message():
            self.cluster.deliver(message)

    def _deliver_in_order(self) -> None:
        network = self.cluster.network
        for _ in range(min(len(network), self.rng.randint(1, 8))):
            self.cluster.deliver(network[0])
        del network[:-MAX_IN_FLIGHT]

    def _lose(self) -> None:
        if message := self._some_message():
            self.cluster.network.remove(message)

    def _repeat(self) -> None:
        if message := self._some_message():
            self.cluster.network.append(message)

    def _cut(self) -> None:
        nodes = list(self.cluster.members)
        if self.rng.random() < 0.5:
            self.cluster.cut.add((self.rng.choice(nodes), self.rng.choice(nodes)))
        else:
            self.rng.shuffle(nodes)
            middle = self.rng.randrange(len(nodes))
            self.cluster.partition(nodes[:middle], nodes[middle:])

    def _mend_a_link(self) -> None:
        if self.cluster.cut:
            self.cluster.cut.discard(self.rng.choice(sorted(self.cluster.cut)))

    def _mend_all(self) -> None:
        self.cluster.heal()

    # Members

    def _someone(self) -> NodeID:
        up = [member.id for member in self.cluster.up]
        return self.rng.choice(up) if up else 0

    def _write(self) -> None:
        if node := self._someone():
            under_way = len(self.cluster.members[node].disk.writing)
            if under_way:
                self.cluster.write(node, self.rng.randint(1, under_way))

    def _apply(self) -> None:
        if node := self._someone():
            self.cluster.apply(node, self.rng.randint(1, 5))

    def _pass_time(self) -> None:
        cluster, rng = self.cluster, self.rng
        if rng.random() < 0.7 and cluster.next_deadline < float("inf"):
            cluster.now = max(cluster.now, cluster.next_deadline)
        else:
            cluster.now += rng.random() * 0.5
        due = [m.id for m in cluster.up if m.raft.deadline <= cluster.now]
        rng.shuffle(due)
        for node in due[: rng.randint(0, len(due))]:
            cluster.act(node, lambda raft: raft.wake(cluster.now))

    def _work(self) -> None:
        """A calm moment: what is under way gets done, except at a few."""
        cluster = self.cluster
        for _ in range(self.rng.randint(1, 4)):
            for member in cluster.up:
                if self.rng.random() < 0.8:
                    cluster.write(member.id)
                    cluster.apply(member.id)
            for message in list(cluster.network):
                if self.rng.random() < 0.9:
                    cluster.deliver(message)

    def _campaign(self) -> None:
        if node := self._someone():
            self.cluster.act(node, lambda raft: raft.campaign(self.cluster.now))

    def _crash(self) -> None:
        if node := self._someone():
            self.cluster.crash(node, torn=self.rng)

    def _restart(self) -> None:
        down = [node for node, m in self.cluster.members.items() if m.up is None]
        if down:
            self.cluster.restart(self.rng.choice(down))

    def _compact(self) -> None:
        if node := self._someone():
            machine = self.cluster.members[node].machine
            self.cluster.compact(node, max(0, machine.applied - self.rng.randint(0, 3)))

    def _save(self) -> None:
        if node := self._someone():
            self.cluster.save(node)

    def _report(self) -> None:
        if not (node := self._someone()):
            return
        peer = self.rng.choice(list(self.cluster.members))
        if self.rng.random() < 0.4:
            self.cluster.act(node, lambda raft: raft.report_unreachable(peer))
        else:
            arrived = self.rng.random() < 0.5
            self.cluster.act(node, lambda raft: raft.report_snapshot(peer, arrived=arrived))

    # Requests

    def _at(self, node: NodeID, request: Callable[[], object]) -> None:
        try:
            request()
        except RaftRefusal:
            return

    def _leader_or_someone(self) -> NodeID:
        leaders = [m.id for m in self.cluster.up if m.raft.role is Role.LEADER]
        return self.rng.choice(leaders) if leaders and self.rng.random() < 0.8 else self._someone()

    def _propose(self) -> None:
        if node := self._leader_or_someone():
            datas = []
            for _ in range(self.rng.choice([1, 1, 1, 2, 5])):
                self._proposed += 1
                datas.append(b"%d" % self._proposed * self.rng.choice([1, 1, 4]))
            self._at(node, lambda: self.cluster.propose(node, *datas))

    def _read(self) -> None:
        if node := self._leader_or_someone():
            self._at(node, lambda: self.cluster.read(node))

    def _transfer(self) -> None:
        if node := self._leader_or_someone():
            to = self.rng.choice(list(self.cluster.members))
            self._at(node, lambda: self.cluster.transfer(node, to))

    def _change_configuration(self) -> None:
        if node := self._leader_or_someone():
            change = self._random_change()
            self._at(node, lambda: self.cluster.propose_conf_change(node, change))

    def _random_change(self) -> ConfChange | ConfChangeV2:
        rng, nodes = self.rng, list(self.cluster.members)
        kinds = [ConfChangeType.ADD_NODE, ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER]
        kinds.append(ConfChangeType.REMOVE_NODE)
        if rng.random() < 0.6:
            return ConfChange(rng.choice(kinds), rng.choice(nodes))
        if rng.random() < 0.3:
            return ConfChangeV2()  # leave a joint configuration, if this is one
        changed = rng.sample(nodes, rng.randint(1, 3))
        changes = tuple(ConfChangeSingle(rng.choice(kinds), node) for node in changed)
        return ConfChangeV2(changes, rng.choice(list(ConfChangeTransition)))

    # The end

    def recover(self) -> None:
        """Mend everything: a leader must emerge, and all its members agree with it."""
        cluster = self.cluster
        cluster.heal()
        for node, member in cluster.members.items():
            if member.up is None:
                cluster.restart(node)
        for member in cluster.up:
            cluster.write(member.id)
            cluster.apply(member.id)
        cluster.auto = True
        cluster.lose = self._snapshots_arrive
        for member in cluster.up:
            cluster.write(member.id)
            cluster.apply(member.id)
        cluster.run_until(self._agreed, seconds=RECOVERY)

    def _snapshots_arrive(self, message: Message) -> bool:
        """Tell the leader of each snapshot that it went well, as a driver must."""
        if message.type is MessageType.SNAPSHOT:
            sender = self.cluster.members[message.sender]
            if sender.up is not None:
                sender.raft.report_snapshot(message.to, arrived=True)
        return False

    def _settled(self) -> bool:
        """A leader that takes proposals, with all of its log applied."""
        leader = self.cluster.leader
        if not leader:
            return False
        raft = self.cluster[leader]
        self._report_lost_snapshots(leader)
        done = raft.log.applied == raft.log.last_index and raft.leader == leader
        return done and not raft.status().transferring_to and self._quorum_follows(leader)

    def _report_lost_snapshots(self, leader: NodeID) -> None:
        for peer in self.cluster.members:
            # Snapshots that were lost before the mending.
            self.cluster[leader].report_snapshot(peer, arrived=False)

    def _quorum_follows(self, leader: NodeID) -> bool:
        following = {m.id: 1 for m in self.cluster.up if m.raft.leader == leader}
        return self.cluster[leader].configuration.agreed_index(following) > 0

    def _agreed(self) -> bool:
        """A proposal and a read go through, and every member applies the proposal."""
        if not self._settled():
            return False
        cluster, leader = self.cluster, self.cluster.leader
        try:
            index, token = cluster.propose(leader, b"done"), cluster.read(leader)
        except RaftRefusal:
            return False
        cluster.run(2 * cluster[leader].config.election_timeout)
        raft = cluster[leader]
        return token in cluster.members[leader].answered and all(
            cluster[node].log.applied >= index for node in raft.configuration.members
        )


def run_schedule(
    seed: int, voters: int, steps: int = STEPS, trace: Callable[[str], None] | None = None
) -> None:
    """Raises what `Schedule.run` does, with how to see it again."""
    try:
        Schedule(seed, voters, trace=trace).run(steps)
    except Exception as error:
        again = f"--seed {seed} --voters {voters} --steps {steps} --trace"
        error.add_note(f"again: python scripts/simulate_raft.py {again}")
        raise
