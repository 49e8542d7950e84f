"""What is written is read; the file is one that etcd's own tools accept is seen in interop."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bolt.pages import (
    HEADER,
    META_BYTES,
    PAGE_BYTES,
    Meta,
    decode_meta,
    encode_branch,
    encode_leaf,
    encode_meta,
    fnv1a,
)
from actors.bolt.reader import BoltCorrupt, BoltReader
from actors.bolt.writer import BoltWriter
from tests.bolt.files import Bytes, Rows, read, write


def many(count: int, value_bytes: int = 60) -> Rows:
    return {b"%016d" % number: b"v" * value_bytes for number in range(count)}


def test_a_checksum_is_fnv_1a():
    assert fnv1a(b"") == 0xCBF29CE484222325
    assert fnv1a(b"foobar") == 0x85944171F73967E8


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=20),
        st.dictionaries(
            st.binary(min_size=1, max_size=3000), st.binary(max_size=9000), max_size=20
        ),
        max_size=6,
    )
)
def test_what_is_written_is_read(buckets: dict[bytes, Rows]):
    assert read(write(buckets)) == buckets


@pytest.mark.parametrize("count", [0, 1, 2, 60, 5000, 40_000])
def test_buckets_of_all_sizes_are_whole(count: int):
    buckets = {b"key": many(count), b"meta": {b"a": b"b"}}

    assert read(write(buckets)) == buckets


def test_keys_longer_than_a_page_have_branches_of_two_children():
    rng = random.Random(1)
    buckets = {b"key": {rng.randbytes(5000): b"" for _ in range(100)}}

    assert read(write(buckets)) == buckets


@pytest.mark.parametrize("count", range(1, 700, 7))
def test_no_branch_has_one_child(count: int):
    """bbolt panics when such a child shrinks."""
    content = write({b"key": {b"%0900d" % number: b"v" * 2000 for number in range(count)}})

    for at in range(2 * PAGE_BYTES, len(content), PAGE_BYTES):
        _, kind, children, _ = HEADER.unpack_from(content, at)
        assert kind != 1 or children > 1


def test_a_writer_holds_a_page_a_level_and_no_more():
    """Rows are taken as pages are given."""
    taken = 0

    def rows():
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield b"%016d" % number, b"v" * 60

    writer = BoltWriter(lambda: [(b"key", rows())])
    for _ in writer.layout():
        pass
    taken = 0
    for number, _ in enumerate(writer.pages()):
        assert taken <= (number + 1) * 50


@pytest.mark.parametrize("page_bytes", [512, 1024, 8192, 65536])
def test_pages_may_have_another_size(page_bytes: int):
    leaf = encode_leaf(2, [(b"meta", b"\0" * 16 + encode_leaf(0, [(b"a", b"b")], 0, 0))], 1, 0)
    metas = [
        encode_meta(number, Meta(page_bytes, 2, (1 << 64) - 1, 3, 2 - number))
        for number in range(2)
    ]
    content = b"".join(metas) + leaf.ljust(page_bytes, b"\0")

    assert read(content) == {b"meta": {b"a": b"b"}}
    # The second meta is found when the first is broken.
    assert read(bytes(page_bytes) + content[page_bytes:]) == {b"meta": {b"a": b"b"}}


def test_the_newer_meta_counts():
    content = bytearray(write({b"a": {b"1": b"1"}}))
    first = decode_meta(content[:META_BYTES])
    assert first is not None
    broken_root = first._replace(root=first.pages + 7, transaction=1)
    content[PAGE_BYTES : 2 * PAGE_BYTES] = encode_meta(1, broken_root)
    assert read(bytes(content)) == {b"a": {b"1": b"1"}}

    content[PAGE_BYTES : 2 * PAGE_BYTES] = encode_meta(1, broken_root._replace(transaction=3))
    with pytest.raises(BoltCorrupt, match="root page"):
        read(bytes(content))


def with_page(content: bytes, number: int, page: bytes) -> bytes:
    start = number * PAGE_BYTES
    return content[:start] + page.ljust(PAGE_BYTES, b"\0") + content[start + PAGE_BYTES :]


def root_of(content: bytes) -> int:
    return BoltReader(Bytes(content)).meta.root


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (encode_branch(3, [(b"a", 3), (b"b", 3)], 0), "page 3: multiple references"),
        (encode_branch(3, [(b"b", 4), (b"a", 4)], 0), "page 3: keys are not in order"),
        (encode_branch(3, [(b"a", 1 << 60)], 0), "out of bounds"),
        (encode_branch(3, [], 0), "page 3: a branch cannot have 0 children"),
        (encode_leaf(3, [(b"b", b""), (b"a", b"")], 0, 0), "page 3: keys are not in order"),
        (encode_leaf(3, [(b"a", b"")], 0, 1 << 30), "page 3: cannot have 1073741824 more"),
        (encode_leaf(4, [(b"a", b"")], 0, 0), "page 3: says that it is page 4"),
        (encode_leaf(3, [(b"a", bytes(16))], 1, 0), "has a bucket inside"),
        (HEADER.pack(3, 2, 60000, 0), "page 3: 60000 rows do not fit"),
        (HEADER.pack(3, 16, 0, 0), "page 3: kind 0x10"),
        (HEADER.pack(3, 2, 1, 0) + b"\xff" * 16, "page 3: row 0 of 1 is not in it"),
    ],
)
def test_a_broken_page_is_named(page: bytes, words: str):
    content = write({b"key": many(30)})

    with pytest.raises(BoltCorrupt, match=words):
        read(with_page(content, 3, page))


def test_pages_that_nobody_uses_are_told():
    content = write({b"key": many(200)})
    root = root_of(content)
    empty = encode_leaf(root, [(b"key", bytes(16) + encode_leaf(0, [], 0, 0))], 1, 0)
    reader = BoltReader(Bytes(with_page(content, root, empty)))
    assert list(reader.rows(b"key")) == []

    found = reader.unaccounted()

    assert found == [f"page {number}: unreachable unfreed" for number in range(3, root)]


def test_a_page_must_not_be_used_and_free():
    content = write({b"key": many(30)})
    freelist = HEADER.pack(2, 16, 3, 0) + b"".join(
        number.to_bytes(8, "little") for number in (3, 99999, 1 << 63)
    )
    reader = BoltReader(Bytes(with_page(content, 2, freelist)))
    assert len(list(reader.rows(b"key"))) == 30

    found = reader.unaccounted()

    assert found[0] == "page 3: reachable freed"
    assert "page 99999: out of bounds" in found[1]


def test_a_freelist_does_not_claim_more_than_it_holds():
    content = write({b"key": many(30)})
    freelist = HEADER.pack(2, 16, 0xFFFF, 0) + (1 << 62).to_bytes(8, "little")
    reader = BoltReader(Bytes(with_page(content, 2, freelist)))
    list(reader.rows(b"key"))

    with pytest.raises(BoltCorrupt, match="free pages do not fit"):
        reader.unaccounted()


@pytest.mark.parametrize("cut", [0, 10, 4096, 8192, 12288, -4096, -1])
def test_a_file_cut_short_is_refused(cut: int):
    with pytest.raises(BoltCorrupt):
        read(write({b"key": many(500)})[:cut])


def test_a_file_with_flipped_bits_is_read_or_refused():
    """Never a traceback, and never an endless walk."""
    rng = random.Random(7)
    whole = write({b"key": many(3000), b"lease": many(9, 8), b"meta": {b"a": b"b"}})
    refused = 0
    for _ in range(1000):
        content = bytearray(whole)
        headers = rng.randrange(len(whole) // PAGE_BYTES) * PAGE_BYTES + rng.randrange(600)
        at = rng.choice((rng.randrange(len(whole)), headers))
        content[at] ^= 1 << rng.randrange(8)
        try:
            read(bytes(content))
        except BoltCorrupt:
            refused += 1
        except AssertionError:
            refused += 1  # pages that are not accounted for
    assert refused > 100
