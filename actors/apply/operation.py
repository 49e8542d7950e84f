"""What a log entry asks for: the one request inside an InternalRaftRequest.

The request's bytes lie in the entry just as the client sent them, so the entry is cut, not
parsed: only the request itself becomes a message, and only once.
Source: etcd api/etcdserverpb/raft_internal.proto.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.message import DecodeError

from wire.pb import etcdserverpb
from wire.varint import decode, encode, encode_low_28

FIELDS: dict[str, int] = {
    field.name: field.number for field in etcdserverpb.InternalRaftRequest.DESCRIPTOR.fields
}
NAMES = {number: name for name, number in FIELDS.items()}
ID, HEADER = FIELDS["ID"], FIELDS["header"]

_LENGTH_DELIMITED = 2
_HEADER_TAG = encode(HEADER << 3 | _LENGTH_DELIMITED)


class Malformed(Exception):
    """Not an InternalRaftRequest, or one without a request in it."""


def tag_of(name: str) -> bytes:
    """The bytes that announce the request `name` ("put", "txn", …) in an entry."""
    return encode(FIELDS[name] << 3 | _LENGTH_DELIMITED)


def wrap(tag: bytes, payload: bytes, header: bytes) -> bytes:
    """An entry's data around a client's request, which goes in unparsed."""
    return tag + encode(len(payload)) + payload + header


def header_field(request_id: int, username: str = "", auth_revision: int = 0) -> bytes:
    """Field `header` of an InternalRaftRequest."""
    if not username and not auth_revision:
        if request_id >> 28:
            before, after = _around_id(request_id >> 28)
            return before + encode_low_28(request_id) + after
        number = b"\x08" + encode(request_id)
        return _HEADER_TAG + encode(len(number)) + number
    header = etcdserverpb.RequestHeader(
        ID=request_id, username=username, auth_revision=auth_revision
    ).SerializeToString()
    return _HEADER_TAG + encode(len(header)) + header


@lru_cache(maxsize=64)
def _around_id(high: int) -> tuple[bytes, bytes]:
    """What stands around the low 28 bits of a request id, for hours the same."""
    after = encode(high)
    return _HEADER_TAG + encode(5 + len(after)) + b"\x08", after


def unwrap(data: bytes) -> tuple[int, bytes]:
    """The field number and the bytes of the request in an entry's data.

    Raises:
        Malformed: see there.
    """
    first = data[0]
    if first & 0x87 == _LENGTH_DELIMITED and first >> 3 != ID:  # a one-byte tag: the usual case
        length = data[1]
        if length < 0x80:
            return first >> 3, data[2 : 2 + length]
    return _unwrap_any(data)


def request_id(data: bytes) -> int:
    """The id its proposer gave an entry; 0 when it has none."""
    try:
        request = etcdserverpb.InternalRaftRequest.FromString(data)
    except Exception as error:
        raise Malformed(str(error)) from error
    return request.ID or request.header.ID


def user_of(data: bytes) -> tuple[str, int]:
    """On whose behalf an entry was proposed, and at which auth revision; empty and 0: nobody's."""
    at, end = 0, len(data)
    try:
        while at < end:
            key, at = decode(data, at)
            if key & 7 == _LENGTH_DELIMITED:
                length, at = decode(data, at)
                if key >> 3 == HEADER:
                    header = etcdserverpb.RequestHeader.FromString(data[at : at + length])
                    return header.username, header.auth_revision
                at += length
            elif key & 7:
                raise Malformed(f"wire type {key & 7}")
            else:
                _, at = decode(data, at)
    except (ValueError, DecodeError) as error:
        raise Malformed(str(error)) from error
    return "", 0


def _unwrap_any(data: bytes) -> tuple[int, bytes]:
    at = 0
    try:
        while at < len(data):
            key, at = decode(data, at)
            number, kind = key >> 3, key & 7
            if kind == 0:
                _, at = decode(data, at)
            elif kind == _LENGTH_DELIMITED:
                length, at = decode(data, at)
                if at + length > len(data):
                    raise Malformed("request is cut short")
                if number != HEADER:
                    return number, data[at : at + length]
                at += length
            else:
                raise Malformed(f"wire type {kind}")
    except ValueError as error:
        raise Malformed(str(error)) from error
    raise Malformed("no request")
