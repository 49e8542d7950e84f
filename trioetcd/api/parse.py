"""A request's bytes as a message, or etcd's words for what is wrong with them.

Two ways, because the parser keeps what it does not know where that was found: `parse` looks into
nested messages as well, `parse_flat` is for requests that have none, and faster.
"""

from __future__ import annotations

from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from trioetcd.api.malformed import Malformed, fault
from wire.errors import Refused
from wire.grpc.service import bad_request
from wire.status import Status

# What the decoder of etcd 3.5 takes and protobuf forbids; the decoder of etcd's main since 2026
# refuses it in these words.  For one, numbers of fields that need more than 29 bits.
INVALID = "proto: cannot parse invalid wire-format data"

M = TypeVar("M", bound=Message)


def parse(kind: type[M], payload: bytes) -> M:
    """The request of a unary call, without what is unknown in it.

    Raises Refused, in grpc's words, for bytes that are no such message.
    """
    try:
        return _parse(kind, payload)
    except Malformed as error:
        raise bad_request(error) from None


def parse_streamed(kind: type[M], payload: bytes) -> M:
    """`parse` for a request that came on a stream: grpc has other words for it."""
    try:
        return _parse(kind, payload)
    except Malformed as error:
        text = f"grpc: failed to unmarshal the received message {error}"
        raise Refused(Status.INTERNAL, text) from None


def parse_flat(kind: type[M], payload: bytes) -> M:
    """`parse` for a kind of message that holds no others."""
    try:
        message = _read(kind, payload)
        if UnknownFieldSet(message):
            _check(kind, payload)
        return message
    except Malformed as error:
        raise bad_request(error) from None


def _parse(kind: type[M], payload: bytes) -> M:
    message = _read(kind, payload)
    message.DiscardUnknownFields()
    if message.ByteSize() != len(payload):  # something was unknown, or written in a roundabout way
        _check(kind, payload)
    return message


def _read(kind: type[M], payload: bytes) -> M:
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        _check(kind, payload)
        raise Malformed(INVALID) from error


def _check(kind: type[Message], payload: bytes) -> None:
    """Raises Malformed if etcd takes no such bytes."""
    words = fault(cast(Descriptor, kind.DESCRIPTOR), payload)
    if words is not None:
        raise Malformed(words)
