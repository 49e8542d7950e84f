"""The interval tree, beside a list that is searched from end to end."""

from __future__ import annotations

import random

import pytest

from actors.watch.intervals import Intervals, _Node


def check(node: _Node[int] | None) -> tuple[int, bytes]:
    """The tree's invariants; returns (height, greatest end)."""
    if node is None:
        return 0, b""
    left, right = check(node.left), check(node.right)
    assert abs(left[0] - right[0]) <= 1
    assert node.height == 1 + max(left[0], right[0])
    assert node.max_end == max(node.end, left[1], right[1])
    for child, is_left in ((node.left, True), (node.right, False)):
        if child is not None:
            assert ((child.start, child.end) < (node.start, node.end)) is is_left
    return node.height, node.max_end


def test_a_range_holds_its_start_and_not_its_end():
    ranges: Intervals[int] = Intervals()
    ranges.add(b"b", b"d", 1)
    assert [ranges.holding(key) for key in (b"a", b"b", b"c\xff", b"d", b"e")] == [
        [],
        [1],
        [1],
        [],
        [],
    ]


def test_a_range_without_an_end_holds_everything_from_its_start():
    ranges: Intervals[int] = Intervals()
    ranges.add(b"b", None, 1)
    ranges.add(b"c", None, 2)
    assert ranges.holding(b"a\xff") == []
    assert ranges.holding(b"b") == [1]
    assert ranges.holding(b"\xff" * 20) == [1, 2]


def test_ranges_are_found_by_start_and_the_endless_ones_last():
    ranges: Intervals[int] = Intervals()
    for number, (start, end) in enumerate([(b"c", b"z"), (b"a", b"y"), (b"b", None), (b"a", b"x")]):
        ranges.add(start, end, number)
    assert ranges.holding(b"m") == [3, 1, 0, 2]


def test_what_was_removed_is_not_found():
    ranges: Intervals[int] = Intervals()
    ranges.add(b"a", b"c", 1)
    ranges.add(b"a", None, 2)
    ranges.remove(b"a", b"c")
    assert ranges.holding(b"b") == [2]
    ranges.remove(b"a", None)
    assert ranges.holding(b"b") == []
    assert len(ranges) == 0


def test_removing_what_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        Intervals().remove(b"a", b"b")


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_plain_search(seed):
    rng = random.Random(seed)
    ranges: Intervals[int] = Intervals()
    plain: dict[tuple[bytes, bytes | None], int] = {}

    def key() -> bytes:
        return bytes(rng.choices(b"abc\xff", k=rng.randrange(5)))

    for number in range(400):
        start, end = key(), None if rng.random() < 0.1 else key()
        if end is not None and end <= start:
            continue
        if (start, end) in plain:
            del plain[start, end]
            ranges.remove(start, end)
        else:
            plain[start, end] = number
            ranges.add(start, end, number)
        assert ranges.get(start, end) == plain.get((start, end))
        for _ in range(5):
            asked = key()
            expected = {n for (s, e), n in plain.items() if s <= asked and (e is None or asked < e)}
            assert set(ranges.holding(asked)) == expected
        check(ranges._root)
    for start, end in list(plain):
        ranges.remove(start, end)
        check(ranges._root)
    assert ranges._root is None


@pytest.mark.parametrize("order", [1, -1])
def test_ranges_that_come_in_order_make_no_list_of_the_tree(order):
    ranges: Intervals[int] = Intervals()
    for number in range(1000)[::order]:
        ranges.add(b"%04d" % number, b"%04d" % (number + 1), number)
    assert ranges._root is not None
    assert ranges._root.height <= 12
