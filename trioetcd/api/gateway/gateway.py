"""etcd's services by POST and JSON, under /v3 (and /v3beta, as 3.3 had it).

Calls go to the very methods that gRPC's calls go to.  A stream's answers are lines, each sent as
it comes; its requests are the values in the body, and the end of the body is the end of what the
client says.
Source: grpc-gateway runtime (handler.go, errors.go, context.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import trio
from google.protobuf.message import Message

from trioetcd.api.gateway.json_messages import from_json, to_json, to_line
from trioetcd.api.gateway.json_text import BadJSON, read_first, read_values
from trioetcd.api.gateway.routes import ROUTES, Route, response_of
from trioetcd.api.local import LocalStream, call_unary
from wire.errors import EtcdError, Refused
from wire.grpc.framing import too_large
from wire.grpc.metadata import Metadata
from wire.grpc.service import DEFAULT_MESSAGE_BYTES, Context, Method, Registry
from wire.http import HTTPRequest, HTTPResponse, Sender
from wire.status import Status

PREFIXES = ("/v3/", "/v3beta/")
HTTP_STATUS: dict[Status, int] = {
    Status.OK: 200,
    Status.CANCELLED: 408,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}
_JSON = (b"content-type", b"application/json")
_GRPC = (b"grpc-metadata-content-type", b"application/grpc")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
# Headers that etcd's gateway passes on under this name in front of theirs.
_MARKED = (b"accept", b"user-agent", b"authorization", b"host", b"origin", b"referer", b"cookie")
_PASSED = b"grpc-metadata-"  # in front of a header: metadata by the rest of its name
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Gateway:
    """Answers requests whose path begins with one of PREFIXES."""

    def __init__(self, registry: Registry, message_bytes: int = DEFAULT_MESSAGE_BYTES) -> None:
        """`message_bytes` is the largest request, as protobuf."""
        self._registry = registry
        self._message_bytes = message_bytes

    async def handle(self, request: HTTPRequest) -> HTTPResponse:
        path = request.path
        if path.startswith("/v3beta/"):
            path = f"/v3/{path.removeprefix('/v3beta/')}"
        route = ROUTES.get(path)
        if route is None:
            return HTTPResponse(404, b"Not Found\n", [_TEXT, _NO_SNIFFING])
        if request.method != "POST":
            return HTTPResponse(405, b"Method Not Allowed\n", [_TEXT, _NO_SNIFFING])
        method = self._registry.methods.get(route.method.encode())
        if method is None:
            return refusal(self._registry.unknown(route.method))
        try:
            context = context_of(request, route)
            if route.listens:
                requests = self._said(route, request.body)
                return HTTPResponse(play=_Player(method, route, context, requests).play)
            payload = self._encoded(route, read_first(request.body))
            if route.streams:
                return HTTPResponse(play=_Player(method, route, context, [payload]).play)
            answer = await call_unary(method, context, payload)
        except BadJSON as error:
            return refusal(Refused(Status.INVALID_ARGUMENT, str(error)))
        except EtcdError as error:
            return refusal(error)
        return HTTPResponse(200, to_json(_decoded(route, answer)), [_JSON, _GRPC])

    def _encoded(self, route: Route, value: object) -> bytes:
        data = from_json(route.request, value).SerializeToString()
        if len(data) > self._message_bytes:
            raise too_large(len(data), self._message_bytes)
        return data

    def _said(self, route: Route, body: bytes) -> list[bytes]:
        """All that the client says on a stream: up to what is no message, as in etcd."""
        said: list[bytes] = []
        try:
            for value in read_values(body):
                said.append(self._encoded(route, value))
        except BadJSON as error:
            if not said:
                raise Refused(Status.UNKNOWN, str(error)) from error
        return said


def _decoded(route: Route, data: bytes) -> Message:
    message = response_of(route)()
    message.MergeFromString(data)
    return message


def refusal(error: EtcdError) -> HTTPResponse:
    """With every field that any release's clients look for."""
    return HTTPResponse(HTTP_STATUS[error.status], _error_json(error), [_JSON])


def _error_json(error: EtcdError) -> bytes:
    text = str(error)
    return to_line({"error": text, "code": int(error.status), "message": text})


class _Player:
    """One streaming call, and its answers on their way out."""

    def __init__(
        self, method: Method, route: Route, context: Context, requests: list[bytes]
    ) -> None:
        self._method = method
        self._route = route
        self._stream = LocalStream(context, requests)

    async def play(self, sender: Sender) -> None:
        """Until the handler returns; or for ever, if that is what the call does."""
        counts = self._method.counts
        counts.of(self._stream.context.metadata).started += 1
        begun = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stream.serve, self._method)
            while (message := await self._stream.next()) is not None:
                counts.sent += 1
                if not begun:
                    await sender.begin(200, [_JSON, _GRPC])
                    begun = True
                line = to_json(_decoded(self._route, message))
                await sender.send(b'{"result":' + line + b"}\n")
            nursery.cancel_scope.cancel()
        error = self._stream.error
        counts.end(Status.OK if error is None else error.status)
        if error is None:
            if not begun:
                await sender.begin(200, [_JSON, _GRPC])
        elif begun:
            await sender.send(_stream_error(error))
        else:
            response = refusal(error)
            await sender.begin(response.status, response.headers)
            await sender.send(response.body)


def _stream_error(error: EtcdError) -> bytes:
    status = HTTP_STATUS[error.status]
    shown = {
        "grpc_code": int(error.status),
        "http_code": status,
        "message": str(error),
        "http_status": HTTPStatus(status).phrase,
        "code": int(error.status),
    }
    return to_line({"error": shown}) + b"\n"


# -- What the call's headers say


def context_of(request: HTTPRequest, route: Route) -> Context:
    """Raises Refused for a deadline that is none."""
    metadata: dict[str, tuple[bytes, ...]] = {}

    def note(name: str, value: bytes) -> None:
        metadata[name] = (*metadata.get(name, ()), value)

    timeout = None
    for name, value in request.headers:
        if name in _MARKED:
            note(f"grpcgateway-{name.decode()}", value)
        if name == b"authorization":
            note("authorization", value)
        elif name.startswith(_PASSED):
            note(name.removeprefix(_PASSED).decode("ascii", "replace"), value)
        elif name == b"grpc-timeout":
            timeout = _seconds(value)
    # Says that the call came by the gateway: a certificate's name counts for nothing here.
    metadata.setdefault("grpcgateway-accept", (b"*/*",))
    return Context(route.method, _as_metadata(metadata), request.peer, timeout)


def _as_metadata(found: Mapping[str, tuple[bytes, ...]]) -> Metadata:
    return dict(found)


def _seconds(value: bytes) -> float:
    text = value.decode("ascii", "replace")
    unit = _UNITS.get(text[-1:])
    if unit is None or not text[:-1].isdecimal() or len(text) > 9:
        raise Refused(Status.INVALID_ARGUMENT, f"invalid grpc-timeout: {text}")
    return int(text[:-1]) * unit
