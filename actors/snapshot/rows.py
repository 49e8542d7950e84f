"""A whole database as a stream of rows, whatever engine it comes from or goes to.

    stream   MAGIC, then rows
    row      bucket (its place in ALL, one byte), length of the key, length of the value
             (varints), key, value

Rows of a bucket come together and in order.  A chunk holds whole rows.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actors.backend.buckets import ALL, CONF_STATE, CONSISTENT_INDEX, META, TERM
from actors.backend.engine import Engine, Full, Row, Snapshot
from actors.cluster.member import conf_state_from_json
from actors.raft.types import SnapshotMetadata
from actors.snapshot.files import SnapshotBroken
from wire.varint import decode, encode

MAGIC = b"trioetcd rows 1\n"
CHUNK_BYTES = 256 * 1024
_BUCKETS = sorted(ALL)


def metadata_of(snapshot: Snapshot) -> SnapshotMetadata:
    """The log position of a database, as it says itself."""
    meta = dict(snapshot.rows(META))
    return SnapshotMetadata(
        int.from_bytes(meta[CONSISTENT_INDEX], "big"),
        int.from_bytes(meta[TERM], "big"),
        conf_state_from_json(meta[CONF_STATE]),
    )


def chunks(snapshot: Snapshot) -> Iterator[bytes]:
    parts, size = [MAGIC], len(MAGIC)
    for number, bucket in enumerate(_BUCKETS):
        head = bytes((number,))
        for key, value in snapshot.rows(bucket):
            parts += (head, encode(len(key)), encode(len(value)), key, value)
            size += 8 + len(key) + len(value)
            if size >= CHUNK_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


class RowWriter:
    """Writes a stream into an empty engine, a transaction a chunk.  Blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun = False

    def write(self, chunk: bytes) -> None:
        """Raises SnapshotBroken."""
        at = 0
        if not self._begun:
            if not chunk.startswith(MAGIC):
                raise SnapshotBroken("not a snapshot of this release")
            self._begun, at = True, len(MAGIC)
        rows: dict[str, list[Row]] = {}
        try:
            while at < len(chunk):
                bucket = _BUCKETS[chunk[at]]
                key_bytes, at = decode(chunk, at + 1)
                value_bytes, at = decode(chunk, at)
                end = at + key_bytes + value_bytes
                if end > len(chunk):
                    raise SnapshotBroken("a chunk ends inside a row")
                rows.setdefault(bucket, []).append(
                    (chunk[at : at + key_bytes], chunk[at + key_bytes : end])
                )
                at = end
        except (ValueError, IndexError) as error:
            raise SnapshotBroken(f"a chunk is no list of rows: {error}") from error
        store_rows(self._engine, rows)


def store_rows(engine: Engine, rows: Mapping[str, list[Row]], *, behind_all: bool = True) -> None:
    """Put rows into their buckets, in one transaction, cheaply if behind all others.  Blocks."""
    put = engine.append if behind_all else engine.write
    while True:
        engine.begin()
        try:
            for bucket, some in rows.items():
                put(bucket, some)
        except Full:
            engine.abort()
            engine.grow()
        else:
            engine.commit()
            engine.renew()
            return
