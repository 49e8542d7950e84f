"""The client on a way that is cut at random bytes: the short form of scripts/client_faults.py."""

from __future__ import annotations

import random

import pytest
import trio

from tests.client.ordeal import FLAGS, Hold, Ordeal
from tests.interop.processes import KINDS, running

SEED = 5
CUTS = 25


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_done_twice_left_out_or_held_too_long(kind, tmp_path):
    with running(kind, tmp_path, FLAGS) as server:
        ordeal = Ordeal(random.Random(SEED))
        proxy = trio.run(ordeal.run, server.address, CUTS)
    assert not ordeal.faults(), ordeal.summary(proxy)
    assert len(ordeal.acknowledged) > 50, ordeal.summary(proxy)
    assert len(ordeal.truth) > len(ordeal.acknowledged), ordeal.summary(proxy)


def test_the_ordeal_sees_what_it_is_for():
    ordeal = Ordeal(random.Random(1))
    ordeal.acknowledged = [b"lost", b"done"]
    ordeal.not_applied = [b"twice"]
    ordeal.truth = [(2, b"w/0", b"twice"), (3, b"w/0", b"twice"), (4, b"w/0", b"done")]
    ordeal.told = [ordeal.truth[:2], [*ordeal.truth, ordeal.truth[2]]]
    found = "\n".join(ordeal.faults())
    for words in ("'twice' was done 2 times", "'lost' was acknowledged", "called not applied"):
        assert words in found
    assert found.count("watcher") == 2
    ordeal.holds = [
        Hold(b"l", b"l/1", 5, 0.0, 2.0),
        Hold(b"m", b"m/1", 6, 1.0, 2.0),
        Hold(b"l", b"l/2", 4, 1.9, 3.0),
    ]
    ordeal.freed = {b"l/1": 1.8, b"m/1": 2.0, b"l/2": 3.5}
    found = "\n".join(ordeal.faults())
    for words in ("two at once", "tokens do not grow", "its lease ended before"):
        assert found.count(words) == 1, words
