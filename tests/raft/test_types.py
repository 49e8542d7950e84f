"""What is stored has etcd's bytes."""

from __future__ import annotations

import pytest

from actors.raft.types import (
    AnyConfChange,
    ConfChange,
    ConfChangeMalformed,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    conf_change_of,
)
from wire.pb import raftpb


def single(kind: ConfChangeType, node: int) -> ConfChangeSingle:
    return ConfChangeSingle(kind, node)


CHANGES: list[AnyConfChange] = [
    ConfChange(ConfChangeType.ADD_NODE, 1),
    ConfChange(ConfChangeType.REMOVE_NODE, (1 << 64) - 1, b'{"id":5}', 77),
    ConfChangeV2(),
    ConfChangeV2((single(ConfChangeType.ADD_LEARNER, 3),)),
    ConfChangeV2(
        (single(ConfChangeType.ADD_NODE, 3), single(ConfChangeType.REMOVE_NODE, 1)),
        ConfChangeTransition.JOINT_EXPLICIT,
        b"context",
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_back_from_its_entry(change: AnyConfChange):
    entry = Entry(change.entry_type, 1, 1, change.marshal())
    assert conf_change_of(entry) == change


def test_a_change_has_etcds_bytes():
    """ID, Type and NodeID are written even when zero, a context only if there is one."""
    assert ConfChange(ConfChangeType.ADD_NODE, 0).marshal() == bytes.fromhex("080010001800")
    change = ConfChange(ConfChangeType.ADD_LEARNER, 5, b"x", 7)
    assert change.marshal() == bytes.fromhex("080710031805220178")
    assert ConfChangeV2().marshal() == b""
    v2 = ConfChangeV2((single(ConfChangeType.ADD_NODE, 0),))
    assert v2.marshal() == bytes.fromhex("0800120408001000")


def test_a_change_of_no_bytes_leaves_the_joint_configuration():
    change = conf_change_of(Entry(EntryType.CONF_CHANGE_V2, 1, 1, b""))
    assert change.as_v2().leaves_joint


@pytest.mark.parametrize("kind", [EntryType.CONF_CHANGE, EntryType.CONF_CHANGE_V2])
def test_what_is_no_change_is_refused(kind: EntryType):
    with pytest.raises(ConfChangeMalformed):
        conf_change_of(Entry(kind, 1, 1, b"\xff\xff"))


@pytest.mark.parametrize(
    ("transition", "changes", "joint", "auto_leave"),
    [
        (ConfChangeTransition.AUTO, 1, False, False),
        (ConfChangeTransition.AUTO, 2, True, True),
        (ConfChangeTransition.JOINT_IMPLICIT, 1, True, True),
        (ConfChangeTransition.JOINT_EXPLICIT, 1, True, False),
        (ConfChangeTransition.JOINT_EXPLICIT, 2, True, False),
    ],
)
def test_whether_a_change_is_joint_follows_etcds_rules(
    transition: ConfChangeTransition, changes: int, joint: bool, auto_leave: bool
):
    change = ConfChangeV2(
        tuple(single(ConfChangeType.ADD_NODE, i) for i in range(changes)), transition
    )
    assert (change.enters_joint, change.auto_leave) == (joint, auto_leave)


def test_a_conf_state_comes_back_sorted():
    state = ConfState((1, 5), (9,), (1, 2), (2,), True)
    assert ConfState.unmarshal(state.marshal()) == state
    mixed = raftpb.ConfState(voters=[5, 1], learners=[9, 8]).SerializeToString()
    assert ConfState.unmarshal(mixed) == ConfState((1, 5), (8, 9))
    with pytest.raises(ConfChangeMalformed):
        ConfState.unmarshal(b"\xff")
