"""Messages survive the way; what is no message is refused as such."""

from __future__ import annotations

import random
from struct import pack_into

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.raft.codec import MalformedMessage, decode, encode
from actors.raft.types import (
    ConfState,
    Entry,
    EntryType,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)

U64 = st.integers(0, (1 << 64) - 1)
IDS = st.tuples() | st.lists(U64, max_size=4, unique=True).map(lambda ids: tuple(sorted(ids)))
CONF_STATES = st.builds(ConfState, IDS, IDS, IDS, IDS, st.booleans())
SNAPSHOTS = st.builds(
    Snapshot, st.builds(SnapshotMetadata, U64, U64, CONF_STATES), st.binary(max_size=50)
)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    first = draw(st.integers(0, 1 << 40))  # 0: proposals, not numbered
    terms = sorted(draw(st.lists(st.integers(0, 1 << 40), max_size=8)))
    kinds = st.sampled_from([0, 0, 1, 2])
    return [
        Entry(draw(kinds), term, first and first + i, draw(st.binary(max_size=9)))
        for i, term in enumerate(terms)
    ]


MESSAGES = st.builds(
    Message,
    type=st.sampled_from(MessageType),
    to=U64,
    sender=U64,
    term=U64,
    index=U64,
    log_term=U64,
    commit=U64,
    entries=entries(),
    reject=st.booleans(),
    hint=U64,
    context=U64,
    snapshot=st.none() | SNAPSHOTS,
)


@given(MESSAGES)
def test_a_message_is_the_same_on_the_other_side(message: Message):
    message.entries = message.entries or ()
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_as_malformed(data: bytes):
    with pytest.raises(MalformedMessage):
        decode(data)


@given(MESSAGES, st.data())
@settings(max_examples=300)
def test_a_message_cut_short_or_with_something_after_it_is_refused(
    message: Message, data: st.DataObject
):
    whole = encode(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(MalformedMessage):
        decode(whole[:cut])
    with pytest.raises(MalformedMessage):
        decode(whole + b"x")


def test_flipped_bits_are_refused_or_make_another_message_but_nothing_else_happens():
    rng = random.Random(1)
    batch = [Entry(0, 5, i, b"x" * i) for i in range(1, 20)] + [Entry(1, 6, 20, b"conf")]
    snapshot = Snapshot(SnapshotMetadata(3, 2, ConfState((1, 2), (3,))), b"where")
    whole = encode(Message(MessageType.APPEND, 1, 2, 6, 0, 0, 9, batch, snapshot=snapshot))
    for _ in range(3000):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        try:
            decode(bytes(broken))
        except MalformedMessage:
            continue


@pytest.mark.parametrize("offset", [4, 84])  # of the numbers of runs and of entries
def test_a_number_of_entries_that_cannot_be_there_allocates_nothing(offset: int):
    message = Message(MessageType.APPEND, 1, 2, 3, entries=[Entry(0, 3, 1, b"x")])
    broken = bytearray(encode(message))
    pack_into("<I", broken, offset, 0xFFFFFFFF)
    with pytest.raises(MalformedMessage):
        decode(bytes(broken))


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [(0, 9, "version 9"), (1, 99, "unknown type 99"), (2, 0x80, "unknown flags 128")],
)
def test_what_is_wrong_is_said(position: int, value: int, words: str):
    broken = bytearray(encode(Message(MessageType.HEARTBEAT, 1, 2, 3)))
    broken[position] = value
    with pytest.raises(MalformedMessage, match=words):
        decode(bytes(broken))


def test_an_unknown_entry_type_is_refused():
    message = Message(MessageType.APPEND, 1, 2, 3, entries=[Entry(7, 3, 1, b"x")])
    with pytest.raises(MalformedMessage, match="unknown entry type 7"):
        decode(encode(message))


def test_entries_of_several_terms_and_types_keep_them():
    batch = [
        Entry(EntryType.NORMAL, 1, 7, b"a"),
        Entry(EntryType.NORMAL, 1, 8, b""),
        Entry(EntryType.CONF_CHANGE, 1, 9, b"c"),
        Entry(EntryType.NORMAL, 4, 10, b"d"),
    ]
    assert decode(encode(Message(MessageType.APPEND, 1, entries=batch))).entries == batch


def test_a_heartbeat_is_small_and_entries_cost_four_bytes_each():
    heartbeat = Message(MessageType.HEARTBEAT, 1, 2, 3)
    assert len(encode(heartbeat)) < 100
    append = Message(
        MessageType.APPEND, 1, 2, 3, entries=[Entry(0, 3, i, b"x" * 10) for i in range(1, 1001)]
    )
    assert len(encode(append)) < len(encode(heartbeat)) + 1000 * 14 + 20
