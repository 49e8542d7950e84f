"""Keys and values as people read them, one a line.

Source: etcd etcdctl/ctlv3/command/printer_simple.go, printer.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.pb import authpb, etcdserverpb, mvccpb


def data(value: bytes, *, as_hex: bool) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in value) if as_hex else value


def kv_lines(kv: mvccpb.KeyValue, *, as_hex: bool, value_only: bool = False) -> bytes:
    value = data(kv.value, as_hex=as_hex) + b"\n"
    return value if value_only else data(kv.key, as_hex=as_hex) + b"\n" + value


def put_lines(answer: etcdserverpb.PutResponse, *, as_hex: bool) -> bytes:
    previous = kv_lines(answer.prev_kv, as_hex=as_hex) if answer.HasField("prev_kv") else b""
    return b"OK\n" + previous


def range_lines(kvs: Sequence[mvccpb.KeyValue], *, as_hex: bool, value_only: bool = False) -> bytes:
    return b"".join(kv_lines(kv, as_hex=as_hex, value_only=value_only) for kv in kvs)


def delete_lines(answer: etcdserverpb.DeleteRangeResponse, *, as_hex: bool) -> bytes:
    return b"%d\n" % answer.deleted + range_lines(answer.prev_kvs, as_hex=as_hex)


def txn_lines(answer: etcdserverpb.TxnResponse, *, as_hex: bool) -> bytes:
    shown = b"SUCCESS\n" if answer.succeeded else b"FAILURE\n"
    for response in answer.responses:
        shown += b"\n"
        match response.WhichOneof("response"):
            case "response_put":
                shown += put_lines(response.response_put, as_hex=as_hex)
            case "response_range":
                shown += range_lines(response.response_range.kvs, as_hex=as_hex)
            case "response_delete_range":
                shown += delete_lines(response.response_delete_range, as_hex=as_hex)
            case "response_txn":
                shown += txn_lines(response.response_txn, as_hex=as_hex)
    return shown


def watch_lines(answer: etcdserverpb.WatchResponse, *, as_hex: bool) -> bytes:
    shown = b""
    for event in answer.events:
        shown += b"DELETE\n" if event.type else b"PUT\n"
        if event.HasField("prev_kv"):
            shown += kv_lines(event.prev_kv, as_hex=as_hex)
        shown += kv_lines(event.kv, as_hex=as_hex)
    return shown


def role_lines(name: str, permissions: Sequence[authpb.Permission]) -> bytes:
    """What a role may read, then what it may write."""
    shown = b"Role %s\n" % name.encode()
    for title, kinds in ((b"KV Read:", (0, 2)), (b"KV Write:", (1, 2))):
        shown += title + b"\n"
        if name == "root" and not permissions:
            shown += b"\t[, <open ended>\n"
        for one in permissions:
            if one.permType in kinds:
                shown += b"\t" + key_range(one.key, one.range_end) + b"\n"
    return shown


def key_range(key: bytes, end: bytes) -> bytes:
    if not end:
        return key
    if end == b"\0":
        return b"[%s, <open ended>" % key
    shown = b"[%s, %s)" % (key, end)
    trimmed = key.rstrip(b"\xff")
    is_prefix = bool(trimmed) and end == trimmed[:-1] + bytes((trimmed[-1] + 1,))
    return shown + b" (prefix %s)" % key if is_prefix else shown
