"""Seeds of whole clusters under faults, a few of the thousands that `scripts/simulate.py` runs.

A seed that once failed stays here by its number, with what it found.
"""

from __future__ import annotations

import pytest

from trioetcd.testing.simulation import Scenario, simulate

ALONE = Scenario(members=1, seconds=3.0)
THREE = Scenario(members=3, seconds=3.0)
BATCH = 7  # seeds in one test


@pytest.mark.parametrize("first", range(0, 84, BATCH))
def test_one_member_keeps_what_it_promised(first: int):
    for seed in range(first, first + BATCH):
        simulate(seed, ALONE)


@pytest.mark.parametrize("first", range(1000, 1021, BATCH))
def test_three_members_keep_what_they_promised(first: int):
    for seed in range(first, first + BATCH):
        simulate(seed, THREE)
