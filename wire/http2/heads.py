"""Header blocks of requests, understood: is this an ordinary unary call, and of what?

Only what is right in every respect counts as ordinary; what is odd is left to h2 to judge.
Source: RFC 9113 §8.2, §8.3; grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.errors import EtcdError, Refused
from wire.grpc.metadata import metadata_of, parse_timeout
from wire.grpc.service import Context, Method, Peer, Registry
from wire.http2.headers import Headers
from wire.status import Status


@dataclass(slots=True)
class Head:
    """What one header block means.  `method` is set if it opens an ordinary unary call."""

    headers: Headers
    method: Method | None = None
    context: Context | None = None
    content_length: int | None = None
    fault: EtcdError | None = None  # the call is answered with this, whatever its message


def understand(headers: Headers, registry: Registry, peer: Peer) -> Head:
    """What these headers mean; `method` stays None for all but an ordinary unary call."""
    head = Head(headers)
    found: dict[bytes, bytes] = {}
    regular = False
    for name, value in headers:
        if name.startswith(b":"):
            if regular or name in found:
                return head
        else:
            regular = True
            if name in _ODD or not _is_plain_name(name) or not _is_plain_value(value):
                return head
        found[name] = value
    method = registry.methods.get(found.get(b":path", b""))
    if (
        method is None
        or method.stream is not None
        or found.get(b":method") != b"POST"
        or not found.get(b":scheme")
        or not _PSEUDO.issuperset(name for name in found if name.startswith(b":"))
        or not _is_grpc(found.get(b"content-type", b""))
        or found.get(b"te", b"trailers") != b"trailers"
    ):
        return head
    length = found.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            return head
        head.content_length = int(length)
    _read_grpc_headers(head, method, peer, found)
    return head


def _read_grpc_headers(head: Head, method: Method, peer: Peer, found: dict[bytes, bytes]) -> None:
    head.method = method
    head.context = Context(method.path, {}, peer)
    try:
        head.context.metadata = metadata_of(head.headers)
        timeout = found.get(b"grpc-timeout")
        if timeout is not None:
            head.context.timeout = parse_timeout(timeout)
        encoding = found.get(b"grpc-encoding", b"identity")
        if encoding not in (b"identity", b"gzip"):
            shown = encoding.decode("ascii", "replace")
            raise Refused(
                Status.UNIMPLEMENTED,
                f'grpc: Decompressor is not installed for grpc-encoding "{shown}"',
            )
        head.context.encoding = encoding
    except Refused as error:
        head.fault = error


_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_ODD = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~")


def _is_plain_name(name: bytes) -> bool:
    return bool(name) and _NAME_BYTES.issuperset(name)


def _is_plain_value(value: bytes) -> bool:
    return value == value.strip() and not any(byte in value for byte in b"\0\r\n")


def _is_grpc(content_type: bytes) -> bool:
    rest = content_type.removeprefix(b"application/grpc")
    return rest != content_type and (not rest or rest[:1] in (b"+", b";"))
