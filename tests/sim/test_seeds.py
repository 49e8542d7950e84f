"""Seeds of whole clusters under faults, a few of the thousands that `scripts/simulate.py` runs.

A seed that once failed stays here by its number, with what it found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from trioetcd.testing.simulation import Outcome, Scenario, simulate

ALONE = Scenario(members=1, seconds=3.0)
THREE = Scenario(members=3, seconds=3.0)
BATCH = 20  # seeds in one test


@pytest.fixture(scope="module")
def cores() -> Iterator[Executor]:
    """A run takes one core, whatever it simulates."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        yield pool


def play(scenario: Scenario, seed: int) -> tuple[int, Outcome | str]:
    try:
        return seed, simulate(seed, scenario)
    except Exception as error:  # which may not survive the way between processes
        return seed, f"{type(error).__name__}: {error}"


def failed(cores: Executor, scenario: Scenario, first: int) -> dict[int, str]:
    played = cores.map(partial(play, scenario), range(first, first + BATCH))
    return {seed: outcome for seed, outcome in played if isinstance(outcome, str)}


@pytest.mark.parametrize("first", range(0, 100, BATCH))
def test_one_member_keeps_what_it_promised(first: int, cores: Executor):
    assert failed(cores, ALONE, first) == {}


@pytest.mark.parametrize("first", range(1000, 1220, BATCH))
def test_three_members_keep_what_they_promised(first: int, cores: Executor):
    assert failed(cores, THREE, first) == {}
