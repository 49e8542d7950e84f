"""A snapshot file that is not what it was is never taken for one that is."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from actors.bolt.contents import rows_for_new_cluster
from actors.bolt.reader import BoltCorrupt
from actors.bolt.snapshot_file import (
    SnapshotRefused,
    check_digest,
    open_database,
    status_of,
)
from actors.mvcc.keyvalue import encode_put, encode_tombstone
from actors.mvcc.revision import row_key, tombstone_key
from tests.bolt.files import Bytes, Rows, write
from wire.pb import leasepb

FLIPS = 1000


def snapshot(count: int = 2000, **more: Rows) -> bytes:
    """Without its digest."""
    keys = {
        row_key(main, 0): encode_put(b"key%d" % (main % 700), b"v" * 40, main, main, 1, 0)
        for main in range(2, count)
    }
    keys[tombstone_key(count, 0)] = encode_tombstone(b"key5")
    lease = leasepb.Lease(ID=7, TTL=60).SerializeToString()
    buckets = {
        b"key": keys,
        b"lease": {(7).to_bytes(8, "big"): lease},
        b"meta": {b"consistent_index": bytes(7) + b"\x09", b"storageVersion": b"3.6.0"},
        b"members": {b"8e9e05c52164694d": b"{}"},
        b"cluster": {b"clusterVersion": b"3.6.0"},
    }
    return write(buckets | {name.encode(): rows for name, rows in more.items()})


def signed(database: bytes) -> Bytes:
    return Bytes(database + sha256(database).digest())


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def test_every_flipped_bit_is_found_by_the_digest():
    rng = random.Random(11)
    whole = signed(snapshot()).content
    for _ in range(FLIPS):
        with pytest.raises(SnapshotRefused, match=r"^expected sha256 \[\d+ .*\], got \[\d+ "):
            check_digest(Bytes(flipped(whole, rng)))


def test_a_flipped_bit_behind_a_right_digest_is_refused_in_words_or_read():
    rng = random.Random(12)
    whole = snapshot()
    refused = []
    for _ in range(FLIPS):
        source = signed(flipped(whole, rng))
        for look in (status_of, lambda source: list(rows_for_new_cluster(open_database(source)))):
            try:
                look(source)
            except (BoltCorrupt, SnapshotRefused) as error:
                refused.append(str(error))
    assert len(refused) > 50
    assert all(refused)


def test_a_file_without_a_digest_is_told_apart():
    with pytest.raises(SnapshotRefused, match="snapshot missing hash"):
        check_digest(Bytes(snapshot()))
    check_digest(signed(snapshot()))


def test_the_status_counts_keys_that_are_alive():
    status = status_of(signed(snapshot()))

    assert status.revision == 2000
    assert status.keys == 699
    assert status.version == "3.6.0"
    assert status.size == len(snapshot())
    assert status_of(Bytes(snapshot())) == status


def test_a_new_cluster_takes_over_neither_members_nor_positions():
    rows = list(rows_for_new_cluster(open_database(signed(snapshot()))))

    assert {bucket for bucket, _ in rows} == {"key", "lease"}
    assert len(rows) == 1999 + 1


@pytest.mark.parametrize(
    ("bucket", "row", "words"),
    [
        ("key", (b"short", b""), "not a revision"),
        ("key", (b"\xff" * 8 + b"_" + bytes(8), b""), "a negative revision"),
        ("key", (row_key(1 << 40, 0), b"\xff\xff"), "Error parsing message"),
        ("meta", (b"scheduledCompactRev", b"3"), "not a revision"),
        ("lease", (b"7", b""), "not a lease id"),
        ("lease", (bytes(8), leasepb.Lease(ID=7).SerializeToString()), "another id"),
        ("alarm", (b"\xff", b""), "Error parsing message"),
        ("authUsers", (b"root", b""), "another name"),
        ("authRoles", (b"root", b"\xff"), "Error parsing message"),
        ("auth", (b"a" * 512, b""), "a key of 512 bytes"),
    ],
)
def test_a_row_that_etcd_does_not_write_is_refused(
    bucket: str, row: tuple[bytes, bytes], words: str
):
    source = signed(snapshot(**{bucket: {row[0]: row[1]}}))

    with pytest.raises(BoltCorrupt, match=f"bucket '{bucket}'.*{words}"):
        list(rows_for_new_cluster(open_database(source)))
