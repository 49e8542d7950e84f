"""trioetcd and Go's etcd agree on who may what, and say it in the same words and pages."""

from __future__ import annotations

from pathlib import Path

from tests.interop.differential.people import People
from tests.interop.differential.rules import OVERLOOKED
from tests.interop.differential.run import servers

SEED = 4
CALLS = 3000  # some seconds of them


def test_random_people_are_answered_as_by_etcd(tmp_path: Path):
    with servers(tmp_path, ["--bcrypt-cost=4"]) as running:
        people = People({kind: server.address for kind, server in running.items()}, SEED)
        try:
            report = people.run(CALLS)
        finally:
            people.close()
    assert not report.mismatches, report
    assert report.newer[OVERLOOKED] > CALLS / 20, report
    in_json = sum(count for name, count in report.by_method.items() if name.endswith("in JSON"))
    assert in_json > CALLS / 5, report
    for words in (
        *("OK ", "PERMISSION_DENIED etcdserver: permission denied"),
        *("INVALID_ARGUMENT etcdserver: user name is empty",),
        *("UNAUTHENTICATED etcdserver: invalid auth token",),
    ):
        assert people.refusals[words] > CALLS / 100, people.refusals
