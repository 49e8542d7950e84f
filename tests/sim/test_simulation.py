"""The simulator itself: the same seed is the same run, and a broken server is found out."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count

import pytest

from actors.raft.status import RaftStatus
from trioetcd.api.watch import StreamSink
from trioetcd.testing.checker import Wrong
from trioetcd.testing.disk import _File
from trioetcd.testing.simulation import Scenario, simulate
from trioetcd.testing.trace import Trace

SHORT = Scenario(seconds=4.0)
SEEDS_TO_FIND = 12  # within which a broken server must be found out

ONE_RUN = """
from trioetcd.testing.simulation import Scenario, simulate
print(simulate(6, Scenario(seconds=4.0)).digest)
"""


def test_the_same_seed_is_the_same_run():
    first: list[str] = []
    second: list[str] = []
    one = simulate(6, SHORT, Trace(first.append))
    other = simulate(6, SHORT, Trace(second.append))
    assert first == second
    assert one == other
    assert one.operations > 20


def test_it_is_the_same_run_in_another_process_that_hashes_differently():
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    ran = subprocess.run(
        [sys.executable, "-c", ONE_RUN], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == simulate(6, SHORT).digest


def test_another_seed_is_another_run():
    assert simulate(6, SHORT).digest != simulate(7, SHORT).digest


def find(scenario: Scenario) -> None:
    """Raises what the first seed finds that finds something."""
    for seed in range(SEEDS_TO_FIND):
        simulate(seed, scenario)


def test_a_disk_that_only_says_it_has_synced_is_found_out(monkeypatch):
    monkeypatch.setattr(_File, "datasync", lambda self: None)
    with pytest.RaisesGroup(Exception, flatten_subgroups=True):
        find(Scenario(members=1, trouble=0.5))


def test_reads_that_ask_nobody_are_found_out(monkeypatch):
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(RaftStatus, "reads_open", always)
    with pytest.RaisesGroup(
        pytest.RaisesExc(Wrong, match="had been seen before"), flatten_subgroups=True
    ):
        find(Scenario(seconds=6.0))


def test_a_watch_that_loses_a_response_is_found_out(monkeypatch):
    numbers = count(1)
    offer = StreamSink.offer

    def forgetful(sink: StreamSink, frame: bytes) -> bool:
        return True if next(numbers) % 50 == 0 else offer(sink, frame)

    monkeypatch.setattr(StreamSink, "offer", forgetful)
    with pytest.RaisesGroup(pytest.RaisesExc(Wrong, match="missed"), flatten_subgroups=True):
        find(Scenario(members=1, trouble=None))
