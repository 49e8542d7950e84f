"""The log against a plain model of it, and its corners by hand."""

from __future__ import annotations

import random

import pytest

from actors.raft.log import Log
from actors.raft.types import Entry, SnapshotMetadata
from wire.invariant import InvariantBroken

NO_LIMIT = 1 << 60


def entries(terms: str, first: int = 1) -> list[Entry]:
    return [Entry(0, int(t), i, b"%d-%d" % (int(t), i)) for i, t in enumerate(terms.split(), first)]


def log_of(terms: str, start: tuple[int, int] = (0, 0)) -> Log:
    return Log(SnapshotMetadata(*start), entries(terms, start[0] + 1))


def everything(log: Log) -> list[Entry]:
    return log.slice(log.offset + 1, log.last_index, NO_LIMIT, 1 << 30)


# Reading


def test_terms_are_known_from_the_compaction_point_to_the_end():
    log = log_of("3 3 4", start=(7, 2))
    assert [log.term(i) for i in range(6, 12)] == [None, 2, 3, 3, 4, None]
    assert (log.last_index, log.last_term) == (10, 4)
    assert log_of("", start=(7, 2)).last_term == 2


def test_a_slice_has_at_least_one_entry_and_keeps_both_limits():
    log = log_of("1 1 1 1 1")  # three bytes each
    assert len(log.slice(1, 5, NO_LIMIT, 99)) == 5
    assert len(log.slice(1, 5, 0, 99)) == 1
    assert len(log.slice(1, 5, 8, 99)) == 2
    assert len(log.slice(1, 5, 9, 99)) == 3
    assert len(log.slice(1, 5, NO_LIMIT, 2)) == 2
    assert len(log.slice(2, 3, NO_LIMIT, 99)) == 2
    assert log.slice(6, 5, NO_LIMIT, 99) == []
    assert log.size_bytes(1, 3) == 6


def test_entries_without_data_are_limited_by_number():
    log = Log(SnapshotMetadata())
    log.append_data(1, [b""] * 10)
    assert len(log.slice(1, 10, 0, 4)) == 4


@pytest.mark.parametrize(
    ("index", "term", "found"),
    [
        (9, 9, (9, 4)), (9, 3, (7, 3)), (9, 2, (4, 1)), (6, 3, (6, 3)), (5, 1, (4, 1)),
        (3, 1, (3, 1)), (2, 9, (2, 1)), (1, 9, (1, 1)), (99, 9, (9, 4)),
        (2, 0, (0, 0)), (0, 9, (0, 0)),  # compacted: nothing is known of its term
    ],
)  # fmt: skip
def test_the_last_entry_that_may_match_a_term(index: int, term: int, found: tuple[int, int]):
    log = log_of("1 1 1 3 3 3 4 4", start=(1, 1))
    assert log.last_at_most(index, term) == found


def test_an_up_to_date_log_ends_later_or_with_a_later_term():
    log = log_of("1 1 2")
    assert log.is_up_to_date(3, 2)
    assert log.is_up_to_date(1, 3)
    assert not log.is_up_to_date(2, 2)
    assert not log.is_up_to_date(99, 1)


# Appending


@pytest.mark.parametrize(
    ("index", "term", "new", "after"),
    [
        (3, 2, "", "1 1 2"),
        (3, 2, "2 3", "1 1 2 2 3"),
        (2, 1, "2", "1 1 2"),
        (1, 1, "1", "1 1 2"),
        (2, 1, "2 2", "1 1 2 2"),
        (2, 1, "3", "1 1 3"),
        (0, 0, "1 3 3", "1 3 3"),
        (0, 0, "4", "4"),
    ],
)
def test_what_a_leader_has_is_taken_over(index: int, term: int, new: str, after: str):
    log = log_of("1 1 2")
    assert log.merge(index, term, entries(new, index + 1))
    assert everything(log) == entries(after)


@pytest.mark.parametrize(("index", "term"), [(3, 1), (4, 2), (2, 2), (99, 1)])
def test_what_does_not_fit_is_not_taken_over(index: int, term: int):
    log = log_of("1 1 2")
    assert not log.merge(index, term, entries("5", index + 1))
    assert everything(log) == entries("1 1 2")


def test_what_is_committed_is_never_removed():
    log = log_of("1 1 2")
    log.commit_to(2)
    with pytest.raises(InvariantBroken, match="what is committed stays"):
        log.merge(1, 1, entries("3", 2))


def test_entries_that_do_not_continue_the_log_are_a_defect():
    log = log_of("1 1 2")
    with pytest.raises(InvariantBroken):
        log.extend(entries("2", 5))
    with pytest.raises(InvariantBroken):
        log.extend(entries("1", 4))


def test_commits_past_the_end_are_a_defect():
    with pytest.raises(InvariantBroken):
        log_of("1").commit_to(2)


# Writing


def test_each_entry_is_written_once_unless_it_is_replaced():
    log = log_of("")
    log.append_data(1, [b"a", b"b"])
    assert [e.index for e in log.begin_write(1)] == [1, 2]
    assert not log.unwritten
    log.append_data(1, [b"c"])
    assert [e.index for e in log.begin_write(2)] == [3]
    log.merge(1, 1, entries("2", 2))
    assert [e.index for e in log.begin_write(3)] == [2]


def test_entries_are_stable_when_their_write_is_done():
    log = log_of("")
    log.append_data(1, [b"a"])
    log.begin_write(1)
    log.append_data(1, [b"b"])
    log.begin_write(2)
    assert log.stable == 0
    log.end_writes(1)
    assert log.stable == 1
    log.end_writes(2)
    assert log.stable == 2


def test_one_answer_answers_for_all_before():
    log = log_of("")
    for receipt in (1, 2, 3):
        log.append_data(1, [b"a"])
        log.begin_write(receipt)
    log.end_writes(3)
    assert log.stable == 3


def test_a_write_vouches_only_for_what_has_not_been_cut_off_since():
    log = log_of("")
    log.append_data(1, [b"a", b"b", b"c"])
    log.begin_write(1)
    log.merge(1, 1, entries("2 2", 2))
    log.end_writes(1)
    assert log.stable == 1
    log.begin_write(2)
    log.end_writes(2)
    assert log.stable == 3


def test_a_snapshot_voids_the_writes_under_way():
    log = log_of("")
    log.append_data(1, [b"a"] * 20)
    log.begin_write(1)
    log.restore(SnapshotMetadata(5, 2))
    log.extend(entries("2", 6))
    log.end_writes(1)
    assert log.stable == 5


# Applying


def test_entries_are_handed_out_once_when_committed_and_on_disk():
    log = log_of("")
    log.append_data(1, [b"a", b"b", b"c"])
    log.begin_write(1)
    log.commit_to(3)
    assert log.begin_apply(NO_LIMIT) == []
    log.end_writes(1)
    log.committed = 2
    assert [e.index for e in log.begin_apply(NO_LIMIT)] == [1, 2]
    assert log.begin_apply(NO_LIMIT) == []
    log.commit_to(3)
    assert [e.index for e in log.begin_apply(NO_LIMIT)] == [3]


def test_what_is_handed_out_and_not_applied_is_limited():
    log = log_of("1 1 1 1 1")  # three bytes each
    log.commit_to(5)
    assert [e.index for e in log.begin_apply(7)] == [1, 2]
    assert [e.index for e in log.begin_apply(7)] == [3], "one byte of room is room"
    assert log.begin_apply(7) == []
    log.applied_to(2)
    assert [e.index for e in log.begin_apply(7)] == [4]


def test_nothing_is_handed_out_until_a_snapshot_is_installed():
    log = log_of("1 1")
    log.restore(SnapshotMetadata(5, 2))
    log.extend(entries("2", 6))
    log.begin_write(1)
    log.end_writes(1)
    log.commit_to(6)
    assert log.begin_apply(NO_LIMIT) == []
    log.applied_to(5)
    assert [e.index for e in log.begin_apply(NO_LIMIT)] == [6]


def test_applying_what_was_not_handed_out_is_a_defect():
    with pytest.raises(InvariantBroken):
        log_of("1 1").applied_to(1)


# Compacting


def test_compaction_forgets_only_what_is_applied():
    log = log_of("1 1 2 2")
    log.start_from(3, 3)
    with pytest.raises(InvariantBroken):
        log.compact(4)
    log.compact(2)
    assert (log.offset, log.term(2), log.term(1)) == (2, 1, None)
    assert everything(log) == entries("2 2", 3)
    log.compact(1)
    assert log.offset == 2
    assert log.size_bytes(2, 4) == 6


# Against a model


class Model:
    """The log as a list from its beginning, with nothing clever about it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.written: list[tuple[int, list[Entry]]] = []  # receipt, the log as it will be on disk
        self.disk: list[Entry] = []


@pytest.mark.parametrize("seed", range(60))
def test_any_sequence_of_changes_agrees_with_the_model(seed: int):
    rng = random.Random(seed)
    log, model = Log(SnapshotMetadata()), Model()
    term, receipt = 1, 0
    for _ in range(200):
        match rng.randrange(6):
            case 0:
                term += rng.random() < 0.3
                log.append_data(term, [b"%d" % rng.randrange(1000)] * rng.randint(1, 3))
                model.entries += everything(log)[len(model.entries) - log.offset :]
            case 1 if log.last_index > log.committed:
                index = rng.randint(log.committed, log.last_index)
                term += 1
                new = entries(f"{term} " * rng.randint(0, 3), index + 1)
                before = log.term(index)
                assert before is not None
                assert log.merge(index, before, new)
                if new:
                    model.entries[index:] = new
            case 2:
                receipt += 1
                log.begin_write(receipt)
                model.written.append((receipt, list(model.entries)))
            case 3 if model.written:
                receipt_done, model.disk = model.written.pop(0)
                log.end_writes(receipt_done)
            case 4:
                log.commit_to(rng.randint(log.committed, log.last_index))
                for entry in log.begin_apply(rng.choice([1, 5, 100])):
                    log.applied_to(entry.index)
            case _:
                log.compact(rng.randint(0, log.applied))
        assert everything(log) == model.entries[log.offset :]
        stable = model.entries[: log.stable]
        assert stable == model.disk[: log.stable], "what is called stable is on the disk"
