"""When the store was at which revision."""

from __future__ import annotations

import random

from actors.mvcc.revision_times import MOST_SECONDS, Known, RevisionTimes


def test_a_second_has_the_revision_at_its_end():
    times = RevisionTimes(100.2, 5)
    for moment, revision in ((100.9, 6), (103.1, 7), (103.8, 9), (110.0, 10)):
        times.note(moment, revision)
    assert times.at(99.9) is None
    assert times.at(100) == Known(6, 100)
    assert times.at(102.9) == Known(6, 100)
    assert times.at(103) == Known(9, 103)
    assert times.at(109.99) == Known(9, 103)
    assert times.at(1e9) == Known(10, 110)
    assert times.known_since == 100


def test_a_clock_that_goes_back_stands_still():
    times = RevisionTimes(100, 1)
    times.note(200, 2)
    times.note(150, 3)
    assert times.at(199) == Known(1, 100)
    assert times.at(200) == Known(3, 200)


def test_what_is_kept_is_bounded_and_never_wrong():
    rng = random.Random(1)
    times, truth, now, revision = RevisionTimes(0, 1), {0: 1}, 0, 1
    for _ in range(3 * MOST_SECONDS):
        now += rng.choice((1, 1, 2))
        revision += 1
        times.note(now, revision)
        truth[now] = revision
    assert len(times._seconds) <= MOST_SECONDS
    for _ in range(1000):
        found = times.at(rng.randrange(now))
        assert found is not None
        assert truth[found.since] == found.revision
    recent = now - 1000
    found = times.at(recent)
    assert found is not None
    assert recent - found.since <= 2
