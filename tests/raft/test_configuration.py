"""Every legal step keeps quorums overlapping, and no other step is legal."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.raft.configuration import Configuration
from actors.raft.errors import ConfChangeRefused
from actors.raft.quorum import Vote
from actors.raft.types import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
)

ADD, REMOVE = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE
UPDATE, LEARNER = ConfChangeType.UPDATE_NODE, ConfChangeType.ADD_LEARNER
EXPLICIT = ConfChangeTransition.JOINT_EXPLICIT

NODES = range(1, 6)
SINGLES = st.builds(ConfChangeSingle, st.sampled_from(ConfChangeType), st.sampled_from([0, *NODES]))
CHANGES = st.one_of(
    st.builds(ConfChange, st.sampled_from(ConfChangeType), st.sampled_from([0, *NODES])),
    st.builds(
        ConfChangeV2,
        st.lists(SINGLES, max_size=4).map(tuple),
        st.sampled_from(ConfChangeTransition),
    ),
)


def configuration(*voters: int, learners: tuple[int, ...] = ()) -> Configuration:
    return Configuration.of(ConfState(voters, learners))


def quorums(config: Configuration) -> list[frozenset[int]]:
    return [
        frozenset(group)
        for size in range(1, len(NODES) + 1)
        for group in combinations(NODES, size)
        if config.vote_result(dict.fromkeys(group, True)) is Vote.WON
    ]


@given(st.lists(CHANGES, max_size=12))
def test_quorums_of_neighbouring_configurations_overlap(changes: list[ConfChange | ConfChangeV2]):
    config = configuration(1, 2, 3)
    for change in changes:
        try:
            after = config.after(change)
        except ConfChangeRefused:
            continue
        for one in quorums(config):
            assert all(one & other for other in quorums(after)), (config, change, after)
        config = after


@given(st.lists(CHANGES, max_size=12))
def test_the_invariants_of_a_configuration_hold_after_any_changes(
    changes: list[ConfChange | ConfChangeV2],
):
    config = configuration(1, 2, 3)
    for change in changes:
        try:
            config = config.after(change)
        except ConfChangeRefused:
            continue
        assert config.voters
        assert not config.learners & (config.voters | config.outgoing)
        assert config.learners_next <= config.outgoing - config.voters
        assert config.joint or not (config.learners_next or config.auto_leave)
        assert Configuration.of(config.conf_state()) == config


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (ConfChange(ADD, 4), ConfState((1, 2, 3, 4), (9,))),
        (ConfChange(ADD, 9), ConfState((1, 2, 3, 9))),
        (ConfChange(ADD, 1), ConfState((1, 2, 3), (9,))),
        (ConfChange(REMOVE, 1), ConfState((2, 3), (9,))),
        (ConfChange(REMOVE, 9), ConfState((1, 2, 3))),
        (ConfChange(REMOVE, 7), ConfState((1, 2, 3), (9,))),
        (ConfChange(LEARNER, 4), ConfState((1, 2, 3), (4, 9))),
        (ConfChange(LEARNER, 1), ConfState((2, 3), (1, 9))),
        (ConfChange(UPDATE, 1), ConfState((1, 2, 3), (9,))),
        (ConfChange(REMOVE, 0), ConfState((1, 2, 3), (9,))),
        (
            ConfChangeV2((ConfChangeSingle(LEARNER, 1), ConfChangeSingle(ADD, 4))),
            ConfState((2, 3, 4), (9,), (1, 2, 3), (1,), True),
        ),
        (
            ConfChangeV2((ConfChangeSingle(REMOVE, 1),), EXPLICIT),
            ConfState((2, 3), (9,), (1, 2, 3)),
        ),
    ],
)
def test_a_change_does_what_it_says(change: ConfChange | ConfChangeV2, after: ConfState):
    config = configuration(1, 2, 3, learners=(9,))
    assert config.after(change).conf_state() == after


def test_leaving_makes_the_waiting_learners_learners():
    config = configuration(1, 2, 3).after(ConfChangeV2((ConfChangeSingle(LEARNER, 1),), EXPLICIT))
    assert config.is_voter(1), "it still votes in the outgoing half"
    left = config.after(ConfChangeV2())
    assert left.conf_state() == ConfState((2, 3), (1,))


@pytest.mark.parametrize(
    ("config", "change", "words"),
    [
        (configuration(1), ConfChange(REMOVE, 1), "no voter"),
        (configuration(1), ConfChange(LEARNER, 1), "no voter"),
        (configuration(1), ConfChangeV2(), "not joint"),
        (Configuration(), ConfChangeV2((ConfChangeSingle(ADD, 1),), EXPLICIT), "without voters"),
        (
            configuration(1, 2).after(ConfChangeV2((ConfChangeSingle(ADD, 3),), EXPLICIT)),
            ConfChange(ADD, 4),
            "must be left first",
        ),
    ],
)
def test_an_illegal_step_is_refused(config: Configuration, change: ConfChange, words: str):
    with pytest.raises(ConfChangeRefused, match=words):
        config.after(change)


def test_a_cluster_begins_by_adding_its_members_one_by_one():
    config = Configuration()
    for node in (1, 2, 3):
        config = config.after(ConfChange(ADD, node))
    assert config == configuration(1, 2, 3)


def test_who_is_alone_decides_alone():
    assert configuration(1).is_alone(1)
    assert configuration(1, learners=(2,)).is_alone(1)
    assert not configuration(1, 2).is_alone(1)
    assert not configuration(2).is_alone(1)
    joint = configuration(1, 2).after(ConfChangeV2((ConfChangeSingle(REMOVE, 2),), EXPLICIT))
    assert not joint.is_alone(1)


def test_members_are_everyone_who_gets_entries_in_order():
    config = configuration(3, 1, learners=(2,))
    joint = config.after(ConfChangeV2((ConfChangeSingle(REMOVE, 3),), EXPLICIT))
    assert joint.members == [1, 2, 3]
