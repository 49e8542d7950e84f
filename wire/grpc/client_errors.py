"""What goes wrong with a call apart from what the server says, and whether it may have happened.

A write of unknown fate must not be tried again, so every such error says whether the server may
have seen the request.
Source: grpc/doc/statuscodes.md, http-grpc-status-mapping.md, PROTOCOL-HTTP2.md ("Errors");
the words are grpc-go's.
"""

from __future__ import annotations

from http import HTTPStatus

from wire.errors import DeadlineExceeded, EtcdError, Refused, from_status
from wire.grpc.metadata import decode_message
from wire.http2.frames import Code
from wire.http2.headers import Headers
from wire.status import Status


class Unavailable(Refused):
    """There is no server, or the connection to it has broken."""

    def __init__(self, text: str, *, maybe_sent: bool) -> None:
        super().__init__(Status.UNAVAILABLE, text)
        self.maybe_sent = maybe_sent  # the server may have acted on the request


class TimedOut(DeadlineExceeded):
    """The caller's time has run out."""

    def __init__(self, *, maybe_sent: bool) -> None:
        super().__init__()
        self.maybe_sent = maybe_sent


class ChannelClosed(Refused):
    """The channel was closed under the call, or before it."""

    def __init__(self, *, maybe_sent: bool) -> None:
        super().__init__(Status.CANCELLED, "grpc: the client connection is closing")
        self.maybe_sent = maybe_sent


class Head:
    """What a response's header block means: a beginning, an end, or both."""

    __slots__ = ("encoding", "fault", "headers", "is_informational", "status", "text")

    def __init__(self, headers: Headers) -> None:
        found = dict(headers)
        self.headers = headers
        self.encoding = found.get(b"grpc-encoding", b"identity")
        self.status = _grpc_status(found.get(b"grpc-status"))  # None: not said
        self.text = decode_message(found.get(b"grpc-message", b""))
        http_status = found.get(b":status")
        self.is_informational = http_status is not None and http_status[:1] == b"1"
        self.fault: EtcdError | None = None  # why this cannot be the beginning of a response
        if http_status is not None and self.status is None and not self.is_informational:
            self.fault = _no_grpc(http_status, found.get(b"content-type", b""))

    def outcome(self) -> EtcdError | None:
        """Of a call whose last header block this is: None if it went well."""
        if self.status is None:
            text = "server closed the stream without sending trailers"
            return self.fault or Refused(Status.INTERNAL, text)
        if self.status is Status.OK:
            return None
        return from_status(self.status, self.text)


def _grpc_status(value: bytes | None) -> Status | None:
    if value is None:
        return None
    try:
        return Status(int(value))
    except ValueError:
        return Status.UNKNOWN


_BY_HTTP_STATUS = {
    b"400": Status.INTERNAL,
    b"401": Status.UNAUTHENTICATED,
    b"403": Status.PERMISSION_DENIED,
    b"404": Status.UNIMPLEMENTED,
    b"429": Status.UNAVAILABLE,
    b"502": Status.UNAVAILABLE,
    b"503": Status.UNAVAILABLE,
    b"504": Status.UNAVAILABLE,
}


def _no_grpc(http_status: bytes, content_type: bytes) -> EtcdError | None:
    if http_status != b"200":
        status = _BY_HTTP_STATUS.get(http_status, Status.UNKNOWN)
        shown = _http_words(http_status.decode("ascii", "replace"))
        return Refused(status, f"unexpected HTTP status code received from server: {shown}")
    if not content_type.startswith(b"application/grpc"):
        shown = content_type.decode("ascii", "replace")
        text = f'unexpected HTTP status code received from server: 200 (OK); content-type "{shown}"'
        return Refused(Status.UNKNOWN, text)
    return None


def _http_words(code: str) -> str:
    try:
        return f"{code} ({HTTPStatus(int(code)).phrase})"
    except ValueError:
        return code


_BY_CODE = {
    Code.REFUSED_STREAM: Status.UNAVAILABLE,
    Code.CANCEL: Status.CANCELLED,
    Code.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    Code.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}


def reset_error(code: int) -> EtcdError:
    """What a RST_STREAM from the server means.  REFUSED_STREAM was not looked at."""
    try:
        name = Code(code).name
    except ValueError:
        name = str(code)
    text = f"stream terminated by RST_STREAM with error code: {name}"
    if code == Code.REFUSED_STREAM:
        return Unavailable(text, maybe_sent=False)
    return Refused(_BY_CODE.get(code, Status.INTERNAL), text)  # type: ignore[call-overload]
