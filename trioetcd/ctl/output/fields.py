"""Lines of `"Name" : value`, for whoever cuts answers up with a shell.

Source: etcd etcdctl/ctlv3/command/printer_fields.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wire.go_quote import go_quote
from wire.pb import etcdserverpb, mvccpb

Rows = Iterable[tuple[str, object]]
_PERMISSIONS = ("READ", "WRITE", "READWRITE")


def lines(rows: Rows) -> str:
    return "".join(f'"{name}" : {_shown(value)}\n' for name, value in rows)


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes() | str():
            return go_quote(value)
    return str(value)


def header(message: Any) -> Rows:
    found = message.header
    return (
        ("ClusterID", found.cluster_id),
        ("MemberID", found.member_id),
        ("Revision", found.revision),
        ("RaftTerm", found.raft_term),
    )


def header_fields(message: Any) -> str:
    return lines(header(message))


def kv_rows(kv: mvccpb.KeyValue, before: str = "") -> Rows:
    return (
        (f"{before}Key", kv.key),
        (f"{before}CreateRevision", kv.create_revision),
        (f"{before}ModRevision", kv.mod_revision),
        (f"{before}Version", kv.version),
        (f"{before}Value", kv.value),
        (f"{before}Lease", kv.lease),
    )


def put_rows(answer: etcdserverpb.PutResponse) -> Rows:
    yield from header(answer)
    if answer.HasField("prev_kv"):
        yield from kv_rows(answer.prev_kv, "Prev")


def range_rows(answer: etcdserverpb.RangeResponse) -> Rows:
    yield from header(answer)
    for kv in answer.kvs:
        yield from kv_rows(kv)
    yield "More", answer.more
    yield "Count", answer.count


def delete_rows(answer: etcdserverpb.DeleteRangeResponse) -> Rows:
    yield from header(answer)
    yield "Deleted", answer.deleted
    for kv in answer.prev_kvs:
        yield from kv_rows(kv, "Prev")


def txn_rows(answer: etcdserverpb.TxnResponse) -> Rows:
    yield from header(answer)
    yield "Succeeded", answer.succeeded
    for response in answer.responses:
        match response.WhichOneof("response"):
            case "response_put":
                yield from put_rows(response.response_put)
            case "response_range":
                yield from range_rows(response.response_range)
            case "response_delete_range":
                yield from delete_rows(response.response_delete_range)
            case "response_txn":
                yield from txn_rows(response.response_txn)


def watch_rows(answer: etcdserverpb.WatchResponse) -> Rows:
    yield from header(answer)
    for event in answer.events:
        yield "Type", Bare("DELETE" if event.type else "PUT")
        if event.HasField("prev_kv"):
            yield from kv_rows(event.prev_kv, "Prev")
        yield from kv_rows(event.kv)


def permission_rows(answer: etcdserverpb.AuthRoleGetResponse) -> Rows:
    yield from header(answer)
    for permission in answer.perm:
        yield "PermType", Bare(" " + _PERMISSIONS[permission.permType])
        yield "Key", permission.key
        yield "RangeEnd", permission.range_end


class Bare:
    """A word without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text
