"""What etcd says of bytes that are not the message they should be.

Our parser is more generous than etcd's, as protobuf allows: a field of the wrong wire type is one
that it does not know.  etcd refuses it.  So whoever parses a request looks here if the parser
found anything unknown in it, or gave up; fields of newer clients are unknown too, and fine.

Slow, and not on the way of requests that are well made.
Source: the decoders that gogo/protobuf 1.3 makes (etcd api/etcdserverpb/rpc.pb.go); protobuf
"Encoding", "Message Structure".
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)  # wire types
UNEXPECTED_END = "unexpected EOF"
OVERFLOW = "proto: integer overflow"
NEGATIVE_LENGTH = "proto: negative length found during unmarshaling"
STRAY_GROUP_END = "proto: unexpected end of group"
MOST_FIELDS = 4096  # looked at in one request: a few milliseconds
_SIZES = {FIXED64: 8, FIXED32: 4}
_VARINT_BYTES = 10  # at most, for 64 bits


class Malformed(Exception):
    """Its words are etcd's."""


class _EnoughSeen(Exception):
    """MOST_FIELDS were looked at, and nothing found."""


def fault(kind: Descriptor, data: bytes) -> str | None:
    """Why etcd refuses these bytes as a message of this kind; None: it does not."""
    try:
        _Decoder(data).message(kind, 0, len(data))
    except Malformed as error:
        return str(error)
    except _EnoughSeen:
        pass
    return None


class _Decoder:
    """Reads fields for their faults alone.  `at` is a place in the data, `end` one past it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields_left = MOST_FIELDS

    def message(self, kind: Descriptor, at: int, end: int) -> None:
        while at < end:
            start = at
            tag, at = self.tag(at, end)
            wire_type, number = tag & 7, _signed(tag >> 3, 32)
            if wire_type == GROUP_END:
                raise Malformed(f"proto: {kind.name}: wiretype end group for non-group")
            if number <= 0:
                raise Malformed(f"proto: {kind.name}: illegal tag {number} (wire type {tag})")
            field = kind.fields_by_number.get(number)
            at = self.unknown(start, end) if field is None else self.field(field, tag, at, end)

    def field(self, field: FieldDescriptor, tag: int, at: int, end: int) -> int:
        wire_type = tag & 7
        is_packed = wire_type == LENGTH and _is_packable(field)
        if wire_type != _wire_type(field) and not is_packed:
            raise Malformed(f"proto: wrong wireType = {wire_type} for field {_go_name(field.name)}")
        if wire_type == VARINT:
            return self.varint(at, end)[1]
        at, stop = self.length(at, end)
        if stop > end:
            raise Malformed(UNEXPECTED_END)
        if field.message_type is not None:
            self.message(field.message_type, at, stop)
        while is_packed and at < stop:
            at = self.varint(at, stop)[1]
        return stop

    def unknown(self, at: int, end: int) -> int:
        """Past one unknown field, or one group with all that is in it."""
        depth = 0
        while at < end:
            tag, at = self.tag(at, end)
            wire_type = tag & 7
            if wire_type == VARINT:
                at = self.varint(at, end)[1]
            elif wire_type in _SIZES:
                at += _SIZES[wire_type]
            elif wire_type == LENGTH:
                at = self.length(at, end)[1]
            elif wire_type == GROUP:
                depth += 1
            elif wire_type == GROUP_END and depth:
                depth -= 1
            elif wire_type == GROUP_END:
                raise Malformed(STRAY_GROUP_END)
            else:
                raise Malformed(f"proto: illegal wireType {wire_type}")
            if not depth and at <= end:
                return at
        raise Malformed(UNEXPECTED_END)

    def tag(self, at: int, end: int) -> tuple[int, int]:
        self._fields_left -= 1
        if self._fields_left < 0:
            raise _EnoughSeen
        return self.varint(at, end)

    def length(self, at: int, end: int) -> tuple[int, int]:
        """Where the content begins and where it ends, which may be past `end`."""
        length, at = self.varint(at, end)
        if _signed(length, 64) < 0 or at + length >= 1 << 63:
            raise Malformed(NEGATIVE_LENGTH)
        return at, at + length

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """An unsigned number of 64 bits, and where it ends."""
        value = 0
        for place in range(_VARINT_BYTES):
            if at >= end:
                raise Malformed(UNEXPECTED_END)
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
        raise Malformed(OVERFLOW)


def _wire_type(field: FieldDescriptor) -> int:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING):
        return LENGTH
    return VARINT  # etcd's requests have no other scalars


def _is_packable(field: FieldDescriptor) -> bool:
    return isinstance(field.default_value, list) and _wire_type(field) == VARINT


def _go_name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _signed(value: int, bits: int) -> int:
    """The low bits of a number as Go's int32 or int64."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
