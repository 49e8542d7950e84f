"""Messages as Go's encoding/json writes etcd's generated structs.

Fields have their names of the .proto file, zeros are left out, bytes are base64, all numbers are
numbers, enums too; a oneof is an object of its own.
Source: etcd api/etcdserverpb/rpc.pb.go (the structs' json tags).
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

_BYTES = 12  # FieldDescriptor.TYPE_BYTES


def go_json(message: Message | None) -> dict[str, Any]:
    if message is None:
        return {}
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            found: Any = [_value(field, one) for one in value]
        else:
            found = _value(field, value)
        if field.containing_oneof is None:
            shown[field.name] = found
        else:
            outer = field.containing_oneof.name
            shown[outer[0].upper() + outer[1:]] = {field.name: found}
    return shown


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return go_json(value)
    return b64encode(value).decode() if field.type == _BYTES else value


def flat_header(message: Any) -> dict[str, Any]:
    """Where Go's client answers with a struct that has the header's fields in itself."""
    return go_json(message.header)
