"""trioetcd and both versions of Go's etcd under the same traffic: the short form.

The long form is scripts/differential.py, which also replays a seed that failed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.differential.run import Differential, servers
from tests.interop.differential.scenes import SCENES

SEED = 20
CALLS = 3000  # some seconds of them


@pytest.fixture(scope="module")
def differential(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differential]:
    directory: Path = tmp_path_factory.mktemp("servers")
    with servers(directory) as running:
        run = Differential({kind: server.address for kind, server in running.items()}, SEED)
        yield run
        run.close()


def test_random_traffic_is_answered_as_by_etcd(differential: Differential):
    report = differential.run(CALLS)
    assert not report.mismatches, report
    in_json = sum(count for name, count in report.by_method.items() if "JSON" in name)
    assert in_json > CALLS / 8, report


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_so_is_each_scene(differential: Differential, scene):
    known = differential.report.mismatch_count
    scene(differential)
    assert differential.report.mismatch_count == known, differential.report
