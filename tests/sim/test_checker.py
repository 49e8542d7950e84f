"""The checkers themselves: histories that are right pass, each known kind of wrong one does not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from trioetcd.testing.checker import Wrong, check_keys
from trioetcd.testing.history import (
    Delete,
    Delivery,
    Event,
    Found,
    Get,
    Operation,
    Put,
    PutAll,
    Swap,
    Watching,
    Written,
)
from trioetcd.testing.replay import check_replay, check_time, log_of
from trioetcd.testing.watches import check_watch

K, L = b"k", b"l"


def op(called: float, returned: float, request, result=None, client: int = 1) -> Operation:
    return Operation(client, request, called, returned, result)


def put(revision: int, value: bytes, version: int = 1, key: bytes = K, **fields) -> Event:
    return Event(revision, key, value, fields.pop("create_revision", revision), version, **fields)


def gone(revision: int, key: bytes = K) -> Event:
    return Event(revision, key, None)


GOOD = {
    "nothing": ([], []),
    "a put is read": (
        [op(0, 1, Put(K, b"1"), Written(2)), op(2, 3, Get(K), Found(2, b"1", 2, 1))],
        [put(2, b"1")],
    ),
    "a read at once with a put may see either": (
        [
            op(0, 9, Put(K, b"1"), Written(2)),
            op(1, 2, Get(K), Found(1), 2),
            op(3, 4, Get(K), Found(2, b"1", 2, 1), 3),
        ],
        [put(2, b"1")],
    ),
    "an unknown put that happened late": (
        [
            op(0, 1, Put(K, b"1")),
            op(2, 3, Get(K), Found(1), 2),
            op(4, 5, Get(K), Found(2, b"1", 2, 1), 2),
        ],
        [put(2, b"1")],
    ),
    "an unknown put that never happened": (
        [op(0, 1, Put(K, b"1")), op(2, 3, Get(K), Found(1), 2)],
        [],
    ),
    "swaps that fit and one that does not": (
        [
            op(0, 1, Swap(K, None, b"1"), Written(2)),
            op(2, 3, Swap(K, b"1", b"2"), Written(3)),
            op(4, 5, Swap(K, b"1", b"3"), Found(3, b"2", 3, 2)),
        ],
        [put(2, b"1"), put(3, b"2", 2, create_revision=2)],
    ),
    "a deletion, and one of nothing": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Delete(K), Written(3, 1)),
            op(4, 5, Delete(K), Written(3, 0)),
            op(6, 7, Put(K, b"2"), Written(4)),
            op(8, 9, Get(K), Found(4, b"2", 4, 1)),
        ],
        [put(2, b"1"), gone(3), put(4, b"2")],
    ),
    "two keys in one transaction": (
        [op(0, 1, PutAll(((K, b"1"), (L, b"2"))), Written(2))],
        [put(2, b"1"), put(2, b"2", key=L)],
    ),
}

BAD = {
    "a stale read": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Put(K, b"2"), Written(3)),
            op(4, 5, Get(K), Found(2, b"1", 2, 1), 2),
        ],
        [put(2, b"1"), put(3, b"2", 2)],
    ),
    "a lost write": (
        [op(0, 1, Put(K, b"1"), Written(2)), op(2, 3, Get(K), Found(2), 2)],
        [],
    ),
    "reads that go back": (
        [
            op(0, 9, Put(K, b"1"), Written(2)),
            op(1, 2, Get(K), Found(2, b"1", 2, 1), 2),
            op(3, 4, Get(K), Found(1), 3),
        ],
        [put(2, b"1")],
    ),
    "a split brain: two swaps of one value": (
        [
            op(0, 1, Put(K, b"0"), Written(2)),
            op(2, 9, Swap(K, b"0", b"1"), Written(3), 1),
            op(2, 9, Swap(K, b"0", b"2"), Written(3), 2),
        ],
        [put(2, b"0"), put(3, b"1", 2)],
    ),
    "a split brain: one revision, two values": (
        [
            op(0, 9, Put(K, b"1"), Written(2), 1),
            op(0, 9, Put(K, b"2"), Written(2), 2),
        ],
        [put(2, b"1")],
    ),
    "a write applied twice": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Get(K), Found(3, b"1", 3, 2)),
        ],
        [put(2, b"1"), put(3, b"1", 2)],
    ),
    "an unknown put done before it was asked for": (
        [
            op(0, 1, Get(K), Found(2, b"1", 2, 1)),
            op(2, 3, Put(K, b"1")),
        ],
        [put(2, b"1")],
    ),
    "a value from nowhere": (
        [op(0, 1, Get(K), Found(2, b"?", 2, 1))],
        [put(2, b"?")],
    ),
    "a deletion that deletes nothing": (
        [op(0, 1, Put(K, b"1"), Written(2)), op(2, 3, Delete(K), Written(2, 0))],
        [put(2, b"1")],
    ),
    "a swap that should have been done": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Swap(K, b"1", b"2"), Found(2, b"1", 2, 1)),
        ],
        [put(2, b"1")],
    ),
    "a version that skips": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Get(K), Found(2, b"1", 2, 3)),
        ],
        [put(2, b"1", 3)],
    ),
    "a deleted key comes back": (
        [
            op(0, 1, Put(K, b"1"), Written(2)),
            op(2, 3, Delete(K), Written(3, 1)),
            op(4, 5, Get(K), Found(3, b"1", 2, 1)),
        ],
        [put(2, b"1"), gone(3)],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_history_passes(name: str):
    history, events = GOOD[name]
    check_keys(history)
    check_replay(history, log_of(events))


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_history_is_not_linearizable(name: str):
    with pytest.raises(Wrong):
        check_keys(BAD[name][0])


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_history_does_not_fit_the_log(name: str):
    history, events = BAD[name]
    with pytest.raises(Wrong):
        check_replay(history, log_of(events))


def test_half_a_transaction_does_not_fit_the_log():
    history = [op(0, 1, PutAll(((K, b"1"), (L, b"2"))), Written(2))]
    with pytest.raises(Wrong):
        check_replay(history, log_of([put(2, b"1")]))


def test_a_transaction_seen_in_parts_runs_against_time():
    """Each key for itself is fine: only the revisions show it."""
    history = [
        op(0, 9, PutAll(((K, b"1"), (L, b"2"))), Written(2)),
        op(1, 2, Get(K), Found(2, b"1", 2, 1), 2),
        op(3, 4, Get(L), Found(1), 2),
    ]
    check_keys(history[:2])
    with pytest.raises(Wrong):
        check_time(history)


def test_a_log_without_one_revision_is_refused():
    with pytest.raises(Wrong, match="gaps"):
        log_of([put(2, b"1"), put(4, b"2")])


def test_only_a_leased_key_may_vanish():
    history = [op(0, 1, Put(K, b"1", lease=7), Written(2))]
    log = log_of([put(2, b"1", lease=7), gone(3)])
    check_replay(history, log, expired=[K])
    with pytest.raises(Wrong, match="nobody asked"):
        check_replay(history, log)


# -- Random histories


def served(rng: random.Random, clients: int = 4, count: int = 60):
    """A history as a correct server with one lock makes it, with its log."""
    time, revision = 0.0, 1
    state: dict[bytes, Event] = {}
    log: list[Event] = []
    history: list[Operation] = []
    free = dict.fromkeys(range(clients), 0.0)
    for number in range(count):
        client = min(free, key=free.__getitem__)
        called = max(free[client], time - rng.random())
        time = max(time, called) + rng.random() * 0.1
        key, value = rng.choice((K, L)), b"%d" % number
        request = rng.choice((Get(key), Put(key, value), Delete(key), Swap(key, None, value)))
        old = state.get(key)
        found = Found(revision, old.value, old.revision, old.version) if old else Found(revision)
        writes = isinstance(request, Put) or (isinstance(request, Swap) and old is None)
        lost = rng.random() < 0.1
        result: Found | Written = found
        if lost and rng.random() < 0.5:
            pass  # it never arrived
        elif writes:
            revision += 1
            version = old.version + 1 if old else 1
            state[key] = Event(revision, key, value, revision, version)
            log.append(state[key])
            result = Written(revision)
        elif isinstance(request, Delete):
            revision += old is not None
            result = Written(revision, int(old is not None))
            if state.pop(key, None):
                log.append(gone(revision, key))
        free[client] = time + rng.random()
        end = free[client]
        history.append(Operation(client, request, called, end, None if lost else result))
    return history, log


@pytest.mark.parametrize("seed", range(30))
def test_what_a_correct_server_does_passes(seed: int):
    history, log = served(random.Random(seed))
    check_keys(history)
    check_replay(history, log_of(log))


@pytest.mark.parametrize("seed", range(30))
def test_one_forged_result_among_many_is_found(seed: int):
    rng = random.Random(seed)
    history, log = served(rng)
    reads = [o for o in history if isinstance(o.result, Found) and o.result.value is not None]
    victim = rng.choice(reads)
    assert isinstance(victim.result, Found)
    victim.result = victim.result._replace(value=b"forged")
    with pytest.raises(Wrong):
        check_keys(history)
    with pytest.raises(Wrong):
        check_replay(history, log_of(log))


# -- Watches


EVENTS = [put(2, b"1"), put(3, b"2", 2), put(3, b"a", key=L), gone(4), put(5, b"3")]


def watching(*deliveries: Delivery, start: int = 1, key: bytes = b"\0", end: bytes = b"\0"):
    return Watching(start, key, end, list(deliveries))


def test_a_right_watch_passes():
    check_watch(
        watching(
            Delivery(2, (EVENTS[0],)),
            Delivery(4, tuple(EVENTS[1:4])),
            Delivery(4),
            Delivery(5, (EVENTS[4],)),
        ),
        log_of(EVENTS),
        complete_to=5,
    )


def test_a_watch_of_one_key_hears_of_no_other():
    check_watch(
        watching(Delivery(3, (EVENTS[1],)), Delivery(4, (EVENTS[3],)), start=3, key=K, end=b""),
        log_of(EVENTS),
        complete_to=4,
    )


def test_fragments_are_one_response():
    check_watch(
        watching(
            Delivery(3, tuple(EVENTS[:2]), is_fragment=True),
            Delivery(3, (EVENTS[2],)),
        ),
        log_of(EVENTS),
        complete_to=3,
    )


BAD_WATCHES: dict[str, Callable[[], Watching]] = {
    "missing at the beginning": lambda: watching(Delivery(3, tuple(EVENTS[1:3]))),
    "missing in the middle": lambda: watching(Delivery(2, (EVENTS[0],)), Delivery(4, (EVENTS[3],))),
    "missing at the end": lambda: watching(Delivery(4, tuple(EVENTS[:4]))),
    "out of order": lambda: watching(
        Delivery(5, (EVENTS[0], EVENTS[3], EVENTS[1], EVENTS[2], EVENTS[4]))
    ),
    "responses out of order": lambda: watching(
        Delivery(5, tuple(EVENTS[3:])), Delivery(5, tuple(EVENTS[:3]))
    ),
    "told twice": lambda: watching(Delivery(5, tuple(EVENTS)), Delivery(5, (EVENTS[4],))),
    "twice in one response": lambda: watching(Delivery(5, (*EVENTS, EVENTS[4]))),
    "a revision in two responses": lambda: watching(
        Delivery(3, tuple(EVENTS[:2])), Delivery(5, tuple(EVENTS[2:]))
    ),
    "what never happened": lambda: watching(Delivery(5, (*EVENTS[:4], put(5, b"?")))),
    "events later than the header": lambda: watching(Delivery(4, tuple(EVENTS))),
    "progress that is not true": lambda: watching(
        Delivery(2, (EVENTS[0],)), Delivery(5), Delivery(5, tuple(EVENTS[1:]))
    ),
    "another's key": lambda: watching(Delivery(5, tuple(EVENTS)), key=K, end=b""),
    "before its start": lambda: watching(Delivery(5, tuple(EVENTS)), start=3),
    "a gap where it was resumed": lambda: watching(
        Delivery(3, tuple(EVENTS[:3])), Delivery(5, (EVENTS[4],))
    ),
}


@pytest.mark.parametrize("name", BAD_WATCHES)
def test_a_wrong_watch_is_found(name: str):
    with pytest.raises(Wrong):
        check_watch(BAD_WATCHES[name](), log_of(EVENTS), complete_to=5)
