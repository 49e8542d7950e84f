"""Clusters of processes, hurt in the most telling ways; `scripts/chaos.py` does all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.system.cases import cases
from tests.system.cluster import cluster_of
from tests.system.load import load_on

CASES = cases(rounds=2, seconds=5.0)
SMALL_LOG = ["--snapshot-count=100", "--snapshot-catchup-entries=50"]


@pytest.mark.parametrize("name", ["kill-leader", "one-way", "snapshot-kill"])
async def test_a_cluster_heals_and_all_that_it_said_is_true(name: str, tmp_path: Path):
    flags = SMALL_LOG if name.startswith("snapshot") else []
    async with (
        cluster_of("trioetcd", tmp_path, flags=flags) as cluster,
        load_on(cluster, seed=1) as load,
    ):
        await CASES[name](cluster, load, random.Random(1))
        await load.judge()
        assert len(load.done) > 50
