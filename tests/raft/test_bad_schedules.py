"""Schedules that broke someone: published ones, and those our own simulation found."""

from __future__ import annotations

import pytest

from actors.raft.errors import ConfChangeRefused
from actors.raft.types import (
    ConfChange,
    ConfChangeType,
    Entry,
    HardState,
    Message,
    MessageType,
    Role,
)
from tests.raft.cluster import Cluster

T = 1.0  # Config.election_timeout


def figure_8(*, up_to: str) -> tuple[Cluster, int]:
    """The cluster of thesis figure 3.7 as it is after step (b) or (c), and the index in question.

    The first entry of a term is the leader's own, empty; so S1's entry "two" has one before it.
    """
    cluster = Cluster(5)
    cluster.elect(1)
    # (a) S1 leads and replicates the entry to S2 only.
    cluster.partition({1, 2})
    two = cluster.propose(1, b"two")
    cluster.settle()
    # (b) S1 fails; S5 is elected by S3 and S4 and has another entry at that index.
    cluster.crash(1)
    cluster.partition({3, 4, 5})
    cluster.lose = lambda m: m.type is MessageType.APPEND
    cluster.elect(5)
    assert cluster[5].log.last_index == two
    cluster.crash(5)
    cluster.restart(1)
    cluster.heal()
    cluster.partition({1, 2, 3})
    if up_to == "b":
        return cluster, two
    # (c) S5 fails; S1 is elected.  Its old entry reaches S3, so a majority has it; the entry of
    # its new term reaches nobody.
    cluster.lose = lambda m: m.type is MessageType.APPEND
    cluster.elect(1)
    for node in (2, 3):
        log = cluster[1].log
        append = Message(MessageType.APPEND, node, 1, cluster[1].term, two - 1, commit=0)
        append.log_term = log.term(two - 1) or 0
        append.entries = log.slice(two, two, 999, 9)
        cluster.act(node, lambda raft, append=append: raft.step(append, cluster.now))
        cluster.settle()
    assert [cluster[node].log.term(two) for node in (1, 2, 3)] == [1, 1, 1]
    return cluster, two


def test_figure_8_an_old_entry_on_a_majority_may_still_be_overwritten():
    """Thesis figure 3.7 (d), figure 8 of the paper: why counting old entries commits nothing."""
    cluster, two = figure_8(up_to="c")
    assert cluster[1].log.committed < two, "a majority has it, and it is not committed"
    cluster.crash(1)
    cluster.restart(5)
    cluster.heal()
    cluster.elect(5)
    cluster.run(1.0)
    assert {cluster[node].log.term(two) for node in (2, 3, 4, 5)} == {2}
    assert cluster.applied_data(2) == []


def test_figure_8_once_an_entry_of_its_own_term_is_on_a_majority_the_old_one_is_safe():
    """Thesis figure 3.7 (e)."""
    cluster, two = figure_8(up_to="b")
    cluster.elect(1)
    assert cluster[1].log.committed > two
    cluster.crash(1)
    cluster.restart(5)
    cluster.heal()
    cluster.now += 2 * T
    cluster.act(5, lambda raft: raft.campaign(cluster.now))
    cluster.settle()
    assert cluster.leader != 5
    cluster.run_until(lambda: cluster.leader)
    assert [e.data for e in cluster[cluster.leader].log.slice(two, two, 999, 9)] == [b"two"]


def test_2015_two_leaders_each_with_a_single_server_change():
    """The bug Ongaro published in raft-dev in 2015: add in one term, remove in the next.

    S1 leads four members, appends "add 5" and is cut off before anyone has it.  S2 is elected,
    appends "remove 1" and reaches a majority of its own configuration.  If S1 now came back and
    its configuration counted, two disjoint majorities could decide.
    """
    cluster = Cluster(4, spares=[5])
    cluster.elect(1)
    cluster.run(0.2)
    cluster.partition({1, 5}, {2, 3, 4})
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.ADD_NODE, 5))
    cluster.settle()
    assert cluster[1].configuration.conf_state().voters == (1, 2, 3, 4), "not before it commits"
    # The correction: S2 may change nothing until an entry of its own term is committed.
    cluster.lose = lambda m: m.type is MessageType.APPEND_REPLY
    cluster.elect(2)
    with pytest.raises(ConfChangeRefused):
        cluster.propose_conf_change(2, ConfChange(ConfChangeType.REMOVE_NODE, 1))
    cluster.lose = lambda _: False
    cluster.run(0.3)
    cluster.propose_conf_change(2, ConfChange(ConfChangeType.REMOVE_NODE, 1))
    cluster.settle()
    assert cluster[2].configuration.conf_state().voters == (2, 3, 4)
    # S1 and S5 together decide nothing.
    cluster.run(5 * T)
    assert cluster[1].log.committed < cluster[1].log.last_index
    cluster.heal()
    cluster.run(5 * T)
    assert cluster[3].configuration.conf_state().voters == (2, 3, 4)


def test_a_stale_read_index_retry_is_not_answered_from_an_earlier_round():
    """A follower asks again for a read whose first answer is still under way (etcd #12680 ff.).

    The second asking must have a round of its own: confirmed by answers to heartbeats that were
    sent before it came in, it would miss what was committed in between.
    """
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.run(0.2)
    # The first read opens a round; the heartbeats arrive, their answers do not yet.
    cluster.read(2)
    for message in list(cluster.network):
        if message.type is MessageType.READ_INDEX:
            cluster.deliver(message)
    for message in list(cluster.network):
        cluster.deliver(message)
    answers = [m for m in cluster.network if m.type is MessageType.HEARTBEAT_REPLY]
    assert len(answers) == 4
    # Meanwhile a new leader commits something.
    cluster.network = []
    cluster.partition({1, 2}, {3, 4, 5})
    cluster.elect(3)
    cluster.propose(3, b"new")
    cluster.settle()
    # The follower, which hears only the old leader, asks again.
    second = cluster.read(2)
    cluster.settle()
    cluster.network += answers
    cluster.cut = set()
    for message in answers:
        cluster.deliver(message)
    cluster.partition({1, 2}, {3, 4, 5})
    cluster.settle()
    assert second not in cluster.members[2].answered


def test_answers_to_an_earlier_heartbeat_confirm_no_later_read():
    """The same within one leadership: each round has its own number."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.run(0.2)
    cluster.read(1)
    early = [m for m in cluster.network if m.type is MessageType.HEARTBEAT]
    cluster.network = []
    second = cluster.read(1)
    cluster.network = early
    cluster.settle()
    assert second not in cluster.members[1].answered
    cluster.run(0.2)
    assert second in cluster.members[1].answered, "every heartbeat carries the newest round"


def test_an_answer_from_before_a_restart_is_no_answer_to_a_read_after_it():
    """Tokens begin at random, so an earlier life's are not known."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.run(0.2)
    first = cluster.read(2)
    for _ in range(3):
        cluster.deliver_all()
    (reply,) = [m for m in cluster.network if m.type is MessageType.READ_INDEX_REPLY]
    cluster.network = []
    cluster.crash(2)
    cluster.restart(2)
    cluster.run(0.2)
    second = cluster.read(2)
    assert first != second
    cluster.network = [reply]
    cluster.deliver(reply)
    assert second not in cluster.members[2].answered


@pytest.mark.parametrize(("pre_vote", "check_quorum"), [(True, True), (False, True), (True, False)])
def test_a_removed_member_that_keeps_campaigning_disturbs_no_one(
    pre_vote: bool, check_quorum: bool
):
    """Thesis §4.2.3: a removed server does not learn of it, times out and asks for votes."""
    cluster = Cluster(4, pre_vote=pre_vote, check_quorum=check_quorum)
    cluster.elect(1)
    cluster.run(0.2)
    cluster.partition({1, 2, 3})
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.REMOVE_NODE, 4))
    cluster.run(0.2)
    term = cluster[1].term
    cluster.heal()
    cluster.run(60.0)
    assert cluster.leader == 1
    assert cluster[1].term == term
    assert cluster[4].configuration.is_voter(4), "it never learns of its removal from raft"


def test_a_removed_member_that_knows_never_campaigns():
    """It has applied its own removal."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.REMOVE_NODE, 3))
    cluster.settle()
    assert not cluster[3].configuration.is_voter(3)
    cluster.crash(1)
    cluster.crash(2)
    cluster.run(60.0)
    assert (cluster[3].role, cluster[3].term) == (Role.FOLLOWER, 1)


def test_check_quorum_stall_a_member_of_a_later_term_is_let_back_in():
    """Without pre-vote, check-quorum alone would keep it out for ever: its votes are ignored, and
    it ignores the leader.  It answers the leader with its term, which frees it (etcd #5468)."""
    cluster = Cluster(3, pre_vote=False)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.run(10.0)
    assert cluster[3].term > cluster[1].term
    cluster.heal()
    cluster.run(5 * T)
    leader = cluster.leader
    assert leader
    assert all(cluster[node].leader == leader for node in (1, 2, 3))


def test_check_quorum_and_pre_vote_stall_a_candidate_of_a_later_term_with_a_shorter_log():
    """Mixed logs and terms must not deadlock: who asks with an old term is told the new one.

    Found in etcd when pre-vote was switched on (etcd-io/raft, MsgPreVote of a lower term).
    """
    cluster = Cluster(2)
    disk = cluster.members[1].disk
    disk.hard_state = HardState(term=9)  # it campaigned a lot while it was cut off
    disk = cluster.members[2].disk
    disk.hard_state = HardState(term=2)
    disk.entries = [Entry(0, 2, 1, b"x")]
    for node in (1, 2):
        cluster.crash(node)
        cluster.restart(node)
    cluster.run_until(lambda: cluster.leader, seconds=10 * T)
    assert cluster.leader == 2
    assert cluster[2].term >= 10


def test_a_leader_that_can_send_but_not_receive_steps_down():
    """Half a broken link: without check-quorum its heartbeats would hold everyone for ever."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.cut = {(2, 1), (3, 1)}
    cluster.run_until(lambda: cluster.leader in (2, 3), seconds=8 * T)
    cluster.propose(cluster.leader, b"x")
    cluster.settle()
    assert cluster.applied_data(cluster.leader) == [b"x"]


def test_a_leader_that_can_receive_but_not_send_is_replaced():
    """The other half: its followers hear nothing, and elect another."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.cut = {(1, 2), (1, 3)}
    cluster.run_until(lambda: cluster.leader in (2, 3), seconds=8 * T)
    assert cluster[1].role is Role.FOLLOWER, "it hears of the later term"


def test_a_partial_partition_does_not_move_the_leadership_to_and_fro():
    """Cloudflare, 2 November 2020: one member does not hear the leader, the third hears both.

    Without pre-vote and leases the leadership moved for ever; nothing is won by it.
    """
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.cut = {(1, 3), (3, 1)}
    cluster.run(60.0)
    assert (cluster.leader, cluster[1].term) == (1, 1)
    index = cluster.propose(1, b"x")
    cluster.settle()
    assert cluster[1].log.committed == index


def test_pre_vote_livelock_two_members_that_ask_at_the_same_time_do_not_do_so_for_ever():
    """Each timeout is drawn anew, pre-candidates' too."""
    cluster = Cluster(2)
    cluster.partition()
    for node in (1, 2):
        cluster.act(node, lambda raft: raft.campaign(0.0))
    cluster.network = []
    cluster.heal()
    cluster.run_until(lambda: cluster.leader, seconds=10 * T)


def test_a_delayed_rejection_does_not_undo_what_was_acknowledged():
    """A rejection at or below `match` can only be old news; thesis §3.5."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.settle()
    before = cluster[1].status().peers[2]
    stale = Message(MessageType.APPEND_REPLY, 1, 2, term=1, index=1, reject=True, hint=0)
    cluster.act(1, lambda raft: raft.step(stale, cluster.now))
    assert cluster[1].status().peers[2] == before
    assert not cluster.network


def test_lost_appends_are_noticed_though_nothing_more_is_sent():
    """A full window of lost messages must not stop replication (etcd-io/raft, inflights)."""
    cluster = Cluster(3, max_inflight_messages=2)
    cluster.elect(1)
    cluster.lose = lambda m: m.type is MessageType.APPEND and m.to == 2
    for i in range(5):
        cluster.propose(1, b"%d" % i)
    cluster.settle()
    cluster.heal()
    cluster.run(0.5)
    assert cluster.log(2) == cluster.log(1)


def test_aba_a_late_answer_does_not_vouch_for_the_entry_that_replaced_the_written_one():
    """etcd-io/raft, testdata/async_storage_writes_append_aba_race.txt.

    Entries of term 1 are being written when a leader of term 2 replaces them, and one of term 3
    puts the same (term 1) entries back; the first write's answer must not count for the third.
    """
    cluster = Cluster(3, auto=False)

    def append(sender: int, term: int, entry: Entry) -> None:
        message = Message(MessageType.APPEND, 1, sender, term, 0, 0, entries=[entry])
        cluster.act(1, lambda raft: raft.step(message, 0.0))

    append(2, 1, Entry(0, 1, 1, b"one"))
    append(3, 2, Entry(0, 2, 1, b"two"))
    append(2, 3, Entry(0, 1, 1, b"one"))
    raft = cluster[1]
    cluster.write(1, 1)
    assert raft.log.stable == 0, "the log on disk is about to be overwritten by `two`"
    cluster.write(1, 1)
    assert raft.log.stable == 0
    cluster.write(1, 1)
    assert raft.log.stable == 1
    replies = [(m.to, m.term, m.index) for m in cluster.network]
    assert replies == [(2, 1, 1), (3, 2, 1), (2, 3, 1)], "each when its own write is done"


def test_a_leader_removed_from_two_leaves_the_other_able_to_lead():
    """Found by our simulation, seed 128/2: {1, 2} becomes {2}, and 1 steps down too early.

    2 has the change but does not know that it is committed, so it needs the vote of 1, whose log
    is longer: nobody is ever elected again.
    """
    cluster = Cluster(2)
    cluster.elect(1)
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.REMOVE_NODE, 1))
    assert cluster.refused(lambda: cluster.propose(1, b"later")), "its log stays no longer than 2's"
    # 2 acknowledges the entry; what would tell it of the commit is lost for a while.
    cluster.deliver_all()
    cluster.deliver_all()
    assert cluster[1].configuration.conf_state().voters == (2,)
    cluster.network = []
    old_news = Message(MessageType.APPEND_REPLY, 1, 2, term=cluster[1].term, index=2, commit=1)
    cluster.act(1, lambda raft: raft.step(old_news, cluster.now))
    assert cluster[1].role is Role.LEADER, "until 2 says that it knows"
    cluster.partition()
    cluster.run(10 * T)
    cluster.heal()
    cluster.run_until(lambda: cluster.leader == 2, seconds=10 * T)


def test_a_leader_removed_from_two_that_crashes_before_it_is_known_leaves_the_other_able_to_lead():
    """The same, worse: it votes for the one that stays, whose log ends where its own does."""
    cluster = Cluster(2)
    cluster.elect(1)
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.REMOVE_NODE, 1))
    cluster.deliver_all()
    cluster.deliver_all()
    cluster.network = []
    cluster.crash(1)
    cluster.restart(1)
    cluster.run_until(lambda: cluster.leader == 2, seconds=10 * T)


def test_a_removed_member_with_the_longer_log_tells_the_candidate_that_it_is_removed():
    """Found by our simulation, seed 200572/3; TiKV's raft-rs met it before (maybe_commit_by_vote).

    {1, 3} becomes {1}.  3 knows, and cannot lead; 1 has the change, does not know that it is
    committed, and needs the vote of 3, whose log is longer by what 1 sent and lost in a crash.
    """
    change = ConfChange(ConfChangeType.REMOVE_NODE, 3)
    entries = [Entry(0, 1, 1, b""), Entry(change.entry_type, 1, 2, change.marshal())]
    cluster = Cluster([1, 3])
    for node, more, commit in ((1, [], 1), (3, [Entry(0, 2, 3, b"lost")], 2)):
        disk = cluster.members[node].disk
        disk.entries = entries + more
        disk.hard_state = HardState(2, 1, commit)
        cluster.safety.committed = {1: 1, 2: 1}
        cluster.crash(node)
        cluster.restart(node)
    assert cluster[3].configuration.conf_state().voters == (1,)
    assert cluster[1].configuration.conf_state().voters == (1, 3)
    cluster.run_until(lambda: cluster.leader == 1, seconds=10 * T)


def test_a_commit_index_along_with_a_vote_counts_only_for_the_same_entry():
    """The candidate may have another entry there, which is about to be replaced."""
    cluster = Cluster(3)
    disk = cluster.members[1].disk
    disk.entries = [Entry(0, 1, 1, b""), Entry(0, 1, 2, b"other")]
    disk.hard_state = HardState(3)
    cluster.crash(1)
    cluster.restart(1)
    cluster.safety.committed = {1: 1}
    for commit, term in ((2, 3), (9, 1), (9, 0), (0, 0)):
        refusal = Message(MessageType.PRE_VOTE_REPLY, 1, 2, 3, commit=commit, hint=term)
        refusal.reject = True
        cluster.act(1, lambda raft, refusal=refusal: raft.step(refusal, 0.0))
        assert cluster[1].log.committed == 0
    refusal.commit, refusal.hint = 1, 1
    cluster.act(1, lambda raft: raft.step(refusal, 0.0))
    assert cluster[1].log.committed == 1


def test_a_change_takes_effect_only_when_its_commit_index_is_on_disk():
    """Else the one that stays could forget, in a crash, that it needs no vote of the removed."""
    cluster = Cluster(2, auto=False)
    cluster.now = 2 * T
    cluster.act(2, lambda raft: raft.campaign(cluster.now))
    for _ in range(10):
        for node in (1, 2):
            cluster.write(node)
            cluster.apply(node)
        cluster.deliver_all()
    assert cluster.leader == 2
    index = cluster.propose_conf_change(2, ConfChange(ConfChangeType.REMOVE_NODE, 1))
    cluster.write(2)
    cluster.deliver_all()
    cluster.write(1)
    cluster.deliver_all()
    assert cluster[2].log.committed == index
    cluster.apply(2)
    assert cluster[2].log.applied < index, "not yet"
    assert not [m for m in cluster.network if m.commit >= index], "nor is anyone told"
    cluster.write(2)
    cluster.apply(2)
    assert cluster[2].log.applied == index
    cluster.crash(2)
    cluster.restart(2)
    assert cluster[2].log.committed >= index


def test_a_crash_that_keeps_entries_and_loses_the_commit_index_keeps_all_changes_but_the_last():
    """A torn write may leave two changes in the log and a commit index before both.

    A leader appends a change only when it has applied the one before; so all but the last are
    committed, and a member that did not know could be two configurations behind the others.
    """
    cluster = Cluster(3)
    change = ConfChange(ConfChangeType.ADD_LEARNER, 4)
    disk = cluster.members[1].disk
    disk.entries = [
        Entry(0, 1, 1, b""),
        Entry(change.entry_type, 1, 2, change.marshal()),
        Entry(0, 1, 3, b""),
        Entry(change.entry_type, 1, 4, change.marshal()),
        Entry(0, 1, 5, b""),
    ]
    disk.hard_state = HardState(1, 0, 1)
    cluster.crash(1)
    cluster.auto = False
    cluster.restart(1)
    assert cluster[1].log.committed == 2
    assert not cluster[1].campaign(5.0), "not before it has applied the first"
    cluster.apply(1)
    assert cluster[1].configuration.conf_state().learners == (4,)
    assert cluster[1].campaign(5.0)


def test_a_member_does_not_campaign_with_a_configuration_it_knows_to_be_old():
    """etcd-io/raft: hup is refused while a committed change is not applied."""
    cluster = Cluster(3, auto=False)
    change = ConfChange(ConfChangeType.REMOVE_NODE, 3)
    append = Message(
        MessageType.APPEND,
        1,
        2,
        term=1,
        commit=1,
        entries=[Entry(change.entry_type, 1, 1, change.marshal())],
    )
    cluster.act(1, lambda raft: raft.step(append, 0.0))
    cluster.write(1)
    assert cluster[1].log.committed == 1
    assert not cluster[1].campaign(9.0)
    assert cluster[1].deadline == float("inf"), "and is not woken for nothing"
    cluster.apply(1)
    assert cluster[1].campaign(9.0)


def test_a_learner_that_was_promoted_without_knowing_it_votes():
    """etcd #7625: else the last voter alive could not be elected."""
    cluster = Cluster([1, 2], learners=[3])
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.propose_conf_change(1, ConfChange(ConfChangeType.ADD_NODE, 3))
    cluster.run(0.3)
    cluster.crash(1)
    cluster.heal()
    cluster.run_until(lambda: cluster.leader, seconds=10 * T)
    assert cluster.leader == 2


def test_entries_handed_out_before_a_snapshot_came_do_not_undo_its_configuration():
    """Found by our simulation, seed 253/1: appliers lag, and a snapshot overtakes them."""
    cluster = Cluster(3, spares=[4], auto=False)
    change = ConfChange(ConfChangeType.ADD_NODE, 4)
    append = Message(
        MessageType.APPEND,
        1,
        2,
        term=1,
        commit=1,
        entries=[Entry(change.entry_type, 1, 1, change.marshal())],
    )
    cluster.act(1, lambda raft: raft.step(append, 0.0))
    cluster.write(1)
    cluster.write(1)
    assert len(cluster.members[1].apply_queue) == 1
    snapshot = cluster.members[2].machine.snapshot()
    metadata = snapshot.metadata._replace(
        index=5, term=1, conf_state=snapshot.metadata.conf_state._replace(voters=(1, 2))
    )
    raft = cluster[1]
    message = Message(
        MessageType.SNAPSHOT, 1, 2, term=1, snapshot=snapshot._replace(metadata=metadata)
    )
    raft.step(message, 0.0)
    assert raft.apply_conf_change(change, 1, 0.0).voters == (1, 2)


def test_after_a_standstill_a_member_first_looks_at_what_it_was_sent():
    """SIGSTOP, or a paused machine: the silence was our own."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.run(0.5)
    cluster.now += 30.0
    cluster.act(2, lambda raft: raft.wake(cluster.now))
    assert cluster[2].role is Role.FOLLOWER
    assert cluster[2].deadline == pytest.approx(cluster.now + 0.1)
    cluster.act(1, lambda raft: raft.wake(cluster.now))
    assert cluster[1].role is Role.LEADER
    cluster.settle()
    cluster.run(10 * T)
    assert (cluster.leader, cluster[1].term) == (1, 1)


def test_a_standstill_excuses_only_once():
    """If then nothing comes the leader is gone indeed."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.crash(1)
    cluster.now += 30.0
    cluster.act(2, lambda raft: raft.wake(cluster.now))
    cluster.now += 30.0
    cluster.act(2, lambda raft: raft.wake(cluster.now))
    assert cluster[2].role is Role.PRE_CANDIDATE
