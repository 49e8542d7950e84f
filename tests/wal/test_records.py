"""The bytes of the log are etcd's."""

from __future__ import annotations

import random

import google_crc32c
import pytest

from actors.raft.types import ConfState, Entry, HardState
from actors.wal.records import (
    Encoder,
    Kind,
    Record,
    SnapshotRecord,
    parse_entry,
    parse_record,
    parse_snapshot,
    parse_state,
    stated_size,
)
from actors.wal.scan import Scan
from tests.wal.golden import ETCD_3_4_23, ETCD_3_5_1
from trioetcd.testing.disk import SimulatedDisk
from wire.pb import raftpb, walpb


def encode_again(record: Record, encoder: Encoder) -> bytes:
    match record.kind:
        case Kind.CRC:
            return encoder.crc_record()
        case Kind.ENTRY:
            pieces: list[bytes] = []
            encoder.entries([parse_entry(record.data)], pieces)
            return b"".join(pieces)
        case Kind.STATE:
            return encoder.state(parse_state(record.data))
        case Kind.SNAPSHOT:
            return encoder.snapshot(parse_snapshot(record.data))
        case kind:
            return encoder.record(Kind(kind), record.data)


@pytest.mark.parametrize("golden", [ETCD_3_4_23, ETCD_3_5_1])
def test_what_etcd_wrote_is_read_and_written_again_byte_for_byte(disk: SimulatedDisk, golden: str):
    frames = [bytes.fromhex(line) for line in golden.split()]
    disk.poke("segment", b"".join(frames) + bytes(512))
    scan = Scan(disk, "segment", None, is_last=True)
    encoder = Encoder()
    assert [encode_again(record, encoder) for record in scan.records()] == frames
    assert scan.offset == len(b"".join(frames))
    assert not scan.torn


def test_a_snapshot_record_has_the_configuration_from_etcd_3_5_on():
    """As 3.4.23 and 3.5.1 wrote them at index 6; without the checksum, which chains."""
    old = SnapshotRecord(6, 2)
    new = SnapshotRecord(6, 2, ConfState(voters=(3319814642761637952,)))
    assert parse_record(Encoder().snapshot(old)[8:22]).data.hex() == "08061002"
    expected = "080610021a0c08c0c0caafc1ba96892e2800"
    assert parse_record(Encoder().snapshot(new)[8:36]).data.hex() == expected
    assert parse_snapshot(bytes.fromhex(expected)) == new
    assert parse_snapshot(bytes.fromhex("08061002")) == old


@pytest.mark.parametrize("seed", range(20))
def test_entries_are_what_protobuf_would_make_of_them(seed: int):
    rng = random.Random(seed)
    entries = [
        Entry(
            rng.randrange(3),
            rng.choice((0, 1, rng.getrandbits(14), rng.getrandbits(64))),
            rng.choice((1, rng.getrandbits(14), rng.getrandbits(40), rng.getrandbits(64))),
            rng.randbytes(rng.choice((0, 1, 127, 128, 300, 20_000))),
        )
        for _ in range(50)
    ]
    encoder = Encoder(crc := rng.getrandbits(rng.randrange(1, 33)))
    pieces: list[bytes] = []
    encoder.entries(entries, pieces)
    data = b"".join(pieces)
    for entry in entries:
        kind, term, index, content = entry
        message = raftpb.Entry(
            Type=raftpb.EntryType.ValueType(kind), Term=term, Index=index, Data=content or None
        )
        payload = message.SerializeToString()
        crc = google_crc32c.extend(crc, payload)
        record = walpb.Record(type=2, crc=crc, data=payload).SerializeToString()
        size = int.from_bytes(data[:7], "little")
        assert data[8 : 8 + size] == record
        assert data[7] == (0x80 | -size % 8 if size % 8 else 0)
        assert stated_size(data[8:32]) == size
        assert parse_entry(payload) == entry
        padded = 8 + size + -size % 8
        assert not any(data[8 + size : padded])
        data = data[padded:]
    assert data == b""
    assert encoder.crc == crc


def test_a_hard_state_is_written_with_its_zeros():
    assert parse_record(Encoder().state(HardState())[8:24]).data == bytes((8, 0, 16, 0, 24, 0))


@pytest.mark.parametrize("start", [b"", b"\x08", b"\x08\x02\x10\xff", b"\x0a\x02", b"\x08\x02\x1a"])
def test_a_record_says_its_size_at_its_beginning_or_nowhere(start: bytes):
    with pytest.raises(ValueError, match=r"."):
        stated_size(start)
