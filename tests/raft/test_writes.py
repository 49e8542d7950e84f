"""What goes to disk, and what waits for it."""

from __future__ import annotations

import pytest

from actors.raft.log import Log
from actors.raft.types import (
    ConfChange,
    ConfChangeType,
    Entry,
    HardState,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)
from actors.raft.writes import Writes
from wire.invariant import InvariantBroken

ACK = Message(MessageType.APPEND_REPLY, 2, 1)
OTHER = Message(MessageType.APPEND_REPLY, 3, 1)


def fresh() -> tuple[Writes, Log]:
    return Writes(HardState(1, 0, 0)), Log(SnapshotMetadata())


def test_there_is_nothing_to_write_when_nothing_changed():
    writes, log = fresh()
    assert writes.begin(log, 1, 0, None) == (None, [])


@pytest.mark.parametrize(("term", "vote"), [(2, 0), (1, 3)])
def test_a_term_and_a_vote_are_synced(term: int, vote: int):
    writes, log = fresh()
    write, _ = writes.begin(log, term, vote, None)
    assert write is not None
    assert (write.receipt, write.hard_state) == (1, HardState(term, vote, 0))
    assert writes.begin(log, term, vote, None) == (None, [])


def test_entries_are_synced_and_the_hard_state_stays_as_it_is():
    writes, log = fresh()
    log.append_data(1, [b"a"])
    write, _ = writes.begin(log, 1, 0, None)
    assert write is not None
    assert (write.receipt, len(write.entries), write.hard_state) == (1, 1, None)


def test_a_commit_index_alone_needs_no_sync():
    writes, log = fresh()
    log.append_data(1, [b"a"])
    writes.begin(log, 1, 0, None)
    log.commit_to(1)
    write, _ = writes.begin(log, 1, 0, None)
    assert write is not None
    assert (write.receipt, write.hard_state) == (None, HardState(1, 0, 1))


def test_a_commit_index_that_changes_the_configuration_is_synced():
    writes, log = fresh()
    change = ConfChange(ConfChangeType.ADD_NODE, 3)
    log.extend([Entry(change.entry_type, 1, 1, change.marshal())])
    writes.begin(log, 1, 0, None)
    writes.finish(log, 1)
    log.commit_to(1)
    assert log.settled == 0
    write, _ = writes.begin(log, 1, 0, None)
    assert write is not None
    assert write.receipt == 2
    writes.finish(log, 2)
    assert log.settled == 1


def test_a_snapshot_is_synced():
    writes, log = fresh()
    snapshot = Snapshot(SnapshotMetadata(5, 1))
    log.restore(snapshot.metadata)
    write, _ = writes.begin(log, 1, 0, snapshot)
    assert write is not None
    assert (write.receipt, write.snapshot) == (1, snapshot)


def test_a_message_is_free_when_the_write_it_was_held_for_is_durable():
    writes, log = fresh()
    log.append_data(1, [b"a"])
    writes.hold(ACK)
    assert writes.begin(log, 1, 0, None)[1] == []
    log.append_data(1, [b"b"])
    writes.hold(OTHER)
    assert writes.begin(log, 1, 0, None)[1] == []
    assert writes.finish(log, 1) == [ACK]
    assert writes.finish(log, 2) == [OTHER]


def test_a_message_that_needs_no_new_write_waits_for_those_under_way():
    writes, log = fresh()
    log.append_data(1, [b"a"])
    writes.begin(log, 1, 0, None)
    writes.hold(ACK)
    assert writes.begin(log, 1, 0, None) == (None, [])
    assert writes.finish(log, 1) == [ACK]


def test_a_message_with_everything_on_disk_goes_at_once():
    writes, log = fresh()
    writes.hold(ACK)
    assert writes.begin(log, 1, 0, None) == (None, [ACK])


def test_a_message_does_not_wait_for_a_commit_index():
    writes, log = fresh()
    log.append_data(1, [b"a"])
    writes.begin(log, 1, 0, None)
    writes.finish(log, 1)
    log.commit_to(1)
    writes.hold(ACK)
    write, free = writes.begin(log, 1, 0, None)
    assert write is not None
    assert write.receipt is None
    assert free == [ACK]


def test_an_answer_to_a_write_that_was_never_asked_for_is_a_defect():
    writes, log = fresh()
    with pytest.raises(InvariantBroken):
        writes.finish(log, 1)
