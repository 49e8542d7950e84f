"""What a log's records say, a line each; values and passwords only by their size.

Pure.  Source: etcd tools/etcd-dump-logs (main.go, etcd-dump-log.go).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from actors.raft.types import ConfChangeMalformed, Entry, EntryType, conf_change_of
from actors.wal.disk import Disk
from actors.wal.records import Kind, parse_entry, parse_snapshot, parse_state
from actors.wal.scan import LogCorrupt, Scan
from actors.wal.segments import segments
from wire.pb import etcdserverpb

SHOWN_BYTES = 200  # of a key
_SECRET = {"password", "hashedPassword", "simple_token"}
_LARGE = {"value", "context"}
_HEADER = {"header", "ID"}  # who asked stands apart


@dataclass(frozen=True)
class Line:
    """One record."""

    segment: str
    offset: int
    kind: str  # "entry", "state", "metadata", "snapshot", "crc"
    index: int = 0  # of entries and snapshots
    term: int = 0
    what: str = ""  # of entries: "put", "conf change" …
    details: dict[str, Any] | None = None

    def in_words(self) -> str:
        shown = " ".join(f"{name}={_word(value)}" for name, value in (self.details or {}).items())
        position = f"{self.term:>6} {self.index:>10}" if self.kind == "entry" else " " * 17
        return f"{position}  {self.what or self.kind:<14} {shown}".rstrip()

    def in_json(self) -> str:
        row = {"segment": self.segment, "offset": self.offset, "type": self.kind}
        if self.kind == "entry":
            row |= {"index": self.index, "term": self.term, "request": self.what}
        return json.dumps({**row, **(self.details or {})}, separators=(",", ":"))


def lines(disk: Disk, directory: str, *, values: bool = False) -> Iterator[Line]:
    """All records of a log, in the order they were written; a torn end is left out.

    Raises:
        LogCorrupt: where it comes to a record that is not what was written.
        SegmentsBroken: there is no log, or a segment is missing.
    """
    found = segments(disk.list(directory))
    chain: int | None = None
    for segment in found:
        path = f"{directory}/{segment.name}"
        scan = Scan(disk, path, chain, is_last=segment is found[-1])
        try:
            for record in scan.records():
                at = scan.offset
                try:
                    yield _line(segment.name, at, record.kind, record.data, values)
                except (DecodeError, ConfChangeMalformed, ValueError) as error:
                    raise LogCorrupt(path, at, f"a malformed record ({error})") from error
            if scan.torn:
                yield Line(segment.name, scan.offset, "torn", what="torn end")
        finally:
            scan.close()
        chain = scan.crc


def _line(segment: str, offset: int, kind: int, data: bytes, values: bool) -> Line:
    match kind:
        case Kind.ENTRY:
            entry = parse_entry(data)
            what, details = _entry(entry, values)
            return Line(segment, offset, "entry", entry.index, entry.term, what, details)
        case Kind.STATE:
            state = parse_state(data)
            shown = {"term": state.term, "vote": f"{state.vote:x}", "commit": state.commit}
            return Line(segment, offset, "state", details=shown)
        case Kind.METADATA:
            metadata = etcdserverpb.Metadata.FromString(data)
            ids = {"member": f"{metadata.NodeID:x}", "cluster": f"{metadata.ClusterID:x}"}
            return Line(segment, offset, "metadata", details=ids)
        case Kind.SNAPSHOT:
            record = parse_snapshot(data)
            position = {"index": record.index, "term": record.term}
            return Line(segment, offset, "snapshot", record.index, record.term, details=position)
        case Kind.CRC:
            return Line(segment, offset, "crc")
    return Line(segment, offset, f"type {kind}", details={"bytes": len(data)})


def _entry(entry: Entry, values: bool) -> tuple[str, dict[str, Any]]:
    if entry.type != EntryType.NORMAL:
        change = conf_change_of(entry)
        return "conf change", {"change": str(change)[:400]}
    if not entry.data:
        return "empty", {}
    try:
        request = etcdserverpb.InternalRaftRequest.FromString(entry.data)
    except DecodeError:  # what Go's members tell of themselves, up to 3.5
        old = etcdserverpb.Request.FromString(entry.data)
        return f"v2 {old.Method}", {"path": old.Path, "value": f"({len(old.Val)} bytes)"}
    who: dict[str, Any] = {"user": request.header.username} if request.header.username else {}
    for field, value in request.ListFields():
        if field.name not in _HEADER and field.type == FieldDescriptor.TYPE_MESSAGE:
            return field.name, {**who, **_details(value, values)}
    return "unknown", {**who, "bytes": len(entry.data)}


def _details(message: Message, values: bool) -> dict[str, Any]:
    return {field.name: _shown(field, value, values) for field, value in message.ListFields()}


def _shown(field: FieldDescriptor, value: Any, values: bool) -> Any:
    if field.name in _SECRET:
        return f"({len(value)} characters)"
    if field.is_repeated:
        return [_one(field, one, values) for one in value]
    return _one(field, value, values)


def _one(field: FieldDescriptor, value: Any, values: bool) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _details(value, values)
    if field.type == FieldDescriptor.TYPE_BYTES:
        if field.name in _LARGE and not values:
            return f"({len(value)} bytes)"
        return _text(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value


def _text(data: bytes) -> str:
    shown = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return shown if len(data) <= SHOWN_BYTES else f"{shown}… ({len(data)} bytes)"


def _word(value: Any) -> str:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str | dict | list)
        else (str(value))
    )
