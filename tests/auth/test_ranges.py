"""Permissions as ranges of keys, against a model that is nothing but sets."""

from __future__ import annotations

import random
from itertools import product

import pytest

from actors.auth.ranges import KeyRanges, is_valid

KEYS = [bytes(word) for size in (1, 2, 3) for word in product(b"abc", repeat=size)]
# All keys there are, cut wherever a permission or a request may begin or end.  A piece is called
# by its first key; the last one has no end.
PIECES = sorted({*KEYS, *(key + b"\0" for key in KEYS)})


def named(key: bytes, range_end: bytes) -> set[bytes]:
    """The pieces that a permission or a request names."""
    if not range_end:
        return {key}
    if range_end == b"\0":
        return {each for each in PIECES if each >= key}
    return {each for each in PIECES if key <= each < range_end}


def some(rng: random.Random) -> tuple[bytes, bytes]:
    key, end = rng.choice(KEYS), rng.choice(PIECES)
    return key, rng.choice((b"", b"\0", end, end, end))


@pytest.mark.parametrize("seed", range(10))
def test_a_request_is_covered_exactly_if_all_its_keys_are_permitted(seed: int):
    """A thousand each: 10,000 in all."""
    rng = random.Random(seed)
    seen = {True: 0, False: 0}
    for _ in range(1000):
        permissions = [some(rng) for _ in range(rng.randrange(8))]
        key, end = some(rng)
        permitted = set().union(*(named(*each) for each in permissions))
        asked = named(key, end) or {key}  # of an empty range the start counts
        covered = KeyRanges(permissions).cover(key, end)
        assert covered == (asked <= permitted), (permissions, key, end)
        seen[covered] += 1
    assert min(seen.values()) > 100


def test_touching_ranges_count_as_one():
    ranges = KeyRanges([(b"a", b"c"), (b"c", b"e"), (b"e", b"")])
    assert ranges.cover(b"a", b"e\0")
    assert not ranges.cover(b"a", b"e\0\0")


def test_a_hole_of_one_key_is_a_hole():
    ranges = KeyRanges([(b"a", b"b"), (b"b\0", b"c")])
    assert not ranges.cover(b"a", b"c")
    assert not ranges.cover(b"b", b"")
    assert ranges.cover(b"b\0", b"c")


def test_only_an_open_end_covers_an_open_end():
    assert not KeyRanges([(b"a", b"\xff\xff\xff")]).cover(b"b", b"\0")
    assert KeyRanges([(b"a", b"\0")]).cover(b"b", b"\0")
    assert not KeyRanges([(b"b", b"\0")]).cover(b"a", b"\0")
    assert KeyRanges([(b"a", b"c"), (b"b", b"\0")]).cover(b"a", b"\0")


def test_everything_is_from_the_first_key_on():
    assert KeyRanges([(b"\0", b"\0")]).cover(b"\0", b"\0")


def test_what_old_releases_took_for_a_permission_permits_nothing():
    ranges = KeyRanges([(b"", b""), (b"", b"\0"), (b"k5", b"k2"), (b"k", b"k")])
    assert not any(ranges.cover(key, b"") for key in (b"a", b"k2", b"k3", b"k5", b"z"))


@pytest.mark.parametrize(
    ("key", "end", "valid"),
    [
        (b"a", b"", True),
        (b"a", b"b", True),
        (b"a", b"\0", True),
        (b"\0", b"\0", True),
        (b"", b"", False),
        (b"", b"\0", False),
        (b"b", b"a", False),
        (b"a", b"a", False),
    ],
)
def test_a_permission_is_on_a_key_or_a_range_that_is_one(key: bytes, end: bytes, valid: bool):
    assert is_valid(key, end) is valid
