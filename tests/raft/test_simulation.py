"""Random schedules of one to seven members; `scripts/simulate_raft.py` runs thousands more."""

from __future__ import annotations

import random

import pytest

from tests.raft.simulation import Schedule, run_schedule

SEEDS = 60  # per number of voters; about 10 ms each


@pytest.mark.parametrize("voters", [1, 2, 3, 5, 7])
def test_every_promise_holds_in_random_schedules(voters: int):
    for seed in range(SEEDS):
        run_schedule(seed, voters)


def test_a_schedule_is_a_function_of_its_seed():
    traces: list[list[str]] = [[], []]
    for trace in traces:
        Schedule(7, 3, trace=trace.append).run()
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


def test_the_schedules_reach_the_corners():
    """What the schedules are for does happen in them."""
    seen: set[str] = set()
    wanted = {
        "pre-candidate", "leader", "TIMEOUT-NOW", "for transfer", "SNAPSHOT", "installs",
        "PROPOSE", "READ-INDEX-REPLY", "may read", ", no ", "&", "learners", "crashes", "restarts",
        "TRANSFER-LEADER",
    }  # fmt: skip

    def look(line: str) -> None:
        seen.update(word for word in wanted - seen if word in line)

    for seed in range(60):
        run_schedule(seed, random.Random(seed).choice([3, 5]), trace=look)
        if seen == wanted:
            return
    assert seen == wanted
