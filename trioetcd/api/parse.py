"""A request's bytes as a message."""

from __future__ import annotations

from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError

from wire.grpc.service import bad_request

T_co = TypeVar("T_co", covariant=True)


class MessageType(Protocol[T_co]):
    """A message class."""

    def FromString(self, data: bytes, /) -> T_co: ...


def parse(kind: MessageType[T_co], payload: bytes) -> T_co:
    """Raises Refused, in grpc's words, for bytes that are no such message."""
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise bad_request(error) from error
