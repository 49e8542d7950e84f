"""A file is looked at before LMDB trusts it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from actors.backend.buckets import KEY
from actors.backend.lmdb_engine import FILE_NAME, LMDBEngine
from actors.backend.lmdb_format import NotOurDatabase, check_database

PAGE = 4096


def row(number: int) -> bytes:
    return struct.pack(">Q1sQ", number, b"_", 0)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Branch and leaf pages, large values, and free pages from rows that are gone."""
    directory = tmp_path_factory.mktemp("database")
    engine = LMDBEngine(directory, fsync=False)
    steps = [
        (KEY, [(row(number), b"v" * 130) for number in range(3000)]),
        ("lease", [(b"%d" % number, b"x" * (200 * number)) for number in range(60)]),
        (KEY, [(row(number), None) for number in range(0, 2000, 2)]),
        ("lease", [(b"%d" % number, b"y" * (90 * number)) for number in range(0, 60, 3)]),
    ]
    for bucket, changes in steps:
        engine.begin()
        engine.write(bucket, changes)
        engine.commit()
        engine.renew()
    in_use = engine.size_in_use()
    engine.close()
    data = (directory / FILE_NAME).read_bytes()
    assert in_use <= check_database(memoryview(data)) < in_use + 64 * PAGE  # and the free list
    return data


def refusal(data: bytes) -> str:
    with pytest.raises(NotOurDatabase) as caught:
        check_database(memoryview(data))
    return str(caught.value)


def test_a_database_that_was_never_written_to_is_whole(tmp_path: Path):
    LMDBEngine(tmp_path).close()
    check_database(memoryview((tmp_path / FILE_NAME).read_bytes()))


@pytest.mark.parametrize("pages", [2, 3, 10, 200])
def test_a_file_that_was_cut_short_is_refused(database: bytes, pages: int):
    assert "it ends after" in refusal(database[: pages * PAGE])


def test_a_file_cut_inside_its_first_pages_is_refused(database: bytes):
    assert refusal(database[:100]) == "is not an LMDB database"
    assert "inside its first two pages" in refusal(database[:PAGE])


def test_a_file_of_another_kind_or_engine_is_refused(database: bytes):
    assert refusal(bytes(PAGE)) == "is not an LMDB database"
    other = bytearray(database)
    other[20:24] = (3).to_bytes(4, "little")
    assert "data version 3" in refusal(bytes(other))


def test_the_engine_names_the_file_and_does_not_open_it(database: bytes, tmp_path: Path):
    path = tmp_path / FILE_NAME
    path.write_bytes(database[: 10 * PAGE])
    with pytest.raises(NotOurDatabase, match=f"^{path} is damaged: page"):
        LMDBEngine(tmp_path)
    assert path.read_bytes() == database[: 10 * PAGE]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_is_in_a_file_it_is_whole_or_refused(database: bytes, seed: int):
    rng = random.Random(seed)
    data = bytearray(database)
    for _ in range(rng.choice([1, 2, 5, 50])):
        page = rng.randrange(len(data) // PAGE)
        at = rng.choice([rng.randrange(32), rng.randrange(200), rng.randrange(PAGE)])
        data[page * PAGE + at] = rng.choice([0, 255, rng.randrange(256)])
    words = ""
    try:
        check_database(memoryview(data))
    except NotOurDatabase as error:
        words = str(error)
    assert words.startswith(("is damaged", "is not an", "was written by")) or not words
