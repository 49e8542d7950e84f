"""WatchResponses made by hand: their events once, whoever receives them.

A response is its header, a few small fields, and its events; protobuf lets fields come from
different hands.  So events are encoded once and shared, and what differs between watchers,
the watch id, is a few bytes in front.  Responses carry gRPC's five-byte prefix already:
watchers with equal ids on different connections then share even that.
Source: etcd api/etcdserverpb/rpc.proto (WatchResponse), api/mvccpb/kv.proto (Event); gRPC over
HTTP/2, "Length-Prefixed-Message".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wire.varint import encode, encode_signed

Header = Callable[[int], bytes]  # a revision -> field 1 of a response

PREFIX_BYTES = 5  # gRPC's: a flag (0: not compressed) and the length, big-endian
NO_ID = -1  # of responses that belong to no watch, or to all of a stream

CREATED = b"\x18\x01"
CANCELED = b"\x20\x01"
_FRAGMENT = b"\x38\x01"
_DELETE = b"\x08\x01"


def event(main: int, keyvalue: bytes, is_deletion: bool, previous: bytes | None = None) -> bytes:
    """Field `events` of a response: a stored row as watchers see it.

    A deletion's row holds the key alone, and its event the revision too.
    """
    kind = b""
    if is_deletion:
        kind = _DELETE
        keyvalue = b"%b\x18%b" % (keyvalue, encode(main))
    content = b"%b\x12%b%b" % (kind, encode(len(keyvalue)), keyvalue)
    if previous is not None:
        content = b"%b\x1a%b%b" % (content, encode(len(previous)), previous)
    return b"\x5a%b%b" % (encode(len(content)), content)


def id_field(watch_id: int) -> bytes:
    return b"\x10" + encode_signed(watch_id) if watch_id else b""


def compacted(compact_revision: int) -> bytes:
    """The fields that end a watch whose history is gone.

    None after a compaction to 0, which only a start below 0 comes before: clients of etcd see a
    response that says nothing then.
    """
    if not compact_revision:
        return b""
    return CANCELED + b"\x28" + encode_signed(compact_revision)


def refused(reason: str) -> bytes:
    """The fields of a watch that was never begun."""
    words = reason.encode()
    return CREATED + CANCELED + b"\x32" + encode(len(words)) + words


def frame(head: bytes, fields: bytes, events: bytes = b"") -> bytes:
    """A response behind gRPC's prefix."""
    size = len(head) + len(fields) + len(events)
    return b"\0%b%b%b%b" % (size.to_bytes(4, "big"), head, fields, events)


def frames(head: bytes, fields: bytes, events: Sequence[bytes], limit: int) -> list[bytes]:
    """The responses that carry `events` to one that asked for fragments.

    A response of `limit` bytes or more is split between events; all parts but the last are
    marked.  An event larger than that travels alone.
    """
    size = len(head) + len(fields) + sum(map(len, events))
    if size < limit or len(events) < 2:
        return [frame(head, fields, b"".join(events))]
    empty = len(head) + len(fields) + len(_FRAGMENT)
    parts: list[list[bytes]] = [[]]
    size = empty
    for one in events:
        if parts[-1] and size + len(one) >= limit:
            parts.append([])
            size = empty
        parts[-1].append(one)
        size += len(one)
    marked = [frame(head, fields + _FRAGMENT, b"".join(part)) for part in parts[:-1]]
    return [*marked, frame(head, fields, b"".join(parts[-1]))]
