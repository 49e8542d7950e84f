"""A fast disk is synced on the event loop and a slow one is not, whatever the load."""

from __future__ import annotations

import pytest

from actors.wal.pace import LONE_ENTRIES, PROBE_EVERY, Pace

SWITCH_INTERVAL = 0.005  # what a busy event loop makes a thread wait for the interpreter lock


MANY = 100  # entries in a group


def run(
    pace: Pace,
    count: int,
    disk_seconds: float,
    lock_seconds: float = 0.0,
    entries: int = MANY,
) -> float:
    """The part of `count` fdatasyncs that ran on the event loop."""
    inline_count = 0
    for _ in range(count):
        inline = pace.next_is_inline(entries)
        inline_count += inline
        pace.note(disk_seconds + (0.0 if inline else lock_seconds), inline=inline)
    return inline_count / count


def test_the_first_runs_on_the_worker():
    assert not Pace().next_is_inline(MANY)
    assert not Pace().next_is_inline(1)


def test_a_fast_disk_is_soon_synced_on_the_event_loop():
    pace = Pace()
    run(pace, 30, 0.00013)
    assert run(pace, 1000, 0.00013) == 1.0


def test_a_fast_disk_is_known_under_load_too():
    pace = Pace()
    run(pace, 20 * PROBE_EVERY, 0.00013, lock_seconds=SWITCH_INTERVAL)
    assert run(pace, 1000, 0.00013, lock_seconds=SWITCH_INTERVAL) == 1.0


@pytest.mark.parametrize("disk_seconds", [0.001, 0.004, 0.015])
def test_a_slow_disk_holds_the_event_loop_up_only_to_see(disk_seconds: float):
    pace = Pace()
    run(pace, 1000, 0.0001)
    run(pace, 30, disk_seconds)  # it was fast, and is not any more
    assert run(pace, 100 * PROBE_EVERY, disk_seconds) == 1 / PROBE_EVERY


def test_a_very_slow_disk_never_holds_it_up():
    pace = Pace()
    run(pace, 3, 0.1)
    assert run(pace, 1000, 0.1) == 0.0


def test_a_disk_that_hiccups_is_still_fast():
    pace = Pace()
    run(pace, 100, 0.00013)
    for _ in range(50):
        pace.note(0.3, inline=True)
        assert run(pace, 20, 0.00013) == 1.0


def test_a_disk_that_has_become_fast_is_found_out():
    pace = Pace()
    run(pace, 500, 0.015)
    run(pace, 20 * PROBE_EVERY, 0.0002)
    assert run(pace, 100, 0.0002) == 1.0


def test_small_groups_are_synced_on_the_event_loop_of_a_medium_disk_too():
    pace = Pace()
    run(pace, 20 * PROBE_EVERY, 0.002)
    assert run(pace, 10 * PROBE_EVERY, 0.002) == 1 / PROBE_EVERY
    assert run(pace, 1000, 0.002, entries=LONE_ENTRIES) == 1.0
    run(pace, 100, 0.015, entries=1)
    assert run(pace, 10 * PROBE_EVERY, 0.015, entries=1) == 1 / PROBE_EVERY
