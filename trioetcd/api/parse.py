"""A request's bytes as a message, or etcd's words for what is wrong with them.

Two ways, because the parser keeps what it does not know where that was found: `parse` looks into
nested messages as well, `parse_flat` is for requests that have none, and faster.
"""

from __future__ import annotations

from typing import NoReturn, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from trioetcd.api.malformed import Malformed, fault
from wire.grpc.service import bad_request

M = TypeVar("M", bound=Message)


def parse(kind: type[M], payload: bytes) -> M:
    """A message without what is unknown in it.

    Raises Refused, in grpc's words, for bytes that are no such message.
    """
    try:
        message = kind.FromString(payload)
    except DecodeError as error:
        _refuse(kind, payload, error)
    message.DiscardUnknownFields()
    if message.ByteSize() != len(payload):  # something was unknown, or written in a roundabout way
        check(kind, payload)
    return message


def parse_flat(kind: type[M], payload: bytes) -> M:
    """`parse` for a kind of message that holds no others."""
    try:
        message = kind.FromString(payload)
    except DecodeError as error:
        _refuse(kind, payload, error)
    if UnknownFieldSet(message):
        check(kind, payload)
    return message


def check(kind: type[Message], payload: bytes) -> None:
    """Raises Refused if etcd takes no such bytes."""
    words = fault(kind.DESCRIPTOR, payload)
    if words is not None:
        raise bad_request(Malformed(words))


def _refuse(kind: type[Message], payload: bytes, error: DecodeError) -> NoReturn:
    check(kind, payload)
    raise bad_request(error) from error
