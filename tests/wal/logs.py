"""Small logs to test with."""

from __future__ import annotations

from actors.raft.types import Entry, HardState
from actors.wal.reader import LogContents, read_log
from actors.wal.records import SnapshotRecord
from actors.wal.writer import LogWriter
from trioetcd.testing.disk import SimulatedDisk

DIRECTORY = "member/wal"
METADATA = bytes.fromhex("08c0c0caafc1ba96892e1087d5edba8fd59dc104")  # ids of etcd's making
START = SnapshotRecord(0, 0)
SEGMENT = 4096  # bytes; so small that tests meet many segments


def new_log(disk: SimulatedDisk, segment_bytes: int = SEGMENT) -> LogWriter:
    disk.mkdir("member")
    return LogWriter.create(disk, DIRECTORY, METADATA, segment_bytes)


def entry(index: int, term: int = 1, data: bytes = b"x") -> Entry:
    return Entry(0, term, index, data)


def write(log: LogWriter, *entries: Entry, state: HardState | None = None) -> None:
    log.append(entries, state)
    log.write()
    log.sync()


def fill(log: LogWriter, count: int, size: int = 500) -> list[Entry]:
    """Entries of `size` bytes, each committed with itself, over as many segments as it takes."""
    entries = [entry(index, 1, bytes([index % 251]) * size) for index in range(1, count + 1)]
    for one in entries:
        write(log, one, state=HardState(1, 1, one.index))
        if log.is_full:
            log.cut()
    return entries


def read(disk: SimulatedDisk, snapshot: SnapshotRecord = START) -> LogContents:
    return read_log(disk, DIRECTORY, snapshot)


def resume(disk: SimulatedDisk, contents: LogContents) -> LogWriter:
    return LogWriter.resume(disk, DIRECTORY, contents, SEGMENT)


def last_path(log: LogWriter) -> str:
    return f"{DIRECTORY}/{log.segments[-1].name}"
