"""The descriptor pool of etcd's messages, private to this program.

A program that embeds a node may import another etcd client, and that client registers
`rpc.proto` in protobuf's default pool.  In a pool of our own the two cannot collide.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

from wire.pb.descriptors import FILES

POOL = descriptor_pool.DescriptorPool()
for _file in FILES:
    POOL.AddSerializedFile(_file)


def message(full_name: str) -> Any:
    """The message class of this name, e.g. `etcdserverpb.PutRequest`."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def enum(full_name: str) -> Any:
    """The wrapper (`Name`, `Value`, `items`) of a top-level enum."""
    return enum_type_wrapper.EnumTypeWrapper(POOL.FindEnumTypeByName(full_name))
