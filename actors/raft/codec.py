"""Messages between members as bytes, in a form of our own (only our members talk raft to ours).

    header   fixed, little-endian: `_HEADER`
    runs     count, type, term of each stretch of entries alike in both; nearly always one
    lengths  of each entry's data, uint32
    data     of all entries, joined
    snapshot `_SNAPSHOT`, the ConfState (raftpb), the driver's data; if the flag says so

Entries are numbered from one first index, so that no index is sent twice; a thousand of them cost
one struct call and one join.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from struct import Struct, pack, unpack_from
from struct import error as StructError

from actors.raft.types import (
    ConfChangeMalformed,
    ConfState,
    Entry,
    EntryType,
    Message,
    MessageType,
    Snapshot,
    SnapshotMetadata,
)

VERSION = 1

# version, type, flags, runs; to, sender, term, index, log_term, commit, hint, context;
# the first entry's index, entries
_HEADER = Struct("<BBBxI8QQI")
_RUN = Struct("<IBQ")  # count, type, term
_SNAPSHOT = Struct("<QQII")  # index, term, bytes of the ConfState, bytes of data

_REJECT = 1
_HAS_SNAPSHOT = 2
_UNNUMBERED = 4  # proposals: the leader gives the indexes

_new_entry = tuple.__new__
_kind = itemgetter(0)  # of an entry


class MalformedMessage(ValueError):
    """The bytes are not a message of this version: the sender is not one of ours, or broken."""


def encode(message: Message) -> bytes:
    """One message; `decode` is the inverse."""
    entries = message.entries
    runs = list(_runs(entries))
    flags = _REJECT if message.reject else 0
    if message.snapshot is not None:
        flags |= _HAS_SNAPSHOT
    first = entries[0].index if entries else 0
    if entries and not first:
        flags |= _UNNUMBERED
    parts = [
        _HEADER.pack(
            VERSION,
            message.type,
            flags,
            len(runs),
            message.to,
            message.sender,
            message.term,
            message.index,
            message.log_term,
            message.commit,
            message.hint,
            message.context,
            first,
            len(entries),
        )
    ]
    if entries:
        parts += [_RUN.pack(*run) for run in runs]
        datas = [entry[3] for entry in entries]
        parts.append(pack(f"<{len(datas)}I", *map(len, datas)))
        parts += datas
    if message.snapshot is not None:
        parts += _encode_snapshot(message.snapshot)
    return b"".join(parts)


def _runs(entries: Sequence[Entry]) -> Iterator[tuple[int, int, int]]:
    if not entries:
        return
    if entries[0].term == entries[-1].term and not any(map(_kind, entries)):
        yield len(entries), 0, entries[0].term  # terms ascend, so all are this one
        return
    for (kind, term), run in groupby(entries, key=lambda entry: (entry.type, entry.term)):
        yield sum(1 for _ in run), kind, term


def _encode_snapshot(snapshot: Snapshot) -> list[bytes]:
    index, term, conf_state = snapshot.metadata
    conf = conf_state.marshal()
    return [_SNAPSHOT.pack(index, term, len(conf), len(snapshot.data)), conf, snapshot.data]


def decode(data: bytes) -> Message:
    """Raises MalformedMessage."""
    try:
        return _decode(data)
    except (StructError, ConfChangeMalformed) as error:
        raise MalformedMessage(str(error)) from error


def _decode(data: bytes) -> Message:
    version, kind, flags, runs, *fields, first, count = _HEADER.unpack_from(data)
    _check(version == VERSION, f"version {version}")
    _check(kind in _KINDS, f"unknown type {kind}")
    _check(flags < 8, f"unknown flags {flags}")
    to, sender, term, index, log_term, commit, hint, context = fields
    position = _HEADER.size
    entries: list[Entry] = []
    if count or runs:
        unnumbered = bool(flags & _UNNUMBERED)
        _check(unnumbered == (first == 0), "numbered and unnumbered at once")
        entries, position = _decode_entries(data, position, runs, count, first)
    snapshot = None
    if flags & _HAS_SNAPSHOT:
        snapshot, position = _decode_snapshot(data, position)
    _check(position == len(data), f"{len(data)} bytes where {position} were expected")
    return Message(
        type=MessageType(kind),
        to=to,
        sender=sender,
        term=term,
        index=index,
        log_term=log_term,
        commit=commit,
        entries=entries or (),
        reject=bool(flags & _REJECT),
        hint=hint,
        context=context,
        snapshot=snapshot,
    )


def _decode_entries(
    data: bytes, position: int, runs: int, count: int, first: int
) -> tuple[list[Entry], int]:
    # Before anything is allocated for them: every run and every entry takes some bytes.
    _check(runs * _RUN.size + count * 4 <= len(data) - position, "more entries than bytes")
    stretches = [_RUN.unpack_from(data, position + i * _RUN.size) for i in range(runs)]
    _check(sum(run[0] for run in stretches) == count, "runs do not add up")
    position += runs * _RUN.size
    lengths = unpack_from(f"<{count}I", data, position)
    bounds = list(accumulate(lengths, initial=position + 4 * count))
    _check(bounds[-1] <= len(data), "entries end after the message")
    datas = [data[start:end] for start, end in pairwise(bounds)]
    entries: list[Entry] = []
    for length, kind, term in stretches:
        _check(kind in _ENTRY_KINDS, f"unknown entry type {kind}")
        done = len(entries)
        stretch = datas[done : done + length]
        if first:
            numbered = enumerate(stretch, first + done)
            entries += [_new_entry(Entry, (kind, term, i, entry)) for i, entry in numbered]
        else:
            entries += [_new_entry(Entry, (kind, term, 0, entry)) for entry in stretch]
    return entries, bounds[-1]


def _decode_snapshot(data: bytes, position: int) -> tuple[Snapshot, int]:
    index, term, conf_bytes, data_bytes = _SNAPSHOT.unpack_from(data, position)
    conf_start = position + _SNAPSHOT.size
    conf_end = conf_start + conf_bytes
    end = conf_end + data_bytes
    _check(end <= len(data), "the snapshot ends after the message")
    conf_state = ConfState.unmarshal(data[conf_start:conf_end])
    return Snapshot(SnapshotMetadata(index, term, conf_state), data[conf_end:end]), end


def _check(condition: bool, words: str) -> None:
    if not condition:
        raise MalformedMessage(words)


_KINDS = frozenset(MessageType)
_ENTRY_KINDS = frozenset(EntryType)
