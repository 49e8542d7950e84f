"""One test per claim of the Raft thesis that the core must make true.

Source: Diego Ongaro, "Consensus: Bridging Theory and Practice", 2014; section in each docstring.
"""

from __future__ import annotations

import random

import pytest

from actors.raft.errors import (
    ConfChangeRefused,
    NoLeader,
    ProposalDropped,
    TooManyUncommitted,
)
from actors.raft.types import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    Entry,
    HardState,
    Message,
    MessageType,
    Role,
)
from tests.raft.cluster import Cluster
from wire.invariant import InvariantBroken

T = 1.0  # Config.election_timeout


def vote(sender: int, *, term: int, index: int = 0, log_term: int = 0, to: int = 1) -> Message:
    return Message(MessageType.VOTE, to, sender, term, index, log_term)


def sent(cluster: Cluster, kind: MessageType, sender: int = 0) -> list[Message]:
    return [m for m in cluster.network if m.type is kind and (not sender or m.sender == sender)]


# 3.3 Terms


def test_a_member_that_sees_a_later_term_takes_it_over():
    """§3.3: if one server's current term is smaller than the other's, it updates it."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.act(1, lambda raft: raft.step(vote(2, term=9), cluster.now))
    assert cluster[1].term == 1, "a leader's own lease protects it from candidates"
    reply = Message(MessageType.APPEND_REPLY, 1, 2, term=9)
    cluster.act(1, lambda raft: raft.step(reply, cluster.now))
    assert (cluster[1].term, cluster[1].role) == (9, Role.FOLLOWER)


def test_a_candidate_that_sees_a_later_term_becomes_a_follower():
    """§3.3: a candidate that discovers its term is out of date reverts to follower."""
    cluster = Cluster(3, pre_vote=False)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    assert cluster[1].role is Role.CANDIDATE
    reply = Message(MessageType.VOTE_REPLY, 1, 2, term=5, reject=True)
    cluster.act(1, lambda raft: raft.step(reply, 0.0))
    assert (cluster[1].term, cluster[1].role) == (5, Role.FOLLOWER)


@pytest.mark.parametrize(
    "kind", [MessageType.VOTE, MessageType.VOTE_REPLY, MessageType.HEARTBEAT_REPLY]
)
def test_a_message_of_an_earlier_term_changes_nothing(kind: MessageType):
    """§3.3: a server that receives a request with a stale term number rejects it."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.elect(2)
    before = cluster[2].status()
    stale = Message(kind, 2, 3, term=1, context=1)
    cluster.act(2, lambda raft: raft.step(stale, cluster.now))
    assert cluster[2].status() == before
    assert cluster.network == []


def test_a_leader_of_an_earlier_term_is_told_the_new_one():
    """§3.3: current terms are exchanged whenever servers communicate."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.elect(2)
    stale = Message(MessageType.HEARTBEAT, 2, 1, term=1)
    cluster.act(2, lambda raft: raft.step(stale, cluster.now))
    (reply,) = sent(cluster, MessageType.APPEND_REPLY)
    assert (reply.to, reply.term) == (1, 2)


# 3.4 Leader election


def test_a_member_starts_as_a_follower_of_no_one():
    """§3.4: when servers start up, they begin as followers."""
    raft = Cluster(3)[1]
    assert (raft.role, raft.leader, raft.term) == (Role.FOLLOWER, 0, 0)


def test_a_follower_stays_one_while_it_hears_a_leader():
    """§3.4: a server remains in follower state as long as it receives valid RPCs."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.run(100 * T)
    assert cluster.leader == 1
    assert cluster[1].term == 1


def test_a_follower_that_hears_no_leader_campaigns_within_two_timeouts():
    """§3.4: if a follower receives no communication it begins an election."""
    cluster = Cluster(3, pre_vote=False)
    cluster.run(0.99 * T)
    assert {member.raft.role for member in cluster.up} == {Role.FOLLOWER}
    cluster.partition()
    cluster.run(1.01 * T)
    assert {member.raft.role for member in cluster.up} == {Role.CANDIDATE}


def test_a_candidate_raises_its_term_and_votes_for_itself():
    """§3.4: a follower increments its current term, transitions, votes for itself."""
    cluster = Cluster(3, pre_vote=False)
    cluster.partition()
    cluster.act(1, lambda raft: raft.campaign(0.0))
    assert cluster.members[1].disk.hard_state == HardState(term=1, vote=1)
    assert {m.to for m in sent(cluster, MessageType.VOTE)} == {2, 3}


@pytest.mark.parametrize(
    ("voters", "grants", "role"),
    [
        (1, 0, Role.LEADER),
        (3, 0, Role.CANDIDATE),
        (3, 1, Role.LEADER),
        (4, 1, Role.CANDIDATE),
        (4, 2, Role.LEADER),
        (5, 1, Role.CANDIDATE),
        (5, 2, Role.LEADER),
    ],
)
def test_a_candidate_wins_with_votes_of_a_majority(voters: int, grants: int, role: Role):
    """§3.4: a candidate wins an election if it receives votes from a majority."""
    cluster = Cluster(voters, pre_vote=False)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    for voter in range(2, 2 + grants):
        grant = Message(MessageType.VOTE_REPLY, 1, voter, term=1)
        cluster.act(1, lambda raft, grant=grant: raft.step(grant, 0.0))
    assert cluster[1].role is role


def test_a_vote_counts_once_however_often_it_comes():
    """§3.4: each server will vote for at most one candidate in a given term."""
    cluster = Cluster(5, pre_vote=False)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    grant = Message(MessageType.VOTE_REPLY, 1, 2, term=1)
    for _ in range(5):
        cluster.act(1, lambda raft: raft.step(grant, 0.0))
    assert cluster[1].role is Role.CANDIDATE


def test_a_candidate_that_too_many_refuse_gives_up():
    """§3.4: three outcomes; refused by a majority it can no longer win."""
    cluster = Cluster(3, pre_vote=False)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    for voter in (2, 3):
        refusal = Message(MessageType.VOTE_REPLY, 1, voter, term=1, reject=True)
        cluster.act(1, lambda raft, refusal=refusal: raft.step(refusal, 0.0))
    assert cluster[1].role is Role.FOLLOWER


def test_a_member_votes_for_one_candidate_in_a_term():
    """§3.4: on a first-come-first-served basis."""
    cluster = Cluster(3)
    cluster.act(1, lambda raft: raft.step(vote(2, term=1), 0.0))
    cluster.act(1, lambda raft: raft.step(vote(3, term=1), 0.0))
    cluster.act(1, lambda raft: raft.step(vote(2, term=1), 0.0))
    replies = [(m.to, m.reject) for m in sent(cluster, MessageType.VOTE_REPLY)]
    assert replies == [(2, False), (3, True), (2, False)]


def test_a_candidate_that_hears_the_leader_of_its_term_follows_it():
    """§3.4: if the term is at least as large, the candidate recognizes the leader."""
    cluster = Cluster(3, pre_vote=False)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    heartbeat = Message(MessageType.HEARTBEAT, 1, 2, term=1)
    cluster.act(1, lambda raft: raft.step(heartbeat, 0.0))
    assert (cluster[1].role, cluster[1].leader) == (Role.FOLLOWER, 2)


def test_a_split_vote_is_resolved_by_another_election():
    """§3.4: each candidate will time out and start a new election."""
    cluster = Cluster(4, pre_vote=False)
    for node in (1, 2):
        cluster.act(node, lambda raft: raft.campaign(0.0))
    # 3 votes for 1 and 4 for 2: nobody wins term 1.
    cluster.lose = lambda m: m.type is MessageType.VOTE and (m.sender, m.to) not in {(1, 3), (2, 4)}
    cluster.settle()
    assert cluster.leader == 0
    cluster.heal()
    cluster.run_until(lambda: cluster.leader, seconds=10 * T)
    assert cluster[cluster.leader].term > 1


def test_election_timeouts_are_drawn_anew_from_one_to_two_times_the_base():
    """§3.4: election timeouts are chosen randomly from a fixed interval."""
    cluster = Cluster(3, pre_vote=False)
    cluster.partition()
    waits = []
    for _ in range(200):
        before = cluster.now
        cluster.now = cluster[1].deadline
        cluster.act(1, lambda raft: raft.wake(cluster.now))
        waits.append(cluster.now - before)
    assert min(waits) >= T
    assert max(waits) < 2 * T
    assert len({round(wait, 6) for wait in waits}) > 190


def test_a_leader_sends_heartbeats_at_once_and_then_regularly():
    """§3.4: it sends heartbeat messages to all of the other servers."""
    cluster = Cluster(3)
    cluster.elect(1)
    beats = []
    cluster.trace = lambda line: beats.append(cluster.now) if "1 -> 2 HEARTBEAT" in line else None
    start = cluster.now
    cluster.run(1.01)
    assert [round(at - start, 6) for at in beats] == [round(0.1 * i, 6) for i in range(1, 11)]


# 3.5 Log replication


def test_an_entry_is_committed_once_a_majority_has_it_on_disk():
    """§3.5: a log entry is committed once the leader has replicated it on a majority."""
    cluster = Cluster(5, auto=False)
    elect_by_hand(cluster, 1)
    cluster.partition({1, 2, 3})
    index = cluster.propose(1, b"x")
    cluster.deliver_all()
    cluster.write(1)
    cluster.write(2)
    cluster.deliver_all()
    assert cluster[1].log.committed == index - 1, "two of five"
    cluster.write(3)
    cluster.deliver_all()
    assert cluster[1].log.committed == index


def elect_by_hand(cluster: Cluster, node: int) -> None:
    """An election in a cluster whose disks and appliers lag."""
    cluster.now += 2 * T
    cluster.act(node, lambda raft: raft.campaign(cluster.now))
    catch_up(cluster)
    assert cluster.leader == node


def catch_up(cluster: Cluster) -> None:
    """Everything under way gets done."""
    for _ in range(30):
        for member in cluster.up:
            cluster.write(member.id)
            cluster.apply(member.id)
        cluster.deliver_all()
    assert not cluster.network


def test_the_entries_of_a_follower_may_commit_before_the_leaders_own_are_on_disk():
    """§10.2.1: the leader may write to its own disk in parallel with replicating."""
    cluster = Cluster(3, auto=False)
    elect_by_hand(cluster, 1)
    index = cluster.propose(1, b"x")
    assert sent(cluster, MessageType.APPEND, 1), "sent before it is written"
    for _ in range(3):
        cluster.deliver_all()
        cluster.write(2)
        cluster.write(3)
    assert cluster[1].log.committed == index
    cluster.apply(1)
    assert cluster[1].log.applied == index - 1, "applied only when it is on our own disk"
    cluster.write(1)
    cluster.apply(1)
    assert cluster[1].log.applied == index


def test_followers_learn_what_is_committed_and_apply_it_in_order():
    """§3.5: once a follower learns that a log entry is committed, it applies it."""
    cluster = Cluster(3)
    cluster.elect(1)
    datas = [b"%d" % i for i in range(20)]
    for data in datas:
        cluster.propose(1, data)
    cluster.settle()
    assert all(cluster.applied_data(node) == datas for node in (1, 2, 3))


def test_a_batch_is_appended_in_order_and_without_gaps():
    """§3.5: the leader appends commands to its log as new entries."""
    cluster = Cluster(3)
    cluster.elect(1)
    first = cluster.propose(1, b"a", b"b", b"c")
    cluster.settle()
    assert first == 2
    assert [e.data for e in cluster[3].log.slice(first, first + 2, 99, 99)] == [b"a", b"b", b"c"]


def test_a_follower_refuses_entries_that_do_not_continue_its_log():
    """§3.5: if the follower does not find the preceding entry, it refuses the new ones."""
    cluster = Cluster(3)
    append = Message(
        MessageType.APPEND, 1, 2, term=1, index=5, log_term=1, entries=[Entry(0, 1, 6, b"x")]
    )
    cluster.act(1, lambda raft: raft.step(append, 0.0))
    (reply,) = sent(cluster, MessageType.APPEND_REPLY)
    assert (reply.reject, reply.index, reply.hint) == (True, 5, 0)
    assert cluster[1].log.last_index == 0


# Thesis figure 3.6: the leader of term 8, and followers (a) to (f).
FIGURE_3_6 = {
    "leader": "1 1 1 4 4 5 5 6 6 6",
    "a": "1 1 1 4 4 5 5 6 6",
    "b": "1 1 1 4",
    "c": "1 1 1 4 4 5 5 6 6 6 6",
    "d": "1 1 1 4 4 5 5 6 6 6 7 7",
    "e": "1 1 1 4 4 4 4",
    "f": "1 1 1 2 2 2 3 3 3 3 3",
}


def give_log(cluster: Cluster, node: int, terms: str, *, commit: int = 0) -> None:
    """Restart `node` with a log of these terms on disk."""
    disk = cluster.members[node].disk
    disk.entries = [
        Entry(0, int(term), i, b"%d/%d" % (int(term), i)) for i, term in enumerate(terms.split(), 1)
    ]
    disk.hard_state = HardState(7, 0, commit)
    cluster.crash(node)
    cluster.restart(node)


@pytest.mark.parametrize("follower", list("abcdef"))
def test_a_leader_makes_every_log_like_its_own(follower: str):
    """§3.5, figure 3.6: missing entries are added, extraneous ones overwritten."""
    # Three members, so that the third's log can equal the leader's and elect it.
    cluster = Cluster(3)
    give_log(cluster, 1, FIGURE_3_6["leader"])
    give_log(cluster, 2, FIGURE_3_6["leader"])
    give_log(cluster, 3, FIGURE_3_6[follower])
    cluster.partition({1, 2})
    cluster.elect(1)
    cluster.heal()
    cluster.run(1.0)
    assert cluster.log(3) == cluster.log(1) == FIGURE_3_6["leader"] + " 8"


def test_conflicts_are_skipped_a_term_at_a_time():
    """§3.5, end: one AppendEntries per term with conflicts, rather than one per entry."""
    cluster = Cluster(3)
    give_log(cluster, 1, "1 " + "3 " * 50 + "5 " * 100)
    give_log(cluster, 2, "1 " + "3 " * 50 + "5 " * 100)
    give_log(cluster, 3, "1 " + "2 " * 120)
    cluster.partition({1, 2})
    cluster.elect(1)
    cluster.heal()
    rejections = []
    cluster.trace = lambda line: rejections.append(line) if ", no " in line else None
    cluster.run(1.0)
    assert cluster.log(3) == cluster.log(1)
    assert len(rejections) <= 3


def test_a_follower_skips_its_own_later_terms_at_once():
    """§3.5, end, seen from the follower: the tail it has too much is of later terms."""
    cluster = Cluster(3)
    give_log(cluster, 1, "1 3 3 " + "3 " * 60 + "7")
    give_log(cluster, 2, "1 3 3 " + "3 " * 60 + "7")
    give_log(cluster, 3, "1 3 3 " + "4 " * 20 + "5 " * 20 + "6 " * 22)
    cluster.partition({1, 2})
    cluster.elect(1)
    cluster.heal()
    rejections = []
    cluster.trace = lambda line: rejections.append(line) if ", no " in line else None
    cluster.run(1.0)
    assert cluster.log(3) == cluster.log(1)
    assert len(rejections) <= 3


def test_an_old_append_does_not_shorten_the_log():
    """§3.5: only if an existing entry conflicts are it and all that follow deleted."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.settle()
    old = Message(
        MessageType.APPEND, 2, 1, term=1, index=1, log_term=1, entries=[Entry(0, 1, 2, b"a")]
    )
    cluster.propose(1, b"b", b"c")
    cluster.settle()
    cluster.act(2, lambda raft: raft.step(old, cluster.now))
    assert cluster.log(2) == "1 1 1 1"


def test_a_leader_never_overwrites_its_own_log():
    """§3.5, Leader Append-Only: asserted for every schedule in Safety; here by hand."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    append = Message(
        MessageType.APPEND, 1, 2, term=1, index=0, log_term=0, entries=[Entry(0, 1, 1, b"zzz")]
    )
    cluster.act(1, lambda raft: raft.step(append, cluster.now))
    assert [e.data for e in cluster[1].log.slice(1, 2, 99, 99)] == [b"", b"a"]


# 3.6 Safety


@pytest.mark.parametrize(
    ("log", "granted"),
    [("1 1 2", True), ("1 1 2 2", True), ("1 1 3", True), ("3", True), ("1 1 1 1", False),
     ("1 1", False), ("1 1 1 1 1 1", False), ("1 2", False)],
)  # fmt: skip
def test_a_vote_goes_only_to_a_log_that_is_as_up_to_date(log: str, granted: bool):
    """§3.6.1: later last term wins; of the same last term, the longer log."""
    cluster = Cluster(3)
    give_log(cluster, 1, "1 1 2")
    terms = log.split()
    request = vote(2, term=8, index=len(terms), log_term=int(terms[-1]))
    cluster.act(1, lambda raft: raft.step(request, 0.0))
    (reply,) = sent(cluster, MessageType.VOTE_REPLY)
    assert reply.reject is not granted


def test_entries_of_earlier_terms_are_not_committed_by_counting():
    """§3.6.2: only log entries from the leader's current term are."""
    cluster = Cluster(3, auto=False)
    for node in (1, 2, 3):
        give_log(cluster, node, "1 1")
    cluster.now = 2 * T
    cluster.act(1, lambda raft: raft.campaign(cluster.now))
    while cluster.leader != 1:
        for node in (1, 2, 3):
            cluster.write(node)
        cluster.deliver_all()
    # 2 acknowledges the old entries only: the new one never leaves the leader.
    ack = Message(MessageType.APPEND_REPLY, 1, 2, term=cluster[1].term, index=2)
    cluster.write(1)
    cluster.act(1, lambda raft: raft.step(ack, cluster.now))
    assert cluster[1].log.committed == 0
    ack = Message(MessageType.APPEND_REPLY, 1, 3, term=cluster[1].term, index=3)
    cluster.members[3].disk.entries = list(cluster.members[1].disk.entries)
    cluster.act(1, lambda raft: raft.step(ack, cluster.now))
    assert cluster[1].log.committed == 3


def test_a_new_leader_appends_an_entry_of_its_term_at_once():
    """§3.6.2, §6.4: a no-op, so that what earlier terms left is committed soon."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster.elect(2)
    assert cluster.log(2) == "1 1 2"
    assert cluster[2].log.committed == 3


# 3.8 Persisted state


def test_a_vote_is_on_disk_before_it_is_given():
    """§3.8: this is necessary to prevent the server from voting twice in the same term."""
    cluster = Cluster(3, auto=False)
    cluster.act(1, lambda raft: raft.step(vote(2, term=1), 0.0))
    assert not sent(cluster, MessageType.VOTE_REPLY)
    cluster.crash(1)
    cluster.restart(1)
    cluster.act(1, lambda raft: raft.step(vote(3, term=1), 0.0))
    cluster.write(1)
    assert [(m.to, m.reject) for m in sent(cluster, MessageType.VOTE_REPLY)] == [(3, False)]
    cluster.crash(1)
    cluster.restart(1)
    cluster.act(1, lambda raft: raft.step(vote(2, term=1), 0.0))
    catch_up_disk(cluster, 1)
    assert [(m.to, m.reject) for m in sent(cluster, MessageType.VOTE_REPLY)][1:] == [(2, True)]


def catch_up_disk(cluster: Cluster, node: int) -> None:
    while cluster.members[node].disk.writing:
        cluster.write(node)


def test_a_candidate_asks_for_votes_only_once_its_term_and_log_are_on_disk():
    """§3.8: else, after a crash, it would campaign in the same term with another log."""
    cluster = Cluster(3, auto=False, pre_vote=False)
    append = Message(
        MessageType.APPEND, 1, 2, term=1, index=0, log_term=0, entries=[Entry(0, 1, 1, b"x")]
    )
    cluster.act(1, lambda raft: raft.step(append, 0.0))
    cluster.act(1, lambda raft: raft.campaign(5.0))
    assert not sent(cluster, MessageType.VOTE)
    cluster.write(1, 1)
    assert not sent(cluster, MessageType.VOTE), "the entry is on disk, the candidacy is not"
    cluster.write(1)
    assert {m.index for m in sent(cluster, MessageType.VOTE)} == {1}


def test_entries_are_on_disk_before_they_are_acknowledged():
    """§3.8: new log entries are persisted before they count towards commitment."""
    cluster = Cluster(3, auto=False)
    append = Message(
        MessageType.APPEND, 1, 2, term=1, index=0, log_term=0, entries=[Entry(0, 1, 1, b"x")]
    )
    cluster.act(1, lambda raft: raft.step(append, 0.0))
    assert not sent(cluster, MessageType.APPEND_REPLY)
    cluster.write(1)
    assert [m.index for m in sent(cluster, MessageType.APPEND_REPLY)] == [1]


def test_a_leader_counts_its_own_entries_only_once_they_are_on_disk():
    """§3.8, §10.2.1: its own disk is one of the majority, not more."""
    cluster = Cluster(1, auto=False)
    cluster.act(1, lambda raft: raft.wake(0.0))
    assert cluster.leader == 0, "its own vote is not on disk"
    cluster.write(1)
    assert cluster.leader == 1
    assert cluster[1].log.committed == 0
    cluster.write(1)
    assert cluster[1].log.committed == 1


def test_term_vote_and_log_survive_a_restart():
    """§3.8: Raft servers must persist enough to survive server restarts safely."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    before = [(cluster[n].term, cluster[n].vote, cluster.log(n)) for n in (1, 2, 3)]
    for node in (1, 2, 3):
        cluster.crash(node)
        cluster.restart(node)
    assert [(cluster[n].term, cluster[n].vote, cluster.log(n)) for n in (1, 2, 3)] == before


def test_commit_and_applied_indexes_may_be_lost():
    """§3.8: the commit index can safely be reinitialized to zero on a restart."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    for node in (1, 2, 3):
        disk = cluster.members[node].disk
        disk.hard_state = disk.hard_state._replace(commit=0)
        cluster.crash(node)
        cluster.restart(node)
        assert cluster[node].log.committed == 0
    cluster.run_until(lambda: cluster.leader)
    cluster.run(1.0)
    assert [cluster.applied_data(node) for node in (1, 2, 3)] == [[b"x"]] * 3


# 3.9 Timing, 3.10 leadership transfer


def test_the_cluster_survives_its_leader():
    """§3.9: leaders are elected as long as a majority can talk within timeouts."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster.crash(1)
    cluster.run_until(lambda: cluster.leader, seconds=5 * T)
    cluster.propose(cluster.leader, b"y")
    cluster.settle()
    assert cluster.applied_data(cluster.leader) == [b"x", b"y"]


def test_the_leadership_passes_to_whom_the_leader_chooses():
    """§3.10: the prior leader sends TimeoutNow; no election timeout is waited for."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.transfer(1, 3)
    cluster.settle()
    assert cluster.leader == 3
    assert cluster[3].term == 2


def test_a_transfer_first_brings_the_target_up_to_date():
    """§3.10: the prior leader updates the target's log before it sends TimeoutNow."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.propose(1, b"x", b"y")
    cluster.settle()
    cluster.heal()
    cluster.transfer(1, 3)
    assert not sent(cluster, MessageType.TIMEOUT_NOW)
    cluster.run(0.5)
    assert cluster.leader == 3
    assert cluster.log(3) == "1 1 1 2"


def test_a_leader_that_hands_over_takes_no_proposals():
    """§3.10: the prior leader stops accepting new client requests."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.lose = lambda message: message.to == 3
    cluster.transfer(1, 3)
    with pytest.raises(ProposalDropped):
        cluster.propose(1, b"x")


def test_a_transfer_that_does_not_come_about_is_given_up_after_a_timeout():
    """§3.10: after about an election timeout the prior leader resumes."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.transfer(1, 3)
    cluster.run(0.99 * T)
    assert cluster.refused(lambda: cluster.propose(1, b"x"))
    cluster.run(0.02 * T)
    assert cluster.propose(1, b"x") == 2
    cluster.settle()
    assert cluster.applied_data(2) == [b"x"]


def test_a_transfer_is_not_held_up_by_leases_or_pre_votes():
    """§3.10, §4.2.3: a special flag tells that the leader permits the disruption."""
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.run(0.35)  # everyone has just heard the leader
    pre_votes = []
    cluster.trace = lambda line: pre_votes.append(line) if "PRE-VOTE" in line else None
    cluster.transfer(1, 4)
    cluster.settle()
    assert cluster.leader == 4
    assert not pre_votes


def test_a_follower_passes_the_wish_for_a_transfer_on():
    """§3.10: any member may be asked; the leader does it."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.transfer(2, 3)
    cluster.settle()
    assert cluster.leader == 3


# 4 Membership


def add(node: int) -> ConfChange:
    return ConfChange(ConfChangeType.ADD_NODE, node)


def remove(node: int) -> ConfChange:
    return ConfChange(ConfChangeType.REMOVE_NODE, node)


def add_learner(node: int) -> ConfChange:
    return ConfChange(ConfChangeType.ADD_LEARNER, node)


def test_voters_are_added_and_removed_one_at_a_time():
    """§4.1: single-server changes."""
    cluster = Cluster(1, spares=[2, 3])
    cluster.run(0.1)
    cluster.propose_conf_change(1, add(2))
    cluster.settle()
    cluster.propose_conf_change(1, add(3))
    cluster.settle()
    assert cluster[3].configuration.conf_state().voters == (1, 2, 3)
    cluster.propose_conf_change(1, remove(2))
    cluster.run(1.0)
    assert cluster[3].configuration.conf_state().voters == (1, 3)


def test_a_second_change_waits_for_the_first():
    """§4.1: a leader does not begin a change before the previous has committed."""
    cluster = Cluster(3, spares=[4, 5])
    cluster.elect(1)
    cluster.partition({1})
    cluster.propose_conf_change(1, add(4))
    with pytest.raises(ConfChangeRefused):
        cluster.propose_conf_change(1, add(5))


def test_two_voters_do_not_change_in_a_single_step():
    """§4.1, figure 4.3: majorities of configurations that far apart need not overlap."""
    cluster = Cluster(3, spares=[4, 5])
    cluster.elect(1)
    index = cluster.propose_conf_change(
        1,
        ConfChangeV2(
            (
                ConfChangeSingle(ConfChangeType.ADD_NODE, 4),
                ConfChangeSingle(ConfChangeType.ADD_NODE, 5),
            )
        ),
    )
    cluster.settle()
    # It becomes two entries: into a joint configuration, and out of it.
    assert cluster[1].log.last_index == index + 1
    assert cluster[1].configuration.conf_state().voters == (1, 2, 3, 4, 5)


def test_a_new_leader_changes_nothing_before_its_own_first_entry_is_applied():
    """§4.1 and the correction of 2015: not before an entry of its term is committed."""
    cluster = Cluster(3, spares=[4])
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster.lose = lambda m: m.type is MessageType.APPEND_REPLY and m.term == 2
    cluster.elect(2)
    assert cluster[2].log.applied == 2, "everything it inherited"
    with pytest.raises(ConfChangeRefused):
        cluster.propose_conf_change(2, add(4))
    cluster.heal()
    cluster.run(0.3)
    assert cluster.propose_conf_change(2, add(4)) == 4


def test_a_new_member_catches_up_as_a_learner_before_it_counts():
    """§4.2.1: it does not count towards majorities while it catches up."""
    cluster = Cluster(1, spares=[2])
    cluster.run(0.1)
    cluster.propose_conf_change(1, add_learner(2))
    cluster.partition({1})
    index = cluster.propose(1, b"x")
    assert cluster[1].log.committed == index, "committed without the learner"
    cluster.heal()
    cluster.run(0.5)
    assert cluster.applied_data(2) == [b"x"]
    cluster.propose_conf_change(1, add(2))
    cluster.settle()
    cluster.partition({1})
    cluster.propose(1, b"y")
    assert cluster[1].log.committed < cluster[1].log.last_index, "now two are needed"


def test_a_learner_never_campaigns():
    """§4.2.1: a non-voting server starts no elections."""
    cluster = Cluster([1], learners=[2])
    cluster.run(1.0)
    cluster.crash(1)
    cluster.run(20 * T)
    assert (cluster[2].role, cluster[2].term) == (Role.FOLLOWER, 1)
    assert not cluster[2].campaign(cluster.now)


def test_a_removed_leader_manages_the_cluster_until_the_change_is_known_then_steps_down():
    """§4.2.2: a leader that is removed steps down once the new configuration is committed."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose_conf_change(1, remove(1))
    cluster.settle()
    assert cluster[1].role is Role.FOLLOWER
    assert cluster.leader in (2, 3), "it hands over: no election timeout is lost"
    cluster.propose(cluster.leader, b"x")
    cluster.settle()
    assert cluster.applied_data(2) == cluster.applied_data(3) == [b"x"]
    cluster.run(20 * T)
    assert cluster[1].role is Role.FOLLOWER


def test_a_removed_leader_does_not_count_itself_towards_majorities():
    """§4.2.2: there is a period when it manages a cluster that does not include itself."""
    cluster = Cluster(3)
    cluster.elect(1)
    index = cluster.propose_conf_change(1, remove(1))
    cluster.settle()
    # Whoever leads now needs both of the remaining.
    leader = cluster.leader
    cluster.partition({1, leader})
    cluster.propose(leader, b"x")
    cluster.settle()
    assert cluster[leader].log.committed < cluster[leader].log.last_index
    assert cluster[leader].log.committed >= index


def test_joint_consensus_needs_both_majorities():
    """§4.3: agreement requires majorities of the old and the new configuration."""
    cluster = Cluster(3, spares=[4, 5, 6])
    cluster.elect(1)
    change = ConfChangeV2(
        tuple(ConfChangeSingle(ConfChangeType.REMOVE_NODE, node) for node in (1, 2, 3))
        + tuple(ConfChangeSingle(ConfChangeType.ADD_NODE, node) for node in (4, 5, 6)),
        ConfChangeTransition.JOINT_EXPLICIT,
    )
    cluster.propose_conf_change(1, change)
    cluster.settle()
    assert cluster[1].configuration.joint
    for group in ({1, 2, 3}, {1, 4, 5, 6}):
        cluster.partition(group)
        index = cluster.propose(1, b"x")
        cluster.settle()
        assert cluster[1].log.committed < index
    cluster.partition({1, 2, 4, 5})
    cluster.run(0.3)
    assert cluster[1].log.committed == cluster[1].log.last_index


@pytest.mark.parametrize(
    ("alive", "elected"),
    [({1, 2, 3}, False), ({4, 5, 6}, False), ({1, 4, 5, 6}, False), ({1, 2, 4, 5}, True)],
)
def test_a_joint_configuration_elects_only_with_both_majorities(alive: set[int], elected: bool):
    """§4.3: for elections as well as for commitment."""
    cluster = Cluster(3, spares=[4, 5, 6])
    cluster.elect(1)
    change = ConfChangeV2(
        tuple(ConfChangeSingle(ConfChangeType.REMOVE_NODE, node) for node in (1, 2, 3))
        + tuple(ConfChangeSingle(ConfChangeType.ADD_NODE, node) for node in (4, 5, 6)),
        ConfChangeTransition.JOINT_EXPLICIT,
    )
    cluster.propose_conf_change(1, change)
    cluster.run(0.5)
    assert all(cluster[node].configuration.joint for node in range(1, 7))
    for node in range(1, 7):
        cluster.crash(node)
    for node in alive:
        cluster.restart(node)
    cluster.run(10 * T)
    assert bool(cluster.leader) is elected


def test_a_joint_configuration_is_left_by_itself_or_when_asked():
    """§4.3: once C-old,new is committed, the leader may create C-new."""
    implicit = Cluster(3, spares=[4])
    implicit.elect(1)
    changes = (
        ConfChangeSingle(ConfChangeType.ADD_NODE, 4),
        ConfChangeSingle(ConfChangeType.REMOVE_NODE, 3),
    )
    implicit.propose_conf_change(1, ConfChangeV2(changes))
    implicit.run(0.5)
    assert implicit[1].configuration.conf_state().voters == (1, 2, 4)
    assert not implicit[1].configuration.joint

    explicit = Cluster(3, spares=[4])
    explicit.elect(1)
    explicit.propose_conf_change(1, ConfChangeV2(changes, ConfChangeTransition.JOINT_EXPLICIT))
    explicit.run(0.5)
    assert explicit[1].configuration.joint
    explicit.propose_conf_change(1, ConfChangeV2())
    explicit.run(0.5)
    assert explicit[1].configuration.conf_state().voters == (1, 2, 4)


def test_a_new_leader_leaves_the_joint_configuration_its_predecessor_entered():
    """§4.3: a leader can be elected in the middle of a change and completes it."""
    cluster = Cluster(3, spares=[4])
    cluster.elect(1)
    changes = (
        ConfChangeSingle(ConfChangeType.ADD_NODE, 4),
        ConfChangeSingle(ConfChangeType.REMOVE_NODE, 3),
    )
    index = cluster.propose_conf_change(1, ConfChangeV2(changes))
    # The entry is committed everywhere; the leader dies before the next.
    while cluster[2].log.applied < index:
        cluster.deliver(cluster.network[0])
    cluster.crash(1)
    assert cluster[2].configuration.joint
    cluster.run_until(lambda: cluster.leader and not cluster[cluster.leader].configuration.joint)
    assert cluster[cluster.leader].configuration.conf_state().voters == (1, 2, 4)


def test_who_hears_a_leader_ignores_candidates():
    """§4.2.3: within the minimum election timeout of hearing from a current leader."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.run(0.05)
    before = cluster[2].status()
    cluster.act(2, lambda raft: raft.step(vote(3, term=9, index=99, log_term=9, to=2), cluster.now))
    assert cluster[2].status() == before
    assert not cluster.network


# 5 Log compaction


def test_a_follower_that_needs_compacted_entries_gets_a_snapshot():
    """§5.1.1: the leader sends snapshots to followers that lag behind."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.propose(1, *[b"%d" % i for i in range(10)])
    cluster.settle()
    cluster.compact(1)
    cluster.heal()
    cluster.run(0.5)
    assert cluster[3].log.offset == cluster[1].log.offset > 0
    cluster.propose(1, b"more")
    cluster.settle()
    assert cluster.applied_data(3) == [b"more"]
    assert cluster.members[3].machine == cluster.members[1].machine


def test_a_snapshot_of_what_is_already_here_changes_nothing():
    """§5.1.1: a retransmission, or by mistake; entries following it are retained."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.settle()
    snapshot = cluster.members[1].machine.snapshot()
    metadata = snapshot.metadata._replace(index=2)
    message = Message(
        MessageType.SNAPSHOT, 2, 1, term=1, snapshot=snapshot._replace(metadata=metadata)
    )
    cluster.act(2, lambda raft: raft.step(message, cluster.now))
    assert cluster.log(2) == "1 1 1 1"
    assert cluster[2].log.offset == 0


def test_a_snapshot_carries_the_configuration():
    """§5.1: the latest configuration as of the last included index."""
    cluster = Cluster(3, spares=[4])
    cluster.elect(1)
    cluster.partition({1, 2, 4})
    cluster.propose_conf_change(1, add(4))
    cluster.settle()
    cluster.compact(1)
    cluster.heal()
    cluster.run(0.5)
    assert cluster[3].configuration.conf_state().voters == (1, 2, 3, 4)
    cluster.crash(3)
    cluster.restart(3)
    assert cluster[3].configuration.conf_state().voters == (1, 2, 3, 4)


# 6 Client interaction


def test_a_follower_sends_proposals_to_the_leader():
    """§6.2: a server that is not the leader proxies the request to it."""
    cluster = Cluster(3)
    cluster.elect(1)
    assert cluster.propose(3, b"x", b"y") == 0
    cluster.settle()
    assert cluster.applied_data(2) == [b"x", b"y"]


def test_no_one_takes_proposals_without_a_leader():
    """§6.2: there is no one to send them to."""
    cluster = Cluster(3)
    with pytest.raises(NoLeader):
        cluster.propose(1, b"x")
    cluster.act(1, lambda raft: raft.campaign(0.0))
    with pytest.raises(NoLeader):
        cluster.propose(1, b"x")


def test_a_leader_that_hears_no_quorum_steps_down_within_two_timeouts():
    """§6.2: a leader steps down if an election timeout elapses without a round."""
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.partition({1, 2}, {3, 4, 5})
    cluster.run(2.01 * T)
    assert cluster[1].role is not Role.LEADER


def test_a_leader_that_hears_a_quorum_stays():
    """§6.2: of five it may lose two."""
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.partition({1, 2, 3}, {4, 5})
    cluster.run(30 * T)
    assert cluster.leader == 1
    assert cluster[1].term == 1


def test_a_read_is_answered_after_a_round_of_heartbeats_without_a_log_entry():
    """§6.4: ReadIndex."""
    cluster = Cluster(3)
    cluster.elect(1)
    index = cluster.propose(1, b"x")
    cluster.settle()
    for node in (1, 2, 3):
        token = cluster.read(node)
        cluster.settle()
        assert cluster.members[node].answered[token] == index
    assert cluster[1].log.last_index == index


def test_a_read_is_not_answered_by_a_leader_that_was_deposed():
    """§6.4: the leader must make sure it has not been superseded unknowingly."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1}, {2, 3})
    cluster.elect(2)
    cluster.propose(2, b"x")
    cluster.settle()
    assert cluster[1].role is Role.LEADER, "it does not know yet"
    token = cluster.read(1)
    cluster.run(0.5)
    cluster.heal()
    cluster.run(2 * T)
    assert token not in cluster.members[1].answered


def test_a_new_leader_answers_reads_only_when_it_has_committed_in_its_term():
    """§6.4: before, it may not know which entries are committed."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster.lose = lambda m: m.type is MessageType.APPEND_REPLY and m.term == 2
    cluster.elect(2)
    token = cluster.read(2)
    cluster.run(0.3)
    assert token not in cluster.members[2].answered
    cluster.heal()
    cluster.run(0.3)
    assert cluster.members[2].answered[token] >= 3


def test_a_single_voter_does_not_answer_reads_from_an_old_commit_index_either():
    """§6.4: after a restart its commit index may be behind what it once acknowledged."""
    cluster = Cluster(1)
    cluster.run(0.1)
    cluster.propose(1, b"x")
    disk = cluster.members[1].disk
    disk.hard_state = disk.hard_state._replace(commit=1)
    cluster.crash(1)
    cluster.auto = False
    cluster.restart(1)
    cluster.act(1, lambda raft: raft.wake(cluster.now))
    cluster.write(1, 1)
    assert cluster.leader == 1
    assert cluster[1].log.committed == 1
    token = cluster.read(1)
    assert token not in cluster.members[1].answered
    cluster.write(1)
    assert cluster.members[1].answered[token] == 3


# 9.6 Pre-vote


def test_a_member_that_was_cut_off_does_not_raise_the_term():
    """§9.6: a partitioned server's term does not grow."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.partition({1, 2})
    cluster.run(60.0)
    assert (cluster[3].role, cluster[3].term) == (Role.PRE_CANDIDATE, 1)
    cluster.heal()
    cluster.run(3 * T)
    assert (cluster.leader, cluster[1].term) == (1, 1)


def test_a_pre_vote_changes_no_ones_term_or_vote():
    """§9.6: a candidate only asks whether others would be willing."""
    cluster = Cluster(3)
    before = [cluster[node].status() for node in (2, 3)]
    cluster.lose = lambda m: m.type is MessageType.PRE_VOTE_REPLY
    cluster.act(1, lambda raft: raft.campaign(0.0))
    cluster.settle()
    assert [cluster[node].status() for node in (2, 3)] == before
    assert cluster[1].term == 0


def test_a_pre_vote_is_won_by_a_majority_and_then_the_election_begins():
    """§9.6: a candidate only increments its term if it would win."""
    cluster = Cluster(3)
    cluster.act(1, lambda raft: raft.campaign(0.0))
    assert cluster[1].role is Role.PRE_CANDIDATE
    cluster.deliver_all()
    cluster.deliver_all()
    assert (cluster[1].role, cluster[1].term) == (Role.CANDIDATE, 1)


@pytest.mark.parametrize("log", ["1", "1 1 1 1 1"])
def test_a_pre_vote_is_refused_to_a_log_that_is_behind(log: str):
    """§9.6: the others grant it if the candidate's log is sufficiently up to date."""
    cluster = Cluster(3)
    give_log(cluster, 1, log)
    give_log(cluster, 2, "1 2")
    give_log(cluster, 3, "1 2")
    cluster.act(1, lambda raft: raft.campaign(0.0))
    cluster.settle()
    assert (cluster[1].role, cluster[1].term) == (Role.FOLLOWER, 7)


# 10.2.1 Pipelining, and limits of ours


def test_a_leader_sends_ahead_of_the_answers():
    """§10.2.1: pipelining; nextIndex moves when entries are sent, not when acknowledged."""
    cluster = Cluster(3)
    cluster.elect(1)
    for i in range(5):
        cluster.propose(1, b"%d" % i)
    appends = [m for m in sent(cluster, MessageType.APPEND, 1) if m.to == 2]
    assert [m.index for m in appends] == [1, 2, 3, 4, 5]


def test_a_follower_copes_with_appends_in_any_order():
    """§10.2.1: reordered appends are refused and sent again."""
    for seed in range(20):
        cluster = Cluster(3)
        cluster.elect(1)
        for i in range(8):
            cluster.propose(1, b"%d" % i)
        random.Random(seed).shuffle(cluster.network)
        cluster.run(0.5)
        assert cluster.applied_data(3) == [b"%d" % i for i in range(8)]


def test_an_uncommitted_tail_is_limited():
    """A leader without a quorum must not fill its memory."""
    cluster = Cluster(3, max_uncommitted_bytes=10)
    cluster.elect(1)
    cluster.partition({1})
    cluster.propose(1, b"12345678")
    with pytest.raises(TooManyUncommitted):
        cluster.propose(1, b"123")
    cluster.heal()
    cluster.run(0.5)
    cluster.propose(1, b"123")
    assert cluster.propose(1, b"x" * 3) == 4


def test_one_proposal_of_any_size_is_taken_when_nothing_is_uncommitted():
    """Otherwise a large one never could be."""
    cluster = Cluster(1, max_uncommitted_bytes=10)
    cluster.run(0.1)
    assert cluster.propose(1, b"x" * 1000) == 2


def test_terms_never_fall_and_committed_entries_never_change():
    """§3.6.3: what contradicts a committed entry is a defect somewhere; the member ends."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"x")
    cluster.settle()
    cluster[2].log.committed = 2
    with pytest.raises(InvariantBroken):
        cluster[2].log.merge(0, 0, [Entry(0, 9, 1, b"other")])
