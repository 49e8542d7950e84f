"""The state machine as its driver sees it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from actors.raft.config import Config
from actors.raft.errors import (
    ConfChangeRefused,
    NoLeader,
    RaftRefusal,
    TooManyReads,
    TransferRefused,
)
from actors.raft.progress import ProgressState
from actors.raft.raft import Raft
from actors.raft.ready import Ready, SoftState
from actors.raft.types import (
    ConfChange,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Role,
    SnapshotMetadata,
)
from tests.raft.cluster import Cluster
from wire.invariant import InvariantBroken


def single(**settings: object) -> Raft:
    """A member alone, not yet woken."""
    return Raft.restore(
        Config(node_id=1, **settings),  # type: ignore[arg-type]
        random.Random(1),
        100.0,
        snapshot=SnapshotMetadata(0, 0, ConfState((1,))),
    )


def do(raft: Raft, now: float = 100.0) -> list[Ready]:
    """Take and do everything that is ready, at once."""
    done = []
    while (ready := raft.ready()) is not None:
        done.append(ready)
        if ready.write is not None and ready.write.receipt is not None:
            raft.persisted(ready.write.receipt, now)
        if ready.committed:
            raft.applied(ready.committed[-1].index)
    return done


# A single member


def test_a_member_alone_elects_itself_without_waiting():
    raft = single()
    assert raft.deadline <= 100.0
    raft.wake(100.0)
    do(raft)
    assert raft.soft_state == SoftState(1, 1, Role.LEADER)
    assert raft.deadline == float("inf"), "nobody needs heartbeats"


def test_a_proposal_is_written_committed_and_handed_out_once():
    raft = single()
    raft.wake(100.0)
    do(raft)
    assert raft.propose([b"a", b"b"], 100.0) == 2
    first, second = do(raft)
    assert first.write is not None
    assert [e.data for e in first.write.entries] == [b"a", b"b"]
    assert not first.committed
    assert [(e.index, e.data) for e in second.committed] == [(2, b"a"), (3, b"b")]
    assert second.write is not None
    assert second.write == (None, None, [], HardState(1, 1, 3))


def test_nothing_is_ready_when_nothing_happened():
    raft = single()
    assert raft.ready() is None
    raft.wake(100.0)
    do(raft)
    assert raft.ready() is None


def test_several_batches_are_on_their_way_to_the_disk_at_once():
    raft = single()
    raft.wake(100.0)
    do(raft)
    receipts = []
    for data in (b"a", b"b", b"c"):
        raft.propose([data], 100.0)
        ready = raft.ready()
        assert ready is not None
        assert ready.write is not None
        receipts.append(ready.write.receipt)
    assert receipts == sorted(set(receipts))
    raft.persisted(receipts[1] or 0, 100.0)
    ready = raft.ready()
    assert ready is not None
    assert [e.data for e in ready.committed] == [b"a", b"b"]


def test_the_role_is_told_once_when_it_changes():
    raft = single()
    raft.wake(100.0)
    softs = [ready.soft for ready in do(raft) if ready.soft]
    assert softs == [SoftState(1, 0, Role.CANDIDATE), SoftState(1, 1, Role.LEADER)]


def test_what_is_handed_out_to_be_applied_is_limited():
    raft = single(max_apply_bytes=10)
    raft.wake(100.0)
    do(raft)
    raft.propose([b"x" * 6] * 5, 100.0)
    ready = raft.ready()
    assert ready is not None
    assert ready.write is not None
    raft.persisted(ready.write.receipt or 0, 100.0)
    handed_out = []
    while (ready := raft.ready()) is not None:
        handed_out.append(len(ready.committed))
        if not ready.committed:
            break
    assert sum(handed_out) == 2, "the second may go over the limit, the third may not"
    raft.applied(3)
    ready = raft.ready()
    assert ready is not None
    assert [e.index for e in ready.committed] == [4]


# Restarts


def test_a_restarted_member_goes_on_where_its_state_machine_is():
    raft = Raft.restore(
        Config(node_id=1),
        random.Random(1),
        0.0,
        hard_state=HardState(3, 2, 6),
        snapshot=SnapshotMetadata(4, 2),
        entries=[Entry(0, 2, 5, b"e"), Entry(0, 3, 6, b"f"), Entry(0, 3, 7, b"g")],
        applied=5,
        conf_state=ConfState((1, 2, 3), (9,)),
    )
    status = raft.status()
    assert (status.term, status.vote, status.commit, status.applied) == (3, 2, 6, 5)
    assert (status.first_index, status.last_index) == (5, 7)
    assert status.conf_state == ConfState((1, 2, 3), (9,))
    ready = raft.ready()
    assert ready is not None
    assert ready.write is None
    assert [e.data for e in ready.committed] == [b"f"]


def test_what_is_applied_was_committed():
    """The state machine may be ahead of the commit index on disk, which is written lazily."""
    raft = Raft.restore(
        Config(node_id=1),
        random.Random(1),
        0.0,
        hard_state=HardState(3, 2, 1),
        entries=[Entry(0, 3, i, b"") for i in range(1, 5)],
        applied=3,
        conf_state=ConfState((1, 2, 3)),
    )
    assert raft.log.committed == 3


def test_a_commit_index_past_the_log_is_a_broken_disk():
    with pytest.raises(InvariantBroken):
        Raft.restore(Config(node_id=1), random.Random(1), 0.0, hard_state=HardState(3, 2, 9))


def test_a_cluster_is_bootstrapped_by_entries_that_add_its_members():
    """As etcd does: the first entries of every log are the same changes, committed."""
    changes = [ConfChange(ConfChangeType.ADD_NODE, node) for node in (1, 2, 3)]
    raft = Raft.restore(
        Config(node_id=1),
        random.Random(1),
        0.0,
        hard_state=HardState(1, 0, 3),
        entries=[Entry(c.entry_type, 1, i, c.marshal()) for i, c in enumerate(changes, 1)],
    )
    assert raft.deadline == float("inf"), "no member yet"
    ready = raft.ready()
    assert ready is not None
    for entry, change in zip(ready.committed, changes, strict=True):
        raft.apply_conf_change(change, entry.index, 0.0)
    raft.applied(3)
    assert raft.configuration.conf_state().voters == (1, 2, 3)
    assert raft.deadline < 2.0


# Time


def test_a_follower_wakes_between_one_and_two_election_timeouts():
    cluster = Cluster(3, election_timeout=5.0, heartbeat_interval=0.5)
    assert all(5.0 <= cluster[node].deadline < 10.0 for node in (1, 2, 3))


def test_waking_before_the_deadline_does_nothing():
    cluster = Cluster(3)
    before = cluster[1].status()
    cluster[1].wake(cluster[1].deadline - 0.001)
    assert cluster[1].status() == before
    assert cluster[1].ready() is None


def test_a_first_election_can_be_hastened():
    cluster = Cluster(3)
    cluster[1].hasten_election(0.0, 0.1)
    assert cluster[1].deadline == 0.1
    cluster.run(0.2)
    assert cluster.leader == 1


def test_a_member_that_cannot_be_elected_is_not_woken():
    cluster = Cluster([1], learners=[2], spares=[3])
    assert cluster[2].deadline == cluster[3].deadline == float("inf")


def test_each_member_has_its_own_chance():
    deadlines = {Cluster(3, seed=seed)[1].deadline for seed in range(50)}
    assert len(deadlines) == 50


# Requests


def test_forwarded_proposals_arrive_in_order_with_their_types():
    cluster = Cluster(3, spares=[4])
    cluster.elect(1)
    cluster.propose(2, b"a", b"b")
    cluster.propose_conf_change(2, ConfChange(ConfChangeType.ADD_NODE, 4))
    cluster.settle()
    types = [e.type for e in cluster[3].log.slice(2, 4, 9999, 9)]
    assert types == [EntryType.NORMAL, EntryType.NORMAL, EntryType.CONF_CHANGE]
    assert cluster[1].configuration.is_voter(4)


def test_a_forwarded_change_that_is_not_legal_is_dropped():
    cluster = Cluster(3)
    cluster.elect(1)
    last = cluster[1].log.last_index
    cluster.propose_conf_change(2, ConfChangeV2())
    broken = Message(
        MessageType.PROPOSE, 1, 2, entries=[Entry(EntryType.CONF_CHANGE, 0, 0, b"\xff")]
    )
    cluster.act(1, lambda raft: raft.step(broken, cluster.now))
    cluster.settle()
    assert cluster[1].log.last_index == last


def test_a_change_that_would_leave_no_voter_is_refused():
    raft = single()
    raft.wake(100.0)
    do(raft)
    with pytest.raises(ConfChangeRefused):
        raft.propose_conf_change(ConfChange(ConfChangeType.REMOVE_NODE, 1), 100.0)


def test_a_change_the_driver_refuses_has_no_effect_and_lets_the_next_come():
    cluster = Cluster(3, spares=[4])
    cluster.elect(1)
    raft = cluster[1]
    raft.propose_conf_change(ConfChange(ConfChangeType.ADD_NODE, 4), cluster.now)
    nothing = ConfChange(ConfChangeType.ADD_NODE, 0)
    before = raft.configuration
    raft.apply_conf_change(nothing, 2, cluster.now)
    assert raft.configuration == before


REQUESTS: dict[str, Callable[[Raft], object]] = {
    "read": lambda raft: raft.read_index(0.0),
    "propose": lambda raft: raft.propose([b"x"], 0.0),
    "change": lambda raft: raft.propose_conf_change(ConfChange(ConfChangeType.REMOVE_NODE, 2), 0.0),
    "transfer": lambda raft: raft.transfer_leadership(2, 0.0),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("campaigning", [False, True])
def test_without_a_leader_every_request_is_refused(name: str, campaigning: bool):
    cluster = Cluster(3)
    if campaigning:
        cluster.act(1, lambda raft: raft.campaign(0.0))
    with pytest.raises((NoLeader, TransferRefused)):
        REQUESTS[name](cluster[1])
    assert cluster[1].ready() is None


@pytest.mark.parametrize("to", [4, 9])
def test_the_leadership_goes_to_a_voter_or_nowhere(to: int):
    cluster = Cluster(3, learners=[4])
    cluster.elect(1)
    with pytest.raises(TransferRefused):
        cluster.transfer(1, to)


def test_a_transfer_to_the_leader_is_done_already():
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.transfer(1, 1)
    assert cluster[1].status().transferring_to == 0
    cluster.propose(1, b"x")


def test_a_transfer_to_another_replaces_the_one_under_way():
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.transfer(1, 3)
    cluster.transfer(1, 2)
    cluster.settle()
    assert cluster.leader == 2


def test_reads_that_wait_are_limited():
    cluster = Cluster(3, max_waiting_reads=2)
    cluster.elect(1)
    cluster.partition({1})
    cluster.read(1)
    cluster.read(1)
    with pytest.raises(TooManyReads):
        cluster.read(1)


def test_every_read_has_its_own_token():
    cluster = Cluster(3)
    cluster.elect(1)
    assert len({cluster.read(node) for node in (1, 2, 3) for _ in range(5)}) == 15


# Peers


def test_an_unreachable_follower_is_probed_when_it_answers_a_heartbeat():
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.act(1, lambda raft: raft.report_unreachable(3))
    assert cluster[1].status().peers[3].state is ProgressState.PROBE
    cluster.propose(1, b"a")
    assert not [m for m in cluster.network if m.to == 3 and m.entries], "no more is wasted on it"
    cluster.heal()
    cluster.run(0.3)
    assert cluster.applied_data(3) == [b"a"]
    assert cluster[1].status().peers[3].state is ProgressState.REPLICATE


def need_a_snapshot() -> Cluster:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.propose(1, b"a", b"b")
    cluster.settle()
    cluster.compact(1)
    cluster.heal()
    return cluster


def test_a_snapshot_that_failed_is_tried_again_at_the_next_heartbeat():
    cluster = need_a_snapshot()
    cluster.lose = lambda m: m.type is MessageType.SNAPSHOT
    cluster.run(0.3)
    assert cluster[1].status().peers[3].state is ProgressState.SNAPSHOT
    cluster.act(1, lambda raft: raft.report_snapshot(3, arrived=False))
    cluster.heal()
    assert cluster[1].status().peers[3].state is ProgressState.PROBE
    cluster.run(0.3)
    assert cluster[3].log.offset == 3


def test_a_follower_that_caught_up_otherwise_needs_no_snapshot_any_more():
    cluster = need_a_snapshot()
    cluster.lose = lambda m: m.type is MessageType.SNAPSHOT
    cluster.run(0.3)
    ack = Message(MessageType.APPEND_REPLY, 1, 3, term=1, index=3)
    cluster[1].step(ack, cluster.now)
    assert cluster[1].status().peers[3].state is ProgressState.REPLICATE


def test_no_snapshot_is_made_for_one_that_does_not_answer():
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.crash(3)
    cluster.run(3.0)
    cluster.propose(1, b"a")
    cluster.settle()
    cluster.act(1, lambda raft: raft.report_unreachable(3))
    cluster.compact(1)
    snapshots = []
    cluster.trace = lambda line: snapshots.append(line) if "SNAPSHOT" in line else None
    cluster.run(5.0)
    assert not snapshots


def test_a_large_backlog_goes_in_messages_of_limited_size():
    cluster = Cluster(3, max_message_bytes=100, max_message_entries=20)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.propose(1, *[b"x" * 9] * 50, *[b"y" * 300] * 2, *[b""] * 100)
    cluster.settle()
    sizes = []

    def look(message: Message) -> bool:
        if message.type is MessageType.APPEND and message.to == 3 and message.entries:
            sizes.append((len(message.entries), sum(len(e.data) for e in message.entries)))
        return False

    cluster.heal()
    cluster.lose = look
    cluster.run(1.0)
    assert cluster.log(3) == cluster.log(1)
    assert all(count <= 20 for count, _ in sizes)
    assert all(size <= 100 or count == 1 for count, size in sizes)
    assert len(sizes) >= 10


def test_messages_for_others_and_of_strangers_are_ignored():
    cluster = Cluster(3)
    cluster.elect(1)
    before = cluster[1].status()
    for message in (
        Message(MessageType.APPEND_REPLY, 2, 3, term=99),
        Message(MessageType.APPEND_REPLY, 1, 77, term=1, index=1),
        Message(MessageType.HEARTBEAT_REPLY, 1, 77, term=1, context=1),
        Message(MessageType.READ_INDEX, 1, 77, context=1),
        Message(MessageType.APPEND_REPLY, 1, 3, term=1, index=9999),
    ):
        cluster.act(1, lambda raft, message=message: raft.step(message, cluster.now))
    after = cluster[1].status()
    assert (after.term, after.role, after.commit) == (before.term, before.role, before.commit)
    assert after.peers[3].match == before.peers[3].match
    assert not cluster.network


def test_any_message_in_any_role_is_survived():
    """What a confused peer may send must not end the member, as long as it claims no commit."""
    rng = random.Random(3)
    for _ in range(2000):
        cluster = Cluster(3)
        match rng.randrange(3):
            case 0:
                cluster.elect(1)
            case 1:
                cluster.act(1, lambda raft: raft.campaign(0.0))
        for _ in range(5):
            message = Message(
                rng.choice(list(MessageType)),
                1,
                rng.choice([2, 3, 9]),
                term=rng.randint(0, 4),
                index=rng.randint(0, 3) and rng.randint(5, 9),
                log_term=rng.randint(0, 4),
                reject=rng.random() < 0.5,
                hint=rng.randint(0, 9),
                context=rng.randint(0, 4),
            )
            try:
                cluster[1].step(message, cluster.now)
            except RaftRefusal as error:
                raise AssertionError("a message is never refused") from error
            cluster[1].ready()


def test_the_status_of_a_leader_shows_its_peers():
    cluster = Cluster(3, learners=[4])
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster.run(0.2)
    status = cluster[1].status()
    assert sorted(status.peers) == [1, 2, 3, 4]
    assert status.peers[4].learner
    assert not status.peers[2].learner
    for peer in status.peers.values():
        assert (peer.match, peer.next, peer.state) == (2, 3, ProgressState.REPLICATE)
        assert peer.active
    assert cluster[2].status().peers == {}
    assert cluster[2].status().leader == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"node_id": 0},
        {"node_id": 1, "heartbeat_interval": 1.0, "election_timeout": 1.0},
        {"node_id": 1, "heartbeat_interval": 0.0},
        {"node_id": 1, "max_inflight_bytes": 10, "max_message_bytes": 11},
        {"node_id": 1, "max_inflight_messages": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]):
    with pytest.raises(InvariantBroken):
        Config(**settings)  # type: ignore[arg-type]
