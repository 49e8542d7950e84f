"""Messages to JSON and back, as etcd's gateway does it.

Out: names as in the proto files, 64-bit numbers as texts, bytes as base64, enums by name, zero
values not at all.  In: both spellings of names, numbers or texts, enums by name or number;
unknown names and nulls are passed over.
Source: grpc-gateway runtime/marshal_jsonpb.go; golang/protobuf jsonpb (decode.go, encode.go).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from trioetcd.api.gateway.json_text import BadJSON, Real, read_only

_WIDE = {
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_FIXED64: "uint64",
    FieldDescriptor.TYPE_SFIXED64: "int64",
}
_NARROW = {
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_FIXED32: "uint32",
    FieldDescriptor.TYPE_SFIXED32: "int32",
}
_LETTER = re.compile(r"[A-Za-z0-9+/]")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?")
_NEWLINES = "\r\n"
_SHOWN = {"int32", "uint32", "int64", "uint64", "uint8"}  # a number that does not fit is shown
_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object"}
_LIMITS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}


def to_json(message: Message) -> bytes:
    """One line, without blanks."""
    return to_line(_plain(message))


def to_line(shown: dict[str, Any]) -> bytes:
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        show = _shower(field)
        shown[field.name] = [show(one) for one in value] if field.is_repeated else show(value)
    return shown


def _shower(field: FieldDescriptor) -> Callable[[Any], Any]:
    kind = field.type
    if kind == FieldDescriptor.TYPE_MESSAGE:
        return _plain
    if kind == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if kind in _WIDE:
        return str
    if kind == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    return lambda value: value


def from_json(kind: type[Message], value: Any) -> Message:
    """Raises BadJSON for a value that is no such message."""
    message = kind()
    if value is not None:
        _fill(message, value)
    return message


@lru_cache(maxsize=256)
def _fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """By both spellings; the proto file's counts if two fields share one."""
    camel = {field.camelcase_name: field for field in descriptor.fields}
    return (
        camel
        | {field.json_name: field for field in descriptor.fields}
        | {field.name: field for field in descriptor.fields}
    )


def _fill(message: Message, value: Any) -> None:
    if not isinstance(value, dict):
        raise _mismatch(value, "map[string]json.RawMessage")
    fields = _fields(message.DESCRIPTOR)
    for name, given in value.items():
        field = fields.get(name)
        if field is None or given is None:
            continue
        if field.is_repeated:
            if not isinstance(given, list):
                raise _mismatch(given, "[]json.RawMessage")
            values = getattr(message, field.name)
            for one in given:
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    added = values.add()
                    if one is not None:
                        _fill(added, one)
                else:
                    values.append(_scalar(field, one))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill(inner, given)
        else:
            setattr(message, field.name, _scalar(field, given))


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes(value)
    if kind == FieldDescriptor.TYPE_ENUM:
        return _enum(field, value)
    if kind == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise _mismatch(value, "bool")
        return value
    if kind == FieldDescriptor.TYPE_STRING:
        if not isinstance(value, str):
            raise _mismatch(value, "string")
        return value
    return _integer(value, _WIDE.get(kind) or _NARROW[kind])


def _integer(value: Any, kind: str) -> int:
    """A number may stand in quotes: then what they hold is JSON."""
    if isinstance(value, str):
        value = read_only(value)
        if value is None:
            return 0
    low, high = _LIMITS[kind]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _mismatch(value, kind)
    return value


def _enum(field: FieldDescriptor, value: Any) -> int:
    if not isinstance(value, str):
        return _integer(value, "int32")
    assert field.enum_type is not None
    found = field.enum_type.values_by_name.get(value)
    if found is None:
        name = field.enum_type.full_name
        package, _, rest = name.partition(".")
        raise BadJSON(
            f"unknown value {json.dumps(value)} for enum {package}.{rest.replace('.', '_')}"
        )
    return int(found.number)


def _bytes(value: Any) -> bytes:
    """Standard base64, padded; or a list of small numbers."""
    if isinstance(value, list):
        return bytes(_integer_only(one) for one in value)
    if not isinstance(value, str):
        raise _mismatch(value, "[]uint8")
    text = value.replace("\n", "").replace("\r", "")
    found = _BASE64.fullmatch(text)
    if found is None:
        raise BadJSON(f"illegal base64 data at input byte {_first_wrong(value)}")
    return base64.b64decode(text)


def _integer_only(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 256:
        raise _mismatch(value, "uint8")
    return value


def _first_wrong(text: str) -> int:
    """Where Go's decoder stops; newlines between the letters count.

    Source: Go encoding/base64 (decodeQuantum).
    """
    place = 0  # in a group of four letters
    for at, letter in enumerate(text):
        if letter == "=":
            return _wrong_padding(text, at, place)
        if letter not in _NEWLINES:
            if not _LETTER.match(letter):
                return at
            place = (place + 1) % 4
    return len(text) - place


def _wrong_padding(text: str, at: int, place: int) -> int:
    """After the first `=`, which stands at this place of its group."""
    if place < 2:
        return at
    rest = _past_newlines(text, at + 1)
    if place == 2:  # there must be a second one
        if rest == len(text):
            return rest
        if text[rest] != "=":
            return rest - 1
        rest = _past_newlines(text, rest + 1)
    return rest  # something comes after the padding


def _past_newlines(text: str, at: int) -> int:
    while at < len(text) and text[at] in _NEWLINES:
        at += 1
    return at


def _mismatch(value: Any, kind: str) -> BadJSON:
    if isinstance(value, Real):
        found = f"number {value.text}"
    elif isinstance(value, bool):
        found = "bool"
    elif isinstance(value, int):
        found = f"number {value}" if kind in _SHOWN else "number"
    else:
        found = _KINDS.get(type(value), "null")
    return BadJSON(f"json: cannot unmarshal {found} into Go value of type {kind}")
