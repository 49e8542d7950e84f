"""Server reflection: tools find out what there is to call, and with what messages.

Source: grpc/doc/server-reflection.md.  etcd does not offer it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf import descriptor_pb2

from trioetcd.api.parse import parse_streamed
from wire.grpc.service import Registry, ServerStream
from wire.pb import reflectionpb
from wire.pb.descriptors import FILES
from wire.pb.pool import POOL
from wire.status import Status

PATHS = tuple(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    for version in ("v1", "v1alpha")  # which say the same
)
_Response = reflectionpb.ServerReflectionResponse


class ReflectionService:
    def __init__(self, services: Callable[[], Iterable[str]]) -> None:
        """`services` are the full names of what is offered."""
        self._services = services

    def register(self, registry: Registry) -> None:
        for path in PATHS:
            registry.stream(path, self.info, "bidi_stream")

    async def info(self, stream: ServerStream) -> None:
        """An answer for every question, in order."""
        while (message := await stream.receive()) is not None:
            request = parse_streamed(reflectionpb.ServerReflectionRequest, message)
            response = self._answer(request)
            response.valid_host = request.host
            response.original_request.CopyFrom(request)
            await stream.send(response.SerializeToString())

    def _answer(self, request: reflectionpb.ServerReflectionRequest) -> _Response:
        response = _Response()
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in sorted(self._services()):
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                _describe(response, request.file_by_filename, request.file_by_filename)
            case "file_containing_symbol":
                _describe(response, request.file_containing_symbol, None)
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                if _file_of(name) is None:
                    _refuse(response, Status.NOT_FOUND, f"unknown type: {name}")
                else:  # proto3 has none
                    response.all_extension_numbers_response.base_type_name = name
            case "file_containing_extension":
                _refuse(response, Status.NOT_FOUND, "there are no extensions")
            case _:
                _refuse(response, Status.INVALID_ARGUMENT, "no question")
        return response


def _describe(response: _Response, asked: str, file: str | None) -> None:
    """The file, or that with a symbol, and all that it needs, before it."""
    name = _file_of(asked) if file is None else file
    if name is None or name not in _SERIALIZED:
        _refuse(response, Status.NOT_FOUND, f"not found: {asked}")
        return
    wanted: dict[str, None] = {}

    def gather(one: str) -> None:
        for needed in _NEEDS[one]:
            gather(needed)
        wanted[one] = None

    gather(name)
    found = response.file_descriptor_response.file_descriptor_proto
    found.extend(_SERIALIZED[one] for one in reversed(wanted))


def _file_of(symbol: str) -> str | None:
    try:
        return str(POOL.FindFileContainingSymbol(symbol).name)
    except KeyError:
        return None


def _refuse(response: _Response, status: Status, words: str) -> None:
    response.error_response.error_code = int(status)
    response.error_response.error_message = words


def _files() -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """By name: every file as it is sent, and the names of those it needs."""
    parsed = [(descriptor_pb2.FileDescriptorProto.FromString(data), data) for data in FILES]
    return (
        {file.name: data for file, data in parsed},
        {file.name: list(file.dependency) for file, _ in parsed},
    )


_SERIALIZED, _NEEDS = _files()
