"""The bytes of the log: records, frames, and the checksum that chains them.

A frame is an eight-byte little-endian length, a walpb.Record and padding to eight bytes; the
length's top byte holds the padding (0x80 | n).  A record is {type, crc, data}, where crc is the
CRC-32C of all data from the beginning of the log, so that a record cannot be moved, dropped
or exchanged unseen; the type is not covered.  A segment begins with a record that repeats the
crc so far.
Source: etcd server/storage/wal/encoder.go, decoder.go, wal.go; walpb/record.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import google_crc32c

from actors.raft.types import ConfState, Entry, HardState
from wire.pb import raftpb, walpb
from wire.varint import decode, encode

FRAME = struct.Struct("<Q")
LENGTH_MASK = (1 << 56) - 1
PADDED = 0x80  # in the top byte: its low bits say by how many bytes

_extend = google_crc32c.extend


class Kind(IntEnum):
    """What a record holds."""

    METADATA = 1  # whose log this is
    ENTRY = 2
    STATE = 3  # a HardState
    CRC = 4  # the checksum so far
    SNAPSHOT = 5  # where a snapshot of the state was saved


class Record(NamedTuple):
    kind: int
    crc: int
    data: bytes


class SnapshotRecord(NamedTuple):
    """A saved snapshot: the last entry it includes, and the configuration there."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    term: int
    conf_state: ConfState | None = None  # logs before etcd 3.5 have none


class Encoder:
    """Makes frames, one after the other; `crc` is the chain's state."""

    def __init__(self, crc: int = 0) -> None:
        self.crc = crc

    def entries(self, entries: Sequence[Entry], out: list[bytes]) -> None:
        """Append the pieces of a frame an entry to `out`, to be joined once.

        The hot path: 1.3 µs an entry of 130 bytes of data, the checksum 0.2 µs of it.
        """
        crc, join = self.crc, b"".join
        kind, term, start = -1, -1, b""
        for entry_kind, entry_term, index, data in entries:
            if entry_term != term or entry_kind != kind:
                kind, term = entry_kind, entry_term
                start = b"\x08%b\x10%b\x18" % (encode(kind), encode(term))
            if data:
                payload = join((start, encode(index), b"\x22", encode(len(data)), data))
            else:
                payload = start + encode(index)
            crc = _extend(crc, payload)
            crc_bytes = encode(crc)
            before, between, after = _around(len(payload), len(crc_bytes))
            out += (before, crc_bytes, between, payload, after)
        self.crc = crc

    def record(self, kind: Kind, data: bytes) -> bytes:
        """One frame."""
        self.crc = _extend(self.crc, data)
        body = b"\x08" + encode(kind) + b"\x10" + encode(self.crc)
        return frame(body + b"\x1a" + encode(len(data)) + data)

    def crc_record(self) -> bytes:
        """The frame a segment begins with."""
        return frame(b"\x08\x04\x10" + encode(self.crc))

    def state(self, state: HardState) -> bytes:
        data = b"\x08" + encode(state.term) + b"\x10" + encode(state.vote)
        return self.record(Kind.STATE, data + b"\x18" + encode(state.commit))

    def snapshot(self, snapshot: SnapshotRecord) -> bytes:
        data = b"\x08" + encode(snapshot.index) + b"\x10" + encode(snapshot.term)
        if snapshot.conf_state is not None:
            conf_state = conf_state_message(snapshot.conf_state).SerializeToString()
            data += b"\x1a" + encode(len(conf_state)) + conf_state
        return self.record(Kind.SNAPSHOT, data)


@lru_cache(maxsize=1024)
def _around(payload_bytes: int, crc_bytes: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the checksum, between it and the payload, and after, in an entry's frame.

    It depends on two sizes only, and logs are made of entries alike in size.
    """
    between = b"\x1a" + encode(payload_bytes)
    header, padding = _frame(3 + crc_bytes + len(between) + payload_bytes)
    return header + b"\x08\x02\x10", between, padding


def _frame(size: int) -> tuple[bytes, bytes]:
    """What stands before and after a record of `size` bytes."""
    padding = -size & 7
    return FRAME.pack(size | (PADDED | padding) << 56 if padding else size), bytes(padding)


def frame(record: bytes) -> bytes:
    header, padding = _frame(len(record))
    return header + record + padding


def conf_state_message(state: ConfState) -> raftpb.ConfState:
    """`auto_leave` is written even when false, as etcd does."""
    return raftpb.ConfState(
        voters=state.voters,
        learners=state.learners,
        voters_outgoing=state.voters_outgoing,
        learners_next=state.learners_next,
        auto_leave=state.auto_leave,
    )


# Reading.  Each raises google.protobuf's DecodeError for what is no such message.


_record, _entry = walpb.Record.FromString, raftpb.Entry.FromString
_new = tuple.__new__  # a third of the price of a NamedTuple's own


def parse_record(data: bytes) -> Record:
    record = _record(data)
    return _new(Record, (record.type, record.crc, record.data))


def parse_entry(data: bytes) -> Entry:
    entry = _entry(data)
    return _new(Entry, (entry.Type, entry.Term, entry.Index, entry.Data))


def parse_state(data: bytes) -> HardState:
    state = raftpb.HardState.FromString(data)
    return HardState(state.term, state.vote, state.commit)


def parse_snapshot(data: bytes) -> SnapshotRecord:
    snapshot = walpb.Snapshot.FromString(data)
    conf_state = None
    if snapshot.HasField("conf_state"):
        conf_state = ConfState.unmarshal(snapshot.conf_state.SerializeToString())
    return SnapshotRecord(snapshot.index, snapshot.term, conf_state)


def stated_size(start: bytes) -> int:
    """How long the record that begins so says it is.

    Raises:
        ValueError: no record begins so, or `start` ends before it says.
    """
    at = 0
    for tag in (b"\x08", b"\x10"):
        if start[at : at + 1] != tag:
            raise ValueError(f"no field {tag!r} at {at}")
        _, at = decode(start, at + 1)
    if at == len(start):
        raise ValueError("it ends before it says")
    if start[at : at + 1] != b"\x1a":
        return at  # no data
    size, at = decode(start, at + 1)
    return at + size
