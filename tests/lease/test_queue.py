"""The lease queue: who runs out when, in the eyes of the primary lessor."""

from __future__ import annotations

import random

import pytest

from actors.lease.queue import (
    CHECKPOINT_BATCH,
    EXPIRIES_PER_SECOND_PROMOTED,
    EXPIRIES_PER_WINDOW,
    EXPIRY_WINDOW,
    REVOKE_RETRY,
    LeaseQueue,
)
from actors.lease.schedule import NEVER, SWEEP_FROM
from actors.lease.table import LeaseChanges
from wire.errors import LeaseNotFound, NotPrimaryLessor


def grant(queue: LeaseQueue, lease_id: int, ttl: int, now: float) -> None:
    queue.change(LeaseChanges(granted={lease_id: ttl}), now)


def revoke(queue: LeaseQueue, lease_id: int, now: float) -> None:
    queue.change(LeaseChanges(revoked={lease_id}), now)


def checkpoint(queue: LeaseQueue, lease_id: int, remaining_ttl: int, now: float) -> None:
    queue.change(LeaseChanges(checkpointed={lease_id: remaining_ttl}), now)


def primary(**options: float) -> LeaseQueue:
    queue = LeaseQueue(**options)
    queue.promote(0.0, 0.0)
    return queue


def test_a_lease_is_due_when_its_ttl_is_over_and_not_before():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)

    assert queue.next_look == 10.0
    assert queue.due(now=9.999) == []
    assert queue.due(now=10.0) == [7]


def test_a_renewed_lease_outlives_its_first_deadline():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    assert queue.renew(7, now=6.0) == 10

    assert queue.due(now=10.0) == []
    assert queue.next_look == 16.0
    assert queue.due(now=16.0) == [7]


def test_leases_come_due_soonest_first():
    queue = primary()
    for lease_id, ttl in ((1, 30), (2, 10), (3, 20)):
        grant(queue, lease_id, ttl, now=0.0)
    assert queue.due(now=40.0) == [2, 3, 1]


def test_an_unanswered_revoke_is_asked_for_again_only_after_the_retry_time():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    assert queue.due(now=10.0) == [7]
    assert queue.next_look == 10.0 + REVOKE_RETRY
    assert queue.due(now=10.0 + REVOKE_RETRY - 0.001) == []
    assert queue.due(now=10.0 + REVOKE_RETRY) == [7]


def test_a_revoked_lease_is_never_due():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    revoke(queue, 7, now=1.0)
    assert queue.next_look == NEVER
    assert queue.due(now=100.0) == []
    with pytest.raises(LeaseNotFound):
        queue.renew(7, now=2.0)


def test_a_lease_granted_again_has_nothing_of_the_old_one():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    queue.change(LeaseChanges(revoked={7}, granted={7: 50}), now=5.0)
    assert queue.due(now=10.0) == []
    assert queue.due(now=55.0) == [7]


def test_a_lease_that_has_run_out_is_not_renewed_before_the_log_has_decided():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    assert not queue.has_run_out(7, now=9.0)
    assert queue.has_run_out(7, now=10.0)


def test_expiries_are_limited_to_a_number_per_window():
    queue = primary()
    for lease_id in range(1, 2 * EXPIRIES_PER_WINDOW + 2):
        grant(queue, lease_id, ttl=10, now=0.0)

    first = queue.due(now=10.0)
    assert first == list(range(1, EXPIRIES_PER_WINDOW + 1))
    assert queue.next_look == 10.0 + EXPIRY_WINDOW
    assert queue.due(now=10.4) == []
    second = queue.due(now=10.5)
    assert len(second) == EXPIRIES_PER_WINDOW
    assert queue.due(now=11.0) == [2 * EXPIRIES_PER_WINDOW + 1]


def test_what_is_left_is_in_whole_seconds_rounded_towards_zero():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    assert queue.remaining(7, now=0.0) == (10, 10)
    assert queue.remaining(7, now=0.1) == (9, 10)
    assert queue.remaining(7, now=10.5) == (0, 10)
    assert queue.remaining(7, now=12.5) == (-2, 10)


def test_leases_are_listed_soonest_first_and_by_grant_where_none_runs_out():
    queue = LeaseQueue()
    for lease_id, ttl in ((1, 30), (2, 10), (3, 20)):
        grant(queue, lease_id, ttl, now=0.0)
    assert queue.leases() == [1, 2, 3]
    queue.promote(0.0, 0.0)
    assert queue.leases() == [2, 3, 1]


def test_off_leadership_nothing_runs_out_and_nobody_is_answered():
    queue = LeaseQueue()
    grant(queue, 7, ttl=10, now=0.0)
    assert queue.next_look == NEVER
    assert queue.due(now=1e12) == []
    for ask in (queue.renew, queue.remaining, queue.has_run_out):
        with pytest.raises(NotPrimaryLessor):
            ask(7, 1.0)


def test_a_promotion_gives_every_lease_its_ttl_and_an_election_more():
    queue = LeaseQueue()
    grant(queue, 7, ttl=10, now=0.0)
    queue.promote(now=100.0, extend=1.0)
    assert queue.due(now=110.9) == []
    assert queue.due(now=111.0) == [7]


def test_a_promotion_gives_a_checkpointed_lease_what_was_left_of_it():
    queue = LeaseQueue()
    queue.load([(7, 1000, 40), (8, 1000, 0)])
    queue.promote(now=100.0, extend=1.0)
    assert queue.due(now=141.0) == [7]
    assert queue.due(now=1101.0) == [7, 8]


def test_a_demotion_forgets_every_deadline():
    queue = primary()
    grant(queue, 7, ttl=10, now=0.0)
    queue.demote()
    assert queue.due(now=1e12) == []
    queue.promote(now=20.0, extend=0.0)
    assert queue.due(now=29.9) == []
    assert queue.due(now=30.0) == [7]


def test_many_leases_promoted_at_once_run_out_one_after_the_other_and_none_too_early():
    queue = LeaseQueue()
    queue.load((lease_id, 10 if lease_id % 2 else 11, 0) for lease_id in range(1, 3001))
    queue.promote(now=0.0, extend=0.0)

    expired: list[tuple[float, int]] = []
    now = queue.next_look
    while len(expired) < 3000:
        due = queue.due(now)
        expired += [(now, lease_id) for lease_id in due]
        queue.change(LeaseChanges(revoked=set(due)), now)
        now = queue.next_look
    for time, lease_id in expired:
        assert time >= (10 if lease_id % 2 else 11)
    for at in range(9, 16):
        within = sum(at <= time < at + 1 for time, _ in expired)
        assert within <= EXPIRIES_PER_SECOND_PROMOTED + 1


def test_few_leases_promoted_at_once_are_not_spread():
    queue = LeaseQueue()
    queue.load((lease_id, 10, 0) for lease_id in range(1, 400))
    queue.promote(now=0.0, extend=0.0)
    assert len(queue.due(now=10.0)) == 399


def test_leases_granted_and_revoked_for_ever_leave_nothing_behind():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 1, ttl=5, now=0.0)  # keeps the dead from being on top
    for lease_id in range(2, 10_000):
        grant(queue, lease_id, ttl=9_000_000_000, now=0.0)
        revoke(queue, lease_id, now=0.0)
    assert len(queue._filed) <= 2 * SWEEP_FROM
    assert len(queue._checkpoints) <= 2 * SWEEP_FROM


def test_a_long_lease_is_checkpointed_every_interval_with_what_is_left():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=1000, now=0.0)
    assert queue.next_checkpoint == 300.0
    assert queue.due_checkpoints(now=299.9) == []
    assert queue.due_checkpoints(now=300.5) == [(7, 700)]
    assert queue.next_checkpoint == NEVER  # until it is known to be written
    checkpoint(queue, 7, 700, now=301.0)
    assert queue.next_checkpoint == 601.0


def test_a_lease_shorter_than_the_interval_is_not_checkpointed():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=300, now=0.0)
    assert queue.next_checkpoint == NEVER


def test_without_an_interval_nothing_is_checkpointed():
    queue = primary()
    grant(queue, 7, ttl=1000, now=0.0)
    assert queue.next_checkpoint == NEVER
    checkpoint(queue, 7, 500, now=0.0)
    assert not queue.is_shortened(7)


def test_a_checkpoint_must_be_taken_back_before_a_renewal():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=1000, now=0.0)
    assert not queue.is_shortened(7)
    checkpoint(queue, 7, 700, now=300.0)
    assert queue.is_shortened(7)
    checkpoint(queue, 7, 0, now=301.0)
    assert not queue.is_shortened(7)


def test_a_lease_has_one_checkpoint_planned_however_often_it_is_renewed():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=1000, now=0.0)
    for round_ in range(1, 20):
        now = 300.0 * round_ + round_
        assert len(queue.due_checkpoints(now)) == 1
        checkpoint(queue, 7, 700, now)
        checkpoint(queue, 7, 0, now)
        queue.renew(7, now)
    assert len(queue._checkpoints) == 1


def test_a_lease_renewed_just_now_is_checkpointed_an_interval_later():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=1000, now=0.0)
    queue.renew(7, now=300.0)
    assert queue.due_checkpoints(now=300.0) == []
    assert queue.due_checkpoints(now=600.0) == [(7, 700)]


def test_checkpoints_that_the_log_refused_come_up_again():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=1000, now=0.0)
    assert queue.due_checkpoints(now=300.0) == [(7, 700)]
    queue.postpone_checkpoints([7, 99], now=300.0)
    assert queue.due_checkpoints(now=600.0) == [(7, 400)]


def test_an_overdue_lease_is_not_checkpointed():
    queue = primary(checkpoint_interval=300.0)
    grant(queue, 7, ttl=301, now=0.0)
    assert queue.due_checkpoints(now=302.0) == []
    assert queue.next_checkpoint == NEVER


def test_checkpoints_come_in_batches():
    queue = primary(checkpoint_interval=300.0)
    for lease_id in range(1, CHECKPOINT_BATCH + 11):
        grant(queue, lease_id, ttl=1000, now=0.0)
    assert len(queue.due_checkpoints(now=300.0)) == CHECKPOINT_BATCH
    assert len(queue.due_checkpoints(now=300.0)) == 10


def test_no_lease_runs_out_before_its_time_nor_is_forgotten():
    """Random grants, renewals and revocations beside a dict of deadlines."""
    for seed in range(30):
        rng = random.Random(seed)
        queue = primary()
        deadlines: dict[int, float] = {}
        now = 0.0
        for step in range(300):
            now += rng.random()
            lease_id = rng.randrange(1, 20)
            if lease_id not in deadlines:
                grant(queue, lease_id, ttl := rng.randrange(2, 15), now)
                deadlines[lease_id] = now + ttl
            elif rng.random() < 0.7 and deadlines[lease_id] > now:
                deadlines[lease_id] = now + queue.renew(lease_id, now)
            elif rng.random() < 0.3:
                revoke(queue, lease_id, now)
                del deadlines[lease_id]
            soonest = min(deadlines.values(), default=NEVER)
            assert queue.next_look <= soonest, (seed, step)
            due = queue.due(now)
            assert sorted(due) == sorted(i for i, at in deadlines.items() if at <= now)
            for gone in due:
                revoke(queue, gone, now)
                del deadlines[gone]
