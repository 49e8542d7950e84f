"""The same calls as JSON over HTTP, in any of the forms that the gateway takes."""

from __future__ import annotations

import base64
import http.client
import json
from random import Random
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.interop.differential.clients import ANSWER_SECONDS, Answer
from trioetcd.api.gateway.routes import ROUTES
from wire.status import Status

PATHS: dict[str, list[str]] = {}  # of each method; Go's etcd says 404 to a wrong one
for _path, _route in ROUTES.items():
    PATHS.setdefault(_route.method.removeprefix("/"), []).append(_path)
_LONG = {
    *(FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64),
    *(FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
}


class Page(NamedTuple):
    """What HTTP was answered."""

    status: int
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON in it; the body as it is if that is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body

    def answer(self, kind: type[Message]) -> Answer:
        """What gRPC would have been answered."""
        found = self.document
        if isinstance(found, dict):  # a line of a stream
            failure = found.get("error")
            if isinstance(failure, dict):
                return Answer(Status(failure["grpc_code"]).name, failure["message"])
            found = found.get("result", found)
        if self.status == 200 and isinstance(found, dict):
            return Answer("OK", "", json_format.ParseDict(found, kind()).SerializeToString())
        if isinstance(found, dict) and "code" in found:
            return Answer(Status(found["code"]).name, found.get("error", ""))
        return Answer(f"HTTP {self.status}", repr(found))


class Gateway:
    """A connection to one server that is kept alive, one request at a time."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)

    def begin(self, path: str, body: str | bytes, token: str = "") -> None:
        headers = {"Authorization": token} if token else {}
        self._connection.request("POST", path, body, headers)

    def finish(self) -> Page:
        response = self._connection.getresponse()
        return Page(response.status, response.read())

    def first_line(self, path: str, body: str, token: str = "") -> Page:
        """Of an answer that goes on; the connection is given up."""
        self.begin(path, body, token)
        response = self._connection.getresponse()
        line = response.readline()
        self._connection.close()
        return Page(response.status, line)

    def close(self) -> None:
        self._connection.close()


def in_json(message: Message, rng: Random) -> str:
    """A message as some client might write it."""
    return json.dumps(_form(message, rng), indent=rng.choice((None, None, 1)))


def _form(message: Message, rng: Random) -> dict[str, Any]:
    fields = list(message.ListFields())
    rng.shuffle(fields)
    form = {}
    for field, value in fields:
        name = field.json_name if rng.random() < 0.2 else field.name
        if field.is_repeated:
            form[name] = [_value(field, one, rng) for one in value]
        else:
            form[name] = _value(field, value, rng)
    return form


def _value(field: FieldDescriptor, value: Any, rng: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _form(value, rng)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if field.type in _LONG:
        return value if rng.random() < 0.4 else str(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None or rng.random() < 0.3 else known.name
    return value


def garbled(text: str, rng: Random) -> bytes:
    """One byte put in, left out or changed; for calls that change nothing."""
    data = bytearray(text.encode())
    place = rng.randrange(len(data) + 1)
    byte = rng.choice(b'{}[]",:0123456789eE.-+ntf\\ abc=/\n\x00\xff')
    match rng.randrange(3):
        case 0:
            data.insert(place, byte)
        case 1:
            del data[place : place + 1]
        case _:
            data[place : place + 1] = bytes([byte])
    return bytes(data)
