"""A line of the audit log: who, from where, what, and what came of it.  Never values or secrets.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.message import DecodeError

from trioetcd.api.wording import message_words, request_of
from wire.grpc.service import Peer
from wire.pb import etcdserverpb

MOST_OPERATIONS = 100  # of one transaction that are listed; the rest are counted
MOST_KEY_BYTES = 1024  # of one key
_WATCH = "/etcdserverpb.Watch/Watch"
_WITH_KEYS = {"/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange"}
_TXN = "/etcdserverpb.KV/Txn"
_encode = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` would make one for each line


class Record(NamedTuple):
    """What is kept of a call until its line is written."""

    time: str
    user: str  # empty without authentication
    peer: Peer
    path: str
    payload: bytes
    result: str  # the status's name, or what happened
    error: str
    message: bytes  # the answer, for its revision


def line_of(record: Record) -> str:
    shown: dict[str, object] = {
        "time": record.time,
        "user": record.user,
        "address": record.peer.address,
        "method": record.path,
        **_what(record.path, record.payload),
    }
    if record.peer.common_name:
        shown["common-name"] = record.peer.common_name
    revision = revision_of(record.message)
    if revision:
        shown["revision"] = revision
    shown["result"] = record.result
    if record.error:
        shown["error"] = record.error
    return _encode(shown) + "\n"


def revision_of(message: bytes) -> int:
    """What the header of a response says, which is its first field; 0 if it says nothing."""
    if message[:1] != b"\x0a" or len(message) < 2 or message[1] > 0x7F:
        return 0
    try:
        header = etcdserverpb.ResponseHeader.FromString(message[2 : 2 + message[1]])
    except DecodeError:
        return 0
    return header.revision


def _what(path: str, payload: bytes) -> dict[str, object]:
    if path == _WATCH:
        return _watch(payload)
    request = request_of(path, payload)
    if request is None:
        return {}
    if path in _WITH_KEYS:
        return _keys(request)
    if isinstance(request, etcdserverpb.TxnRequest):
        return _transaction(request)
    words = message_words(request)
    return {"request": words} if words else {}


def _watch(payload: bytes) -> dict[str, object]:
    try:
        request = etcdserverpb.WatchRequest.FromString(payload)
    except DecodeError:
        return {}
    return _keys(request.create_request) if request.HasField("create_request") else {}


def _keys(request: object) -> dict[str, object]:
    shown = text_of("key", getattr(request, "key", b""))
    range_end = getattr(request, "range_end", b"")
    return shown | text_of("range-end", range_end) if range_end else shown


def _transaction(request: etcdserverpb.TxnRequest) -> dict[str, object]:
    """What it compares, and what it would do in either case."""
    shown: dict[str, object] = {"compare": [_keys(one) for one in request.compare]}
    for branch in ("success", "failure"):
        operations = getattr(request, branch)
        shown[branch] = _operations(operations[:MOST_OPERATIONS])
        if len(operations) > MOST_OPERATIONS:
            shown[f"{branch}-more"] = len(operations) - MOST_OPERATIONS
    return {name: value for name, value in shown.items() if value}


def _operations(operations: Iterable[etcdserverpb.RequestOp]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for operation in operations:
        kind = operation.WhichOneof("request")
        if kind is None:
            continue
        inner = getattr(operation, kind)
        what = _transaction(inner) if kind == "request_txn" else _keys(inner)
        found.append({"operation": kind.removeprefix("request_"), **what})
    return found


def text_of(name: str, key: bytes) -> dict[str, object]:
    """A key as text; one that is none, byte by byte in hexadecimal under another name."""
    cut, key = len(key) > MOST_KEY_BYTES, key[:MOST_KEY_BYTES]
    more: dict[str, object] = {f"{name}-is-cut": True} if cut else {}
    try:
        return {name: key.decode(), **more}
    except UnicodeDecodeError:
        return {f"{name}-hex": key.hex(), **more}
