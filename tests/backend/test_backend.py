"""Reads see all that was applied, wherever it is: pending, being committed, in the database."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.backend import lmdb_engine
from actors.backend.backend import Backend
from actors.backend.buckets import CONSISTENT_INDEX, KEY, META
from actors.backend.engine import Engine, Full, MemoryEngine
from actors.backend.lmdb_engine import LMDBEngine


@pytest.fixture(params=["memory", "lmdb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened: Engine = MemoryEngine() if request.param == "memory" else LMDBEngine(tmp_path)
    yield opened
    opened.close()


def commit(backend: Backend) -> None:
    engine = backend.engine
    engine.begin()
    layer = backend.take()
    if layer is None:
        engine.abort()
        return
    for bucket, changes in layer.buckets.items():
        engine.write(bucket, changes.items())
    engine.commit()
    engine.renew()
    backend.committed()


def test_a_read_sees_pending_then_committing_then_the_database(engine: Engine):
    backend = Backend(engine)
    backend.put("lease", b"a", b"1")
    assert backend.get("lease", b"a") == b"1"
    engine.begin()
    backend.take()
    assert backend.get("lease", b"a") == b"1"
    backend.put("lease", b"a", b"2")
    assert backend.get("lease", b"a") == b"2"
    engine.write("lease", [(b"a", b"1")])
    engine.commit()
    engine.renew()
    backend.committed()
    assert backend.get("lease", b"a") == b"2"
    assert engine.get("lease", b"a") == b"1"
    backend.delete("lease", b"a")
    assert backend.get("lease", b"a") is None


def test_the_index_is_committed_with_the_rows_it_belongs_to(engine: Engine):
    backend = Backend(engine)
    backend.put_row(b"r1", b"v")
    backend.applied_index, backend.applied_term = 7, 2
    engine.begin()
    layer = backend.take()
    assert layer is not None
    assert layer.buckets[META][CONSISTENT_INDEX] == (7).to_bytes(8, "big")
    assert layer.buckets[KEY] == {b"r1": b"v"}
    backend.applied_index = 8  # applied while the commit runs: not part of it
    assert backend.durable_index == 0
    for bucket, changes in layer.buckets.items():
        engine.write(bucket, changes.items())
    engine.commit()
    engine.renew()
    backend.committed()
    assert backend.durable_index == 7
    assert Backend(engine).applied_index == 7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.binary(max_size=2), st.binary(max_size=2)),
            st.tuples(st.just("delete"), st.binary(max_size=2)),
            st.tuples(st.just("commit")),
            st.tuples(st.just("take")),
            st.tuples(
                st.just("scan"),
                st.binary(max_size=2),
                st.one_of(st.none(), st.binary(max_size=2)),
                st.integers(1, 4),
            ),
        ),
        max_size=40,
    )
)
def test_scans_agree_with_one_dictionary(steps: list[tuple[object, ...]]):
    backend = Backend(MemoryEngine())
    model: dict[bytes, bytes] = {}
    taken = None
    for step in steps:
        match step:
            case ("put", bytes(key), bytes(value)) if key:
                backend.put("lease", key, value)
                model[key] = value
            case ("delete", bytes(key)) if key:
                backend.delete("lease", key)
                model.pop(key, None)
            case ("take",) if taken is None:
                taken = backend.take()
            case ("commit",) if taken is not None:
                backend.engine.begin()
                for bucket, changes in taken.buckets.items():
                    backend.engine.write(bucket, changes.items())
                backend.engine.commit()
                backend.committed()
                taken = None
            case ("scan", bytes(start), stop, int(limit)):
                expected = [
                    (key, model[key])
                    for key in sorted(model)
                    if key >= start and (stop is None or key < stop)
                ]
                assert backend.scan("lease", start, stop, limit) == expected[:limit]
                assert backend.scan("lease", start, stop) == expected


def test_rows_survive_closing_and_opening(tmp_path: Path):
    first = LMDBEngine(tmp_path)
    backend = Backend(first)
    backend.put_row(b"r1", b"v" * 100)
    commit(backend)
    first.close()
    again = LMDBEngine(tmp_path)
    assert again.get(KEY, b"r1") == b"v" * 100
    again.close()


def test_a_snapshot_does_not_see_later_commits(engine: Engine):
    backend = Backend(engine)
    backend.put_row(b"r1", b"1")
    commit(backend)
    snapshot = engine.snapshot()
    backend.put_row(b"r2", b"2")
    commit(backend)
    assert list(snapshot.rows(KEY)) == [(b"r1", b"1")]
    snapshot.close()
    assert [key for key, _ in engine.scan(KEY, b"", None, 10)] == [b"r1", b"r2"]


def test_defragmentation_keeps_the_rows_and_gives_pages_back(tmp_path: Path):
    engine = LMDBEngine(tmp_path)
    backend = Backend(engine)
    for number in range(2000):
        backend.put_row(number.to_bytes(8, "big"), b"x" * 500)
    commit(backend)
    for number in range(1990):
        backend.delete(KEY, number.to_bytes(8, "big"))
    commit(backend)
    before = engine.size()
    engine.defragment()
    engine.swap()
    assert engine.size() < before / 10
    assert [int.from_bytes(key, "big") for key, _ in engine.scan(KEY, b"", None, 99)] == list(
        range(1990, 2000)
    )
    assert engine.size_in_use() <= engine.size()
    engine.close()


def test_a_snapshot_outlives_a_defragmentation(tmp_path: Path):
    engine = LMDBEngine(tmp_path)
    backend = Backend(engine)
    rows = [(number.to_bytes(8, "big"), b"x" * 500) for number in range(500)]
    for revision, value in rows:
        backend.put_row(revision, value)
    commit(backend)
    snapshot = engine.snapshot()
    reading = snapshot.rows(KEY)
    seen = [next(reading) for _ in range(100)]
    engine.defragment()
    engine.swap()
    backend.put_row(rows[200][0], b"new")
    commit(backend)
    assert seen + list(reading) == rows
    snapshot.close()
    backend.put_row(rows[201][0], b"new")
    commit(backend)
    assert [engine.get(KEY, rows[at][0]) for at in (200, 201)] == [b"new", b"new"]
    engine.close()


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    engine = LMDBEngine(tmp_path)

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("actors.backend.lmdb_engine.os.fsync", no_room)
    with pytest.raises(OSError, match=r"cannot copy .*No space left"):
        engine.defragment()
    assert not list(tmp_path.glob("*.defrag"))
    engine.close()


def test_a_full_map_grows_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lmdb_engine, "FIRST_MAP_BYTES", 1 << 18)
    engine = LMDBEngine(tmp_path)
    rows = [(number.to_bytes(8, "big"), b"x" * 1000) for number in range(1000)]
    engine.begin()
    with pytest.raises(Full):
        engine.append(KEY, rows)
    for _ in range(4):
        engine.abort()
        engine.grow()
        engine.begin()
        try:
            engine.append(KEY, rows)
            break
        except Full:
            continue
    engine.commit()
    engine.renew()
    assert engine.scan(KEY, b"", None, 5000) == rows
    engine.close()
