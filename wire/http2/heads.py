"""Header blocks of requests, understood: is this an ordinary unary call, and of what?

Only what is right in every respect counts as ordinary; what is odd is left to h2 to judge.
Source: RFC 9113 §8.2, §8.3; grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Callable

from wire.errors import DeadlineExceeded, EtcdError, Refused
from wire.grpc.metadata import metadata_of, parse_timeout
from wire.grpc.service import Arrivals, BatchHandler, Context, Method, Peer, Registry, UnaryCall
from wire.http2.headers import Headers
from wire.status import Status

TOO_SHORT = 20e-6  # seconds: a timeout that has passed before anything can be done
GRPC = b"application/grpc"
KNOWN_HEADS = 64  # a client that sends more different headers gains little from memory


class Basket:
    """The calls of one chunk for one handler."""

    __slots__ = ("calls", "handler")

    def __init__(self, handler: BatchHandler) -> None:
        self.handler = handler
        self.calls: list[UnaryCall] = []


class CallHead:
    """The headers of an ordinary unary call."""

    __slots__ = ("basket", "body_bytes", "context", "counts", "fault", "method", "timeout")

    def __init__(
        self,
        method: Method,
        context: Context,
        basket: Basket,
        body_bytes: int | None,
        counts: Arrivals | None = None,
    ) -> None:
        self.method = method
        self.counts = counts or method.counts.of(context.metadata)
        self.context = context
        self.timeout = context.timeout
        self.basket = basket  # where its calls go
        self.body_bytes = body_bytes  # content-length
        self.fault: EtcdError | None = None  # the call is answered with this


class Head:
    """What one header block means.

    `call` is set if it opens an ordinary unary call; `hot` is the same unless it has a fault.
    """

    __slots__ = ("call", "headers", "hot")

    def __init__(self, headers: Headers, call: CallHead | None = None) -> None:
        self.headers = headers
        self.call = call
        self.hot = call if call is not None and call.fault is None else None


class Understanding:
    """Understands one connection's headers, and remembers those that come again.

    Go's clients send a new timeout with every call and all else as before, so what is
    remembered is what the others mean.
    """

    def __init__(self, registry: Registry, peer: Peer, basket: Callable[[Method], Basket]) -> None:
        self._registry = registry
        self._peer = peer
        self._basket = basket
        self._known: dict[Headers, Head] = {}

    def __call__(self, headers: Headers) -> Head:
        timeouts = [field for field in headers if field[0] == b"grpc-timeout"]
        if len(timeouts) > 1:
            return self._understand(headers)
        others = tuple(field for field in headers if field[0] != b"grpc-timeout")
        known = self._known.get(others)
        if known is None:
            known = self._understand(others)
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[others] = known
        if not timeouts:
            return known
        if known.hot is None:
            return self._understand(headers)
        return self._with_timeout(headers, known.hot, timeouts[0][1])

    def _with_timeout(self, headers: Headers, known: CallHead, timeout: bytes) -> Head:
        context = known.context
        call = CallHead(known.method, context, known.basket, known.body_bytes, known.counts)
        try:
            call.timeout = seconds_of(timeout)
            call.context = Context(
                context.path, context.metadata, context.peer, call.timeout, context.encoding
            )
        except EtcdError as fault:
            call.fault = fault
        return Head(headers, call)

    def _understand(self, headers: Headers) -> Head:
        return understand(headers, self._registry, self._peer, self._basket)


def understand(
    headers: Headers, registry: Registry, peer: Peer, basket: Callable[[Method], Basket]
) -> Head:
    """What these headers mean."""
    found = _plain_fields(headers)
    if found is None:
        return Head(headers)
    method = registry.methods.get(found.get(b":path", b""))
    if (
        method is None
        or method.stream is not None
        or found.get(b":method") != b"POST"
        or not found.get(b":scheme")
        or b":authority" not in found
        or found.get(b"host", found[b":authority"]) != found[b":authority"]
        or found.get(b"content-type") != GRPC
        or found.get(b"te", b"trailers") != b"trailers"
    ):
        return Head(headers)
    length = found.get(b"content-length")
    if length is not None and (not length.isdigit() or len(length) > _LENGTH_DIGITS):
        return Head(headers)
    body_bytes = None if length is None else int(length)
    try:
        context = context_of(headers, found, peer)
        return Head(headers, CallHead(method, context, basket(method), body_bytes))
    except EtcdError as fault:
        call = CallHead(method, Context(method.path, {}, peer), basket(method), body_bytes)
        call.fault = fault
        return Head(headers, call)


def _plain_fields(headers: Headers) -> dict[bytes, bytes] | None:
    """The fields by name, or None if anything about them is out of the ordinary.

    A name may come twice only if it means nothing to HTTP or to us.
    """
    found: dict[bytes, bytes] = {}
    regular = False
    for name, value in headers:
        if name[:1] == b":":
            if regular or name in found or name not in _PSEUDO:
                return None
        else:
            regular = True
            if name in _ODD or (name in _SINGLE and name in found):
                return None
            if not _NAME_BYTES.issuperset(name) or not name:
                return None
            if value != value.strip() or not _BAD_BYTES.isdisjoint(value):
                return None
        found[name] = value
    return found


def are_trailers(headers: Headers) -> bool:
    """Whether these fields may stand behind a request's body, RFC 9113 §8.1."""
    fields = _plain_fields(headers)
    return fields is not None and not any(name[:1] == b":" for name in fields)


def context_of(headers: Headers, found: dict[bytes, bytes], peer: Peer) -> Context:
    """What a gRPC request's headers say.

    Raises:
        EtcdError: the call must be answered with this, whatever its message.
    """
    timeout = found.get(b"grpc-timeout")
    seconds = None if timeout is None else seconds_of(timeout)
    encoding = found.get(b"grpc-encoding", b"identity")
    if encoding not in (b"identity", b"gzip"):
        shown = encoding.decode("ascii", "replace")
        raise Refused(
            Status.UNIMPLEMENTED,
            f'grpc: Decompressor is not installed for grpc-encoding "{shown}"',
        )
    path = found[b":path"].decode("ascii", "replace")
    return Context(path, metadata_of(headers), peer, seconds, encoding)


def seconds_of(timeout: bytes) -> float:
    """A `grpc-timeout`; raises DeadlineExceeded if nothing can be done in it."""
    seconds = parse_timeout(timeout)
    if seconds < TOO_SHORT:
        raise DeadlineExceeded
    return seconds


def is_grpc(content_type: bytes) -> bool:
    """`application/grpc`, alone or with a subtype or parameters."""
    rest = content_type.removeprefix(GRPC)
    return rest != content_type and (not rest or rest[:1] in (b"+", b";"))


_LENGTH_DIGITS = 15  # of a content-length: far more than fits any limit
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_ODD = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b""}
)
_SINGLE = frozenset(
    {b"host", b"content-length", b"content-type", b"te", b"grpc-timeout", b"grpc-encoding"}
)
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~")
_BAD_BYTES = frozenset(b"\0\r\n")
