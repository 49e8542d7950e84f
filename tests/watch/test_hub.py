"""The rules of Watch, one by one; lines are `revision #id flags events`."""

from __future__ import annotations

from itertools import permutations

import pytest

from actors.watch import hub
from actors.watch.watcher import State
from tests.watch.world import INTERVAL, Client, World, new_store

NO_PUT, NO_DELETE = 0, 1


@pytest.fixture
def world() -> World:
    return World()


# Ids and creation


def test_ids_are_given_out_from_zero_and_those_taken_are_passed_over(world):
    stream = world.client()
    for watch_id in (0, 0, 5, 2, 0, -7, 0):
        world.watch(stream, b"k", watch_id=watch_id)
    assert world.lines(stream) == [f"1 #{n} created" for n in (0, 1, 5, 2, 3, -7, 4)]


def test_an_id_in_use_is_refused_and_the_watch_that_has_it_goes_on(world):
    stream = world.client()
    world.watch(stream, b"a", watch_id=5)
    world.watch(stream, b"b", watch_id=5)
    world.put(b"a", b"b")
    assert world.lines(stream) == [
        "1 #5 created",
        "1 #-1 created canceled mvcc: duplicate watch ID provided on the WatchStream",
        "2 #5 +a=v@2",
    ]


def test_the_id_minus_one_is_as_good_as_any(world):
    stream = world.client()
    world.watch(stream, b"a", watch_id=-1)
    world.put(b"a")
    world.watches.cancel(stream, -1)
    assert world.lines(stream) == ["1 #-1 created", "2 #-1 canceled"]


def test_streams_do_not_share_ids(world):
    first, second = world.client(), world.client()
    world.watch(first, b"a", watch_id=5)
    world.watch(second, b"a", watch_id=5)
    assert world.lines(second) == ["1 #5 created"]


@pytest.mark.parametrize("end", [b"a", b"b", b"\0\0"])
def test_a_range_that_holds_no_key_is_refused(world, end):
    stream = world.client()
    world.watch(stream, b"b", range_end=end)
    assert world.lines(stream) == ["1 #-1 created canceled mvcc: watcher range is empty"]


def test_no_key_is_the_key_nul_and_with_an_open_end_everything(world):
    stream = world.client()
    world.watch(stream)
    world.watch(stream, range_end=b"\0")
    world.put(b"\0", b"z")
    assert sorted(world.lines(stream)) == [
        "1 #0 created",
        "1 #1 created",
        "2 #0 +\0=v@2",
        "3 #1 +\0=v@2 +z=v@3",
    ]


def test_an_open_end_holds_every_key_from_its_start(world):
    stream = world.client()
    world.watch(stream, b"b", range_end=b"\0")
    world.put(b"a", b"b", b"c")
    assert world.lines(stream)[1:] == ["4 #0 +b=v@3 +c=v@4"]


def test_too_many_watches_are_refused(world, monkeypatch):
    monkeypatch.setattr(hub, "WATCHERS_PER_STREAM", 2)
    stream = world.client()
    for _ in range(3):
        world.watch(stream, b"a")
    assert world.lines(stream)[-1] == "1 #-1 created canceled etcdserver: too many requests"


# Cancelling


def test_a_cancelled_watch_hears_no_more_and_an_unknown_one_gets_no_answer(world):
    stream = world.client()
    world.watch(stream, b"a")
    world.watch(stream, b"a")
    world.watches.cancel(stream, 0)
    world.watches.cancel(stream, 99)
    world.put(b"a")
    assert world.lines(stream)[2:] == ["1 #0 canceled", "2 #1 +a=v@2"]


def test_the_id_of_a_cancelled_watch_may_be_used_again(world):
    stream = world.client()
    world.watch(stream, b"a", watch_id=5)
    world.watches.cancel(stream, 5)
    world.watch(stream, b"b", watch_id=5)
    world.put(b"a", b"b")
    assert world.lines(stream)[2:] == ["1 #5 created", "3 #5 +b=v@3"]


def test_watches_are_cancelled_wherever_they_are(world):
    world.put(b"a", b"a", b"a")
    stream = world.client(limit=1)
    world.watch(stream, b"a")  # synced
    world.watch(stream, b"a", start_revision=9)  # future
    world.watch(stream, b"a", start_revision=2)  # behind, then blocked
    behind = stream.watchers[2]
    assert behind.state is State.BEHIND
    for _ in world.watches.publish():
        pass
    world.watches.catch_up()
    assert behind.state is State.BLOCKED
    for watch_id in (0, 1, 2):
        world.watches.cancel(stream, watch_id)
    assert world.watches.watchers == 0
    assert not stream.blocked
    assert not world.store.feed.wanted
    world.put(b"a")
    assert len(world.responses(stream)) == 6


def test_a_watch_is_cancelled_in_the_middle_of_its_history(world):
    for _ in range(200):
        world.put(b"a")
    stream = world.client()
    world.watch(stream, b"a", start_revision=1)
    world.watches.catch_up()
    world.watches.cancel(stream, 0)
    assert not world.watches.behind
    events = [event for response in world.responses(stream) for event in response.events]
    assert 0 < len(events) < 200


def test_a_closed_stream_leaves_nothing_behind(world):
    stream = world.client()
    world.watch(stream, b"a", progress_notify=True)
    world.watch(stream, b"a", start_revision=9)
    world.watches.close(stream)
    world.watches.close(stream)
    assert world.watches.streams == {}
    assert world.watches.watchers == 0
    assert world.ticks.next_time == float("inf")
    assert not world.store.feed.wanted


# Events


def test_a_watch_begins_after_the_revision_it_was_created_at(world):
    stream = world.client()
    world.put(b"a")
    world.watch(stream, b"a")
    world.put(b"a")
    assert world.lines(stream) == ["2 #0 created", "3 #0 +a=v@3"]


def test_a_watch_created_while_others_lag_sees_nothing_from_before(world):
    first, second = world.client(), world.client()
    world.watch(first, b"a")
    world.put(b"a", b"a")
    world.watch(second, b"a")
    world.put(b"a")
    assert world.lines(first)[1:] == ["4 #0 +a=v@2 +a=v@3 +a=v@4"]
    assert world.lines(second) == ["3 #0 created", "4 #0 +a=v@4"]


def test_a_deletion_carries_key_and_revision_alone(world):
    stream = world.client()
    world.put(b"a")
    world.watch(stream, b"a")
    world.delete(b"a")
    [_, response] = world.responses(stream)
    kv = response.events[0].kv
    assert (kv.key, kv.mod_revision) == (b"a", 3)
    assert (kv.create_revision, kv.version, kv.value) == (0, 0, b"")


def test_all_events_of_a_revision_come_in_one_response_in_order(world):
    stream = world.client()
    world.watch(stream, b"m", range_end=b"n")
    world.put_together([b"m3", b"m1", b"x", b"m2"])
    assert world.lines(stream)[1:] == ["2 #0 +m3=v@2 +m1=v@2 +m2=v@2"]


def test_the_header_says_the_revision_of_the_last_event(world):
    stream = world.client()
    world.watch(stream, b"a")
    world.put(b"a", b"b")
    assert world.lines(stream)[1:] == ["2 #0 +a=v@2"]


def test_filters_leave_events_out_and_send_nothing_when_nothing_is_left(world):
    stream = world.client()
    for filters in ([NO_PUT], [NO_DELETE], [NO_PUT, NO_DELETE], [7]):
        world.watch(stream, b"a", filters=filters)
    world.put(b"a")
    world.settle()
    world.delete(b"a")
    assert sorted(world.lines(stream)[4:]) == [
        "2 #1 +a=v@2",
        "2 #3 +a=v@2",
        "3 #0 -a@3",
        "3 #3 -a@3",
    ]


def test_the_previous_value_comes_with_all_but_creations(world):
    stream = world.client()
    world.watch(stream, b"a", prev_kv=True)
    world.watch(stream, b"a")
    world.put((b"a", b"1"), (b"a", b"2"))
    world.delete(b"a")
    world.put((b"a", b"3"))
    assert world.lines(stream)[2:] == [
        "5 #0 +a=1@2 +a=2@3 (was 1@2) -a@4 (was 2@3) +a=3@5",
        "5 #1 +a=1@2 +a=2@3 -a@4 +a=3@5",
    ]


def test_a_key_deleted_and_put_again_in_one_transaction_is_a_creation(world):
    """etcd lets a transaction delete everything and put a key; found by the differential test."""
    stream = world.client()
    world.put((b"a", b"1"))
    world.watch(stream, b"a", prev_kv=True)
    world.store.delete(b"a")
    world.store.put(b"a", b"2", 0)
    world.store.end()

    assert world.lines(stream) == ["2 #0 created", "3 #0 -a@3 (was 1@2) +a=2@3"]


def test_a_previous_value_that_was_compacted_is_left_out(world):
    world.put((b"a", b"1"), (b"a", b"2"), (b"a", b"3"))
    world.compact(4)
    stream = world.client()
    world.watch(stream, b"a", prev_kv=True, start_revision=4)
    assert world.lines(stream)[1:] == ["4 #0 +a=3@4"]


def test_watchers_of_one_wish_on_many_streams_get_the_very_same_bytes(world):
    streams = [world.client() for _ in range(10)]
    for stream in streams:
        world.watch(stream, b"a", range_end=b"b")
    world.put(b"a")
    world.settle()
    assert len({id(stream.sink.frames[-1]) for stream in streams}) == 1


def test_large_changes_are_cut_into_several_responses_between_revisions(world, monkeypatch):
    monkeypatch.setattr(hub, "BATCH_BYTES", 1000)
    stream = world.client()
    world.watch(stream, b"a", range_end=b"b")
    for _ in range(5):
        world.put_together([b"a1", b"a2", b"a3"], b"x" * 300)
    revisions = [[e.kv.mod_revision for e in r.events] for r in world.responses(stream)[1:]]
    assert revisions == [[2, 2, 2, 3, 3, 3], [4, 4, 4, 5, 5, 5], [6, 6, 6]] or revisions == [
        [n] * 3 for n in range(2, 7)
    ]


def test_a_pause_in_publishing_loses_and_repeats_nothing(world, monkeypatch):
    monkeypatch.setattr(hub, "OFFERS_PER_TURN", 3)
    streams = [world.client() for _ in range(10)]
    for number, stream in enumerate(streams):
        world.watch(stream, b"%d" % (number % 5))
    world.put(*[b"%d" % (number % 5) for number in range(10)])
    pauses = 0
    for _ in world.watches.publish():
        pauses += 1
        world.put(b"%d" % (pauses % 5))
    assert pauses >= 2
    count = 0
    for number, stream in enumerate(streams):
        keys = [(e.kv.key, e.kv.mod_revision) for r in world.responses(stream) for e in r.events]
        assert {key for key, _ in keys} == {b"%d" % (number % 5)}
        assert sorted(set(keys)) == keys
        count += len(keys)
    assert count == 2 * (world.store.revision - 1)


# Starting elsewhere than now


def test_history_is_sent_from_the_revision_asked_for(world):
    world.put((b"a", b"1"), b"b", (b"a", b"2"), (b"a", b"3"))
    stream = world.client()
    world.watch(stream, b"a", start_revision=4)
    world.settle()
    world.put((b"a", b"4"))
    assert world.lines(stream) == ["5 #0 created", "5 #0 +a=2@4 +a=3@5", "6 #0 +a=4@6"]


def test_history_without_events_sends_nothing_and_the_watch_goes_on(world):
    world.put(b"a", b"a")
    stream = world.client()
    world.watch(stream, b"b", start_revision=1)
    world.settle()
    world.put(b"b")
    assert world.lines(stream) == ["3 #0 created", "4 #0 +b=v@4"]


def test_a_watch_of_the_future_is_silent_until_then(world):
    stream = world.client()
    world.watch(stream, b"a", start_revision=4)
    for _ in range(4):
        world.put(b"a")
        world.settle()
    assert world.lines(stream) == ["1 #0 created", "4 #0 +a=v@4", "5 #0 +a=v@5"]


def test_a_watch_of_the_future_whose_time_comes_in_the_middle_of_a_batch(world):
    stream = world.client()
    world.watch(stream, b"a", start_revision=4)
    world.put(b"a", b"a", b"a", b"a")
    assert world.lines(stream)[1:] == ["5 #0 +a=v@4 +a=v@5"]


def test_the_compacted_revision_itself_can_be_watched_from(world):
    world.put(b"a", b"a", b"a")
    world.compact(3)
    stream = world.client()
    world.watch(stream, b"a", start_revision=3)
    assert world.lines(stream)[1:] == ["4 #0 +a=v@3 +a=v@4"]


def test_compacted_history_ends_a_watch_and_leaves_its_id_taken(world):
    world.put(b"a", b"a", b"a")
    world.compact(3)
    stream = world.client()
    world.watch(stream, b"a", start_revision=2, watch_id=7)
    assert world.lines(stream) == ["4 #7 created", "0 #7 canceled compacted 3"]
    assert world.watches.watchers == 0
    world.watch(stream, b"a", watch_id=7)
    world.watches.cancel(stream, 7)
    world.watches.cancel(stream, 7)
    world.watch(stream, b"a", watch_id=7)
    assert world.lines(stream) == [
        "4 #-1 created canceled mvcc: duplicate watch ID provided on the WatchStream",
        "4 #7 canceled",
        "4 #7 created",
    ]


def test_after_a_compaction_to_0_a_start_below_it_gets_a_response_that_says_nothing(world):
    world.put(b"a")
    world.compact(0)
    stream = world.client()
    world.watch(stream, b"a", start_revision=-1)
    world.put(b"a")
    assert world.lines(stream) == ["2 #0 created", "0 #0"]


def test_a_compaction_that_overtakes_a_reader_of_history_ends_it(world):
    for _ in range(100):
        world.put(b"a")
    stream = world.client()
    world.watch(stream, b"a", start_revision=2)
    world.watches.catch_up()
    world.compact(90)
    *_, last = world.responses(stream)
    assert last.canceled
    assert last.compact_revision == 90


def test_a_compaction_does_not_concern_watchers_that_are_up_to_date(world):
    stream = world.client()
    world.watch(stream, b"a")
    world.put((b"a", b"1"), (b"a", b"2"))
    world.compact(3)
    assert world.lines(stream)[1:] == ["3 #0 +a=1@2 +a=2@3"]


@pytest.mark.parametrize("start", [-1, -2, -(1 << 63)])
def test_a_negative_start_is_older_than_every_compaction(world, start):
    world.put(b"a", b"a")
    world.compact(2)
    stream = world.client()
    world.watch(stream, b"a", start_revision=start)
    assert world.lines(stream) == ["3 #0 created", "0 #0 canceled compacted 2"]


def test_minus_one_without_any_compaction_starts_now(world):
    world.put(b"a")
    stream = world.client()
    world.watch(stream, b"a", start_revision=-1)
    world.put(b"a")
    assert world.lines(stream) == ["2 #0 created", "3 #0 +a=v@3"]


def test_readers_of_one_history_share_the_reading(world, monkeypatch):
    for number in range(300):
        world.put(b"%d" % (number % 3))
    streams = [world.client() for _ in range(30)]
    for number, stream in enumerate(streams):
        world.watch(stream, b"%d" % (number % 3), start_revision=1 + number)
    reads = []
    events = world.store.events
    monkeypatch.setattr(world.store, "events", lambda *asked: reads.append(asked) or events(*asked))
    for number, stream in enumerate(streams):
        found = [e.kv.mod_revision for r in world.responses(stream) for e in r.events]
        assert found == [
            revision
            for revision in range(max(2, 1 + number), 302)
            if revision % 3 == (2 + number) % 3
        ]
    assert len(reads) < 10


def test_a_reader_of_much_history_does_not_hold_up_one_of_little(world, monkeypatch):
    monkeypatch.setattr("actors.watch.catchup.CHANGES_PER_STEP", 64)
    monkeypatch.setattr("actors.watch.catchup.STEPS_PER_ROUND", 2)
    for _ in range(5000):
        world.put(b"a")
    slow, quick = world.client(), world.client()
    world.watch(slow, b"a", start_revision=1)
    world.watch(quick, b"a", start_revision=4990)
    for _ in range(4):
        world.watches.catch_up()
    assert quick.watchers[0].state is State.SYNCED
    assert slow.watchers[0].state is State.BEHIND
    assert sum(len(response.events) for response in world.responses(slow)) == 5000


def test_large_values_are_read_few_at_a_time(world, monkeypatch):
    for _ in range(100):
        world.put((b"a", b"x" * 100_000))
    largest = []
    events = world.store.events

    def count(first: int, last: int, limit: int):
        found = events(first, last, limit)
        largest.append(sum(len(event.keyvalue) for event in found))
        return found

    monkeypatch.setattr(world.store, "events", count)
    stream = world.client()
    world.watch(stream, b"a", start_revision=1)
    assert sum(len(response.events) for response in world.responses(stream)) == 100
    assert all(size < 2 << 20 for size in largest[4:])


# Slow receivers


def test_a_full_sink_falls_behind_and_goes_on_where_it_was(world):
    slow, quick = world.client(limit=2), world.client()
    for stream in (slow, quick):
        world.watch(stream, b"a")
    for number in range(5):
        world.put((b"a", b"%d" % number))
        world.settle()
    assert slow.sink.was_refused
    assert len(world.lines(quick)) == 6
    assert world.lines(slow) == ["1 #0 created", "2 #0 +a=0@2"]
    assert world.watches.slow_watchers == 1
    assert world.lines(slow) == []
    world.watches.has_room(slow)
    assert world.lines(slow) == ["6 #0 +a=1@3 +a=2@4 +a=3@5 +a=4@6"]
    assert world.watches.slow_watchers == 0
    world.put((b"a", b"5"))
    assert world.lines(slow) == ["7 #0 +a=5@7"]


def test_a_sink_that_fills_up_while_reading_history_goes_on_where_it_was(world):
    for _ in range(1000):
        world.put(b"a")
    stream = world.client(limit=2)
    world.watch(stream, b"a", start_revision=1)
    found: list[int] = []
    while len(found) < 1000:
        got = [e.kv.mod_revision for r in world.responses(stream) for e in r.events]
        assert got
        found += got
        world.watches.has_room(stream)
    assert found == list(range(2, 1002))


def test_a_slow_receiver_is_ended_by_a_compaction_once_it_has_room(world):
    stream = world.client(limit=1)
    world.watch(stream, b"a")
    world.put(b"a", b"a", b"a")
    world.settle()
    world.compact(4)
    assert world.lines(stream) == ["1 #0 created"]
    world.watches.has_room(stream)
    assert world.lines(stream) == ["0 #0 canceled compacted 4"]


def test_the_end_by_compaction_waits_for_room_too(world):
    world.put(b"a", b"a", b"a")
    world.compact(3)
    stream = world.client(limit=1)
    world.watch(stream, b"a", start_revision=1)
    assert world.lines(stream) == ["4 #0 created"]
    world.watches.has_room(stream)
    assert world.lines(stream) == ["0 #0 canceled compacted 3"]


def test_more_than_the_feed_holds_is_read_from_the_store(world, monkeypatch):
    monkeypatch.setattr("actors.mvcc.feed.LIMIT_BYTES", 2000)
    first, second = world.client(), world.client()
    world.watch(first, b"a")
    world.watch(second, b"a", start_revision=15)
    for _ in range(30):
        world.put(b"a")
    for stream, start in ((first, 2), (second, 15)):
        found = [e.kv.mod_revision for r in world.responses(stream) for e in r.events]
        assert found == list(range(start, 32))
    world.put(b"a")
    assert world.lines(first) == ["32 #0 +a=v@32"]


# Fragments


def test_a_large_response_is_split_for_those_that_ask_and_whole_for_others():
    world = World(fragment_bytes=1000)
    stream = world.client()
    world.watch(stream, b"a", range_end=b"b", fragment=True)
    world.watch(stream, b"a", range_end=b"b")
    world.put_together([b"a%d" % n for n in range(10)], b"x" * 250)
    responses = world.responses(stream)[2:]
    parts = [r for r in responses if r.watch_id == 0]
    [whole] = [r for r in responses if r.watch_id == 1]
    assert [p.fragment for p in parts] == [True] * (len(parts) - 1) + [False]
    assert [len(p.events) for p in parts] == [3, 3, 3, 1]
    assert [e for p in parts for e in p.events] == list(whole.events)
    assert all(p.ByteSize() < 1000 for p in parts)
    assert {p.header.revision for p in parts} == {2}


def test_an_event_larger_than_a_fragment_travels_alone():
    world = World(fragment_bytes=1000)
    stream = world.client()
    world.watch(stream, b"a", range_end=b"b", fragment=True)
    world.put_together([b"a1", b"a2"], b"x" * 2000)
    world.put_together([b"a3"], b"x" * 2000)
    flags = [(r.fragment, len(r.events)) for r in world.responses(stream)[1:]]
    assert flags == [(True, 1), (True, 1), (False, 1)]


def test_fragments_of_one_response_stay_together():
    world = World(fragment_bytes=1000)
    stream = world.client(limit=2)
    world.watch(stream, b"a", range_end=b"b", fragment=True)
    world.put_together([b"a%d" % n for n in range(10)], b"x" * 250)
    assert [r.fragment for r in world.responses(stream)] == [False, True, True, True, False]


# Progress


def test_progress_is_told_for_all_when_all_are_up_to_date(world):
    stream = world.client()
    world.watches.progress(stream)
    world.watch(stream, b"a")
    world.put(b"b")
    world.settle()
    world.watches.progress(stream)
    assert world.lines(stream) == ["1 #-1", "1 #0 created", "2 #-1"]


def test_progress_is_not_told_while_one_reads_history(world):
    world.put(b"a")
    stream = world.client()
    world.watch(stream, b"b")
    world.watch(stream, b"a", start_revision=1)
    world.watches.progress(stream)
    assert world.lines(stream)[2:] == ["2 #1 +a=v@2"]
    world.watches.progress(stream)
    assert world.lines(stream) == ["2 #-1"]


def test_progress_is_not_told_before_a_watch_of_the_future_starts(world):
    stream = world.client()
    world.watch(stream, b"a", start_revision=3)
    for _ in range(2):
        world.watches.progress(stream)
        world.put(b"b")
        world.settle()
    world.watches.progress(stream)
    assert world.lines(stream) == ["1 #0 created", "3 #-1"]


def test_a_watch_that_compaction_ended_does_not_hold_up_progress(world):
    world.put(b"a", b"a")
    world.compact(3)
    stream = world.client()
    world.watch(stream, b"a", start_revision=1)
    world.settle()
    world.watches.progress(stream)
    assert world.lines(stream)[2:] == ["3 #-1"]


def test_progress_never_says_more_than_was_sent(world):
    stream = world.client()
    world.watch(stream, b"a")
    world.put(b"a")
    world.watches.progress(stream)  # the change is there, and not published yet
    assert world.lines(stream) == ["1 #0 created", "1 #-1", "2 #0 +a=v@2"]


def tick(world: World) -> None:
    world.settle()
    world.now += 1.1 * INTERVAL
    world.watches.tick(world.now)


def test_a_quiet_watch_is_told_of_progress_in_every_interval(world):
    stream = world.client()
    world.watch(stream, b"a", progress_notify=True)
    world.watch(stream, b"a")
    world.put(b"b")
    tick(world)
    tick(world)
    assert world.lines(stream)[2:] == ["2 #0", "2 #0"]


def test_a_watch_that_had_events_is_not_told_of_progress_in_that_interval(world):
    stream = world.client()
    world.watch(stream, b"a", progress_notify=True)
    world.put(b"a")
    tick(world)
    assert world.lines(stream)[1:] == ["2 #0 +a=v@2"]
    tick(world)
    assert world.lines(stream) == ["2 #0"]


def test_a_watch_that_is_not_up_to_date_is_told_nothing(world):
    stream = world.client(limit=1)
    world.watch(stream, b"a", progress_notify=True)
    world.watch(stream, b"a", start_revision=9, progress_notify=True)
    world.put(b"a")
    tick(world)
    assert world.lines(stream) == ["1 #0 created", "1 #1 created"]


def test_ticks_come_with_jitter_and_end_with_the_last_watch_that_wants_them(world):
    stream = world.client()
    world.watch(stream, b"a", progress_notify=True)
    assert INTERVAL <= world.ticks.next_time <= 1.1 * INTERVAL
    world.watches.cancel(stream, 0)
    assert world.ticks.next_time == float("inf")


# The store is replaced


def test_watchers_read_on_from_where_they_are_when_a_snapshot_replaces_the_store(world):
    stream = world.client()
    world.watch(stream, b"a")
    world.watch(stream, b"a", start_revision=6)
    world.watch(stream, b"a", start_revision=9)
    world.put(b"a", b"a")
    world.settle()
    newer = World()
    newer.put(b"a", b"a", b"a", b"a", b"a", b"a")
    world.store = newer.store
    world.watches.restore(newer.store)
    assert world.lines(stream)[3:] == [
        "3 #0 +a=v@2 +a=v@3",
        "7 #0 +a=v@4 +a=v@5 +a=v@6 +a=v@7",
        "7 #1 +a=v@6 +a=v@7",
    ]
    world.put(b"a", b"a")
    assert sorted(world.lines(stream)) == [
        "9 #0 +a=v@8 +a=v@9",
        "9 #1 +a=v@8 +a=v@9",
        "9 #2 +a=v@9",
    ]


@pytest.mark.parametrize("order", sorted(set(permutations(["put", "look", "put", "notice"]))))
def test_a_snapshot_in_the_same_store_is_told_of_once_whatever_comes_first(world, order):
    """A member's store is refilled where it is; the hub hears of it some time later."""
    stream = world.client()
    world.watch(stream, b"a")
    world.put(b"a")
    assert world.lines(stream)[1:] == ["2 #0 +a=v@2"]
    newer = World()
    newer.put(b"a", b"a", b"a", b"a")
    world.put(b"a")  # not published when the snapshot comes
    world.store.backend = newer.store.backend
    world.store.restore()
    for step in order:
        match step:
            case "put":
                world.put(b"a")
            case "look":
                for _ in world.watches.publish():
                    pass
            case "notice":
                world.watches.restore(world.store)
    told = [event for line in world.lines(stream) for event in line.split()[2:]]
    assert told == [f"+a=v@{revision}" for revision in range(3, 8)]


def test_nothing_is_held_for_watchers_that_are_not_there():
    world = World()
    world.put(b"a")
    assert world.store.feed.events == []
    stream = world.client()
    world.watch(stream, b"a")
    world.put(b"a")
    assert len(world.store.feed.events) == 1
    assert isinstance(stream.sink, Client)
    assert new_store().revision == 1
