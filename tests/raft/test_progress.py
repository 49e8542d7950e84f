"""A follower as its leader sees it."""

from __future__ import annotations

import pytest

from actors.raft.progress import Inflights, Progress, ProgressState


def progress(next_index: int = 6) -> Progress:
    return Progress(next_index, Inflights(3, 100), recent_active=True)


def replicating(match: int = 5) -> Progress:
    follower = progress(match + 1)
    follower.acknowledged(match)
    follower.become_replicate()
    return follower


def test_a_probe_waits_for_its_answer():
    follower = progress()
    assert follower.may_send
    follower.sent(3, 30, 0)
    assert not follower.may_send
    assert follower.next == 6, "what was sent may not have been taken"
    assert follower.acknowledged(8)
    assert (follower.match, follower.next, follower.may_send) == (8, 9, True)


def test_replication_runs_ahead_of_the_answers_up_to_the_window():
    follower = replicating()
    for _ in range(3):
        assert not follower.inflights.full
        follower.sent(2, 20, 0)
    assert follower.next == 12
    assert follower.inflights.full
    follower.acknowledged(7)
    assert not follower.inflights.full
    assert (len(follower.inflights), follower.inflights.size_bytes) == (2, 40)


def test_the_window_is_limited_in_bytes_too():
    follower = replicating()
    follower.sent(1, 100, 0)
    assert follower.inflights.full


def test_one_acknowledgement_frees_all_before_it():
    follower = replicating()
    for _ in range(3):
        follower.sent(1, 10, 0)
    follower.acknowledged(8)
    assert (len(follower.inflights), follower.inflights.size_bytes) == (0, 0)


@pytest.mark.parametrize("index", [0, 4, 5])
def test_old_acknowledgements_are_no_news(index: int):
    follower = replicating()
    follower.sent(2, 20, 0)
    assert not follower.acknowledged(index)
    assert (follower.match, follower.next) == (5, 8)


def test_a_rejection_while_replicating_begins_to_probe_after_what_is_known():
    follower = replicating()
    follower.sent(4, 40, 0)
    assert follower.rejected(9, 7)
    assert (follower.state, follower.next) == (ProgressState.PROBE, 6)
    assert len(follower.inflights) == 0


@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_rejection_of_what_is_known_is_old(index: int):
    follower = replicating()
    follower.sent(4, 40, 0)
    assert not follower.rejected(index, 0)
    assert follower.state is ProgressState.REPLICATE


def test_a_rejected_probe_goes_back_to_the_hint_and_no_further_than_what_is_known():
    follower = progress(10)
    follower.sent(1, 1, 0)
    assert follower.rejected(9, 4)
    assert (follower.next, follower.may_send) == (5, True)
    follower.match = 3
    follower.sent(1, 1, 0)
    assert follower.rejected(4, 1)
    assert follower.next == 4


def test_a_hint_past_the_probe_still_moves_back():
    follower = progress(10)
    follower.sent(1, 1, 0)
    assert follower.rejected(9, 50)
    assert follower.next == 9


def test_a_rejection_of_an_earlier_probe_is_old():
    follower = progress(10)
    follower.sent(1, 1, 0)
    assert not follower.rejected(4, 1)
    assert (follower.next, follower.may_send) == (10, False)


def test_a_snapshot_stops_everything_until_it_has_arrived():
    follower = progress()
    follower.become_snapshot(20)
    assert not follower.may_send
    assert not follower.rejected(20, 1)
    follower.become_probe(paused=True)
    assert (follower.next, follower.may_send) == (21, False)


def test_a_snapshot_that_failed_is_followed_by_a_probe_of_what_was_known():
    follower = progress()
    follower.become_snapshot(20)
    follower.pending_snapshot = 0
    follower.become_probe(paused=True)
    assert follower.next == 1


def test_the_commit_index_sent_is_no_further_than_the_entries_sent():
    follower = replicating()
    follower.sent(2, 20, 100)
    assert follower.sent_commit == 7
    follower.sent(0, 0, 100)
    assert follower.sent_commit == 7
    follower.become_probe()
    assert follower.sent_commit == 5, "what was under way may be lost"
