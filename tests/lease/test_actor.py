"""The lessor among its neighbours: a log that may answer late, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from actors.kernel import ActorStopped
from actors.lease import actor
from actors.lease.actor import REVOKES_IN_FLIGHT, Lessor, run_lessor
from actors.lease.table import LeaseTable
from tests.lease.test_table import Rows
from wire.errors import (
    LeaseNotFound,
    NotPrimaryLessor,
    RequestTimeout,
    TooManyRequests,
)
from wire.pb import etcdserverpb

ELECTION = 1.0  # seconds


class Log:
    """Applies what is proposed to the table, at once or when `gate` is opened."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.table = LeaseTable(self.rows, min_ttl=1)
        self.lessor = Lessor()
        self.gate = trio.Event()
        self.gate.set()
        self.refusal: Exception | None = None
        self.proposed: list[tuple[float, str, object]] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def propose(self, name: str, payload: bytes) -> tuple[int, bytes]:
        assert name in ("lease_revoke", "lease_checkpoint")
        revoke = etcdserverpb.LeaseRevokeRequest.FromString(payload)
        checkpoints = etcdserverpb.LeaseCheckpointRequest.FromString(payload).checkpoints
        shown = [(checkpoint.ID, checkpoint.remaining_TTL) for checkpoint in checkpoints]
        what = revoke.ID if name == "lease_revoke" else shown
        self.proposed.append((trio.current_time(), name, what))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
            await trio.lowlevel.checkpoint()
        finally:
            self.in_flight -= 1
        if self.refusal is not None:
            raise self.refusal
        if name == "lease_revoke":
            self.revoke(revoke.ID)
        else:
            for checkpoint in checkpoints:
                self.table.checkpoint(checkpoint.ID, checkpoint.remaining_TTL)
            self.lessor.changed(self.table.take_changes())
        return 1, b""

    def grant(self, lease_id: int, ttl: int) -> None:
        self.table.grant(lease_id, ttl)
        self.lessor.changed(self.table.take_changes())

    def revoke(self, lease_id: int) -> None:
        keys = self.table.revoke(lease_id)
        self.lessor.changed(self.table.take_changes())
        assert isinstance(keys, list)

    def revoked(self) -> list[tuple[float, object]]:
        return [(time, what) for time, name, what in self.proposed if name == "lease_revoke"]

    def checkpointed(self) -> list[tuple[float, object]]:
        return [(time, what) for time, name, what in self.proposed if name == "lease_checkpoint"]

    @asynccontextmanager
    async def running(
        self, *, term: int | None = 1, checkpoint_interval: float | None = None
    ) -> AsyncIterator[Lessor]:
        """A lessor that leads in `term`."""
        if term is not None:
            self.lessor.lead(term)
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[Lessor]) -> None:
                await run_lessor(
                    self.lessor,
                    self.table,
                    self.propose,
                    election_timeout=ELECTION,
                    checkpoint_interval=checkpoint_interval,
                    task_status=task_status,
                )

            yield await nursery.start(run)
            nursery.cancel_scope.cancel()


@pytest.fixture
def log() -> Log:
    return Log()


async def test_a_lease_that_runs_out_is_revoked_through_the_log(log, autojump_clock):
    async with log.running():
        log.grant(7, 10)
        await trio.sleep(9.9)
        assert log.revoked() == []
        await trio.sleep(0.2)
        assert log.revoked() == [(10.0, 7)]
        assert not log.table.exists(7)
        assert log.lessor.expired_total == 1


async def test_a_renewal_starts_the_ttl_over(log, autojump_clock):
    async with log.running() as lessor:
        log.grant(7, 10)
        await trio.sleep(6)
        assert await lessor.renew(7) == 10
        await trio.sleep(9.9)
        assert log.revoked() == []
        await trio.sleep(0.2)
        assert log.revoked() == [(16.0, 7)]
        assert lessor.renewed_total == 1


async def test_a_lease_kept_alive_lives_for_ever(log, autojump_clock):
    async with log.running() as lessor:
        log.grant(7, 10)
        for _ in range(400):
            await trio.sleep(9)
            assert await lessor.renew(7) == 10
        assert log.revoked() == []


async def test_an_unknown_lease_is_not_renewed(log, autojump_clock):
    async with log.running() as lessor:
        with pytest.raises(LeaseNotFound):
            await lessor.renew(7)
        with pytest.raises(LeaseNotFound):
            await lessor.time_to_live(7)


async def test_a_renewal_after_the_end_waits_for_the_log_and_learns_of_the_revocation(
    log, autojump_clock
):
    async with log.running() as lessor:
        log.grant(7, 10)
        log.gate = trio.Event()
        await trio.sleep(10.5)

        async def open_gate_at_12() -> None:
            await trio.sleep(1.5)
            log.gate.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_gate_at_12)
            with pytest.raises(LeaseNotFound):
                await lessor.renew(7)
        assert trio.current_time() == 12.0


async def test_renewals_of_others_do_not_wait_for_a_revoke(log, autojump_clock):
    async with log.running() as lessor:
        log.grant(7, 10)
        log.grant(8, 20)
        log.gate = trio.Event()
        await trio.sleep(10.5)
        assert log.in_flight == 1
        assert await lessor.renew(8) == 20
        assert trio.current_time() == 10.5


async def test_a_revoke_without_an_answer_is_not_doubled_and_a_refused_one_is_repeated(
    log, autojump_clock
):
    async with log.running():
        log.grant(7, 10)
        log.gate = trio.Event()
        log.refusal = RequestTimeout()
        await trio.sleep(17.5)
        assert log.revoked() == [(10.0, 7)]
        log.gate.set()
        log.refusal = None
        await trio.sleep(3)
        assert not log.table.exists(7)


async def test_a_refused_revoke_comes_up_again_after_the_retry_time(log, autojump_clock):
    async with log.running():
        log.grant(7, 10)
        log.refusal = RequestTimeout()
        await trio.sleep(15)
        assert log.revoked() == [(10.0, 7), (13.0, 7)]


async def test_revokes_in_flight_are_limited_and_all_leases_go_in_the_end(log, autojump_clock):
    async with log.running() as lessor:
        for lease_id in range(1, 101):
            log.grant(lease_id, 10)
        log.gate = trio.Event()
        await trio.sleep(10.1)
        assert log.in_flight == REVOKES_IN_FLIGHT
        assert await lessor.leases() == list(range(1, 101))
        log.gate.set()
        await trio.sleep(1)
        assert log.most_in_flight == REVOKES_IN_FLIGHT
        assert len(log.table) == 0


async def test_two_thousand_leases_go_at_the_rate_of_a_thousand_a_second(log, autojump_clock):
    async with log.running():
        for lease_id in range(1, 2001):
            log.grant(lease_id, 10)
        await trio.sleep(20)
        times = [time for time, _ in log.revoked()]
        assert len(times) == 2000
        assert times[0] == 10.0
        assert 11.4 < times[-1] < 11.6


async def test_time_to_live_says_what_is_left_what_was_granted_and_what_hangs_on_it(
    log, autojump_clock
):
    async with log.running() as lessor:
        log.grant(7, 10)
        log.table.attach(7, b"b")
        log.table.attach(7, b"a")
        await trio.sleep(2.5)
        assert await lessor.time_to_live(7) == (7, 10, [])
        assert await lessor.time_to_live(7, keys=True) == (7, 10, [b"a", b"b"])


async def test_leases_are_listed_soonest_first(log, autojump_clock):
    async with log.running() as lessor:
        for lease_id, ttl in ((1, 30), (2, 10), (3, 20)):
            log.grant(lease_id, ttl)
        assert await lessor.leases() == [2, 3, 1]


async def test_a_follower_lets_nothing_run_out_and_sends_askers_elsewhere(log, autojump_clock):
    async with log.running(term=None) as lessor:
        log.grant(7, 10)
        await trio.sleep(1000)
        assert log.proposed == []
        assert await lessor.leases() == [7]
        for ask in (lessor.renew, lessor.time_to_live):
            with pytest.raises(NotPrimaryLessor):
                await ask(7)


async def test_a_new_leader_gives_every_lease_its_ttl_and_an_election_more(log, autojump_clock):
    async with log.running(term=None) as lessor:
        log.grant(7, 10)
        await trio.sleep(100)
        lessor.lead(2)
        await trio.sleep(10.9)
        assert log.revoked() == []
        await trio.sleep(0.2)
        assert log.revoked() == [(111.0, 7)]


async def test_nothing_of_a_leadership_outlives_it(log, autojump_clock):
    async with log.running() as lessor:
        for lease_id in range(1, 101):
            log.grant(lease_id, 10)
        log.gate = trio.Event()
        await trio.sleep(10.1)
        assert log.in_flight == REVOKES_IN_FLIGHT

        async def renew_too_late() -> None:
            with pytest.raises(NotPrimaryLessor):
                await lessor.renew(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(renew_too_late)
            await trio.sleep(0.1)
            lessor.follow()
        assert log.in_flight == 0
        count = len(log.proposed)
        await trio.sleep(100)
        assert len(log.proposed) == count


async def test_a_leadership_that_follows_another_at_once_is_a_new_one(log, autojump_clock):
    async with log.running() as lessor:
        log.grant(7, 10)
        await trio.sleep(9)
        lessor.follow()
        lessor.lead(2)
        await trio.sleep(10.9)
        assert log.revoked() == []
        await trio.sleep(0.2)
        assert log.revoked() == [(20.0, 7)]


async def test_being_told_of_the_same_leadership_twice_changes_nothing(log, autojump_clock):
    async with log.running() as lessor:
        log.grant(7, 10)
        await trio.sleep(9)
        lessor.lead(1)
        await trio.sleep(1.1)
        assert log.revoked() == [(10.0, 7)]


async def test_a_restarted_lessor_has_every_lease_and_still_leads(log, autojump_clock):
    async with log.running():
        log.grant(7, 10)
        log.grant(8, 20)
        log.revoke(8)
        await trio.sleep(5)
    log.lessor.inbox.reopen()
    async with log.running(term=None) as lessor:
        await trio.sleep(10.9)
        assert await lessor.leases() == [7]
        assert log.revoked() == []
        await trio.sleep(0.2)
        assert log.revoked() == [(16.0, 7)]


async def test_a_lessor_that_ends_answers_who_waits(log, autojump_clock):
    outcomes = []

    async def renew() -> None:
        try:
            await log.lessor.renew(7)
        except (ActorStopped, NotPrimaryLessor) as error:
            outcomes.append(type(error))

    async with trio.open_nursery() as nursery:
        async with log.running():
            log.grant(7, 10)
            log.gate = trio.Event()
            await trio.sleep(10.1)
            nursery.start_soon(renew)
            await trio.sleep(0.1)
        nursery.start_soon(renew)
    assert outcomes == [NotPrimaryLessor, ActorStopped]


async def test_only_so_many_renewals_wait_for_the_log(log, monkeypatch, autojump_clock):
    monkeypatch.setattr(actor, "WAITING_RENEWALS", 3)
    refused = []

    async def renew(lessor: Lessor) -> None:
        try:
            await lessor.renew(7)
        except (LeaseNotFound, TooManyRequests) as error:
            refused.append(type(error))

    async with log.running() as lessor:
        log.grant(7, 10)
        log.gate = trio.Event()
        await trio.sleep(10.1)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(renew, lessor)
            await trio.sleep(0.1)
            assert refused == [TooManyRequests] * 2
            log.gate.set()
        assert refused == [TooManyRequests] * 2 + [LeaseNotFound] * 3
        log.grant(7, 10)
        log.gate = trio.Event()
        await trio.sleep(10.1)
        async with trio.open_nursery() as nursery:  # the places are free again
            for _ in range(3):
                nursery.start_soon(renew, lessor)
            await trio.sleep(0.1)
            log.gate.set()
        assert refused[5:] == [LeaseNotFound] * 3


async def test_long_leases_are_checkpointed_in_one_entry(log, autojump_clock):
    async with log.running(checkpoint_interval=300.0):
        log.grant(7, 1000)
        log.grant(8, 1000)
        log.grant(9, 100_000)
        await trio.sleep(301)
        assert log.checkpointed() == [(300.0, [(7, 700), (8, 700), (9, 99_700)])]
        assert [remaining for _, _, remaining in log.table.leases()] == [700, 700, 99_700]
        await trio.sleep(300)
        assert log.checkpointed()[1:] == [(600.0, [(7, 400), (8, 400), (9, 99_400)])]


async def test_a_renewal_takes_the_checkpoint_back_before_it_is_answered(log, autojump_clock):
    async with log.running(checkpoint_interval=300.0) as lessor:
        log.grant(7, 1000)
        await trio.sleep(301)
        log.gate = trio.Event()
        answered = []

        async def renew() -> None:
            answered.append(await lessor.renew(7))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(renew)
            await trio.sleep(5)
            nursery.start_soon(renew)
            await trio.sleep(5)
            assert answered == []
            log.gate.set()
        assert answered == [1000, 1000]
        assert log.checkpointed()[1:] == [(301.0, [(7, 0)]), (311.0, [(7, 0)])]
        assert list(log.table.leases()) == [(7, 1000, 0)]


async def test_a_renewal_fails_as_the_log_fails(log, autojump_clock):
    async with log.running(checkpoint_interval=300.0) as lessor:
        log.grant(7, 1000)
        await trio.sleep(301)
        log.refusal = RequestTimeout()
        with pytest.raises(RequestTimeout):
            await lessor.renew(7)
        log.refusal = None
        assert await lessor.renew(7) == 1000


async def test_a_new_leader_goes_on_from_the_checkpoint(log, autojump_clock):
    async with log.running(checkpoint_interval=300.0) as lessor:
        log.grant(7, 310)
        await trio.sleep(301)
        lessor.follow()
        await trio.sleep(1)
        lessor.lead(2)
        await trio.sleep(12)
        assert log.revoked() == [(313.0, 7)]
