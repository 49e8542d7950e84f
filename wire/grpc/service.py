"""What a server offers: methods by path, and what their handlers get to see.

Three kinds of method.  A *batch* method is the hot one: its handler gets all complete calls of
one chunk from the socket at once, in a plain function call, and answers each later, from any
task, in another.  A *unary* method's handler is a coroutine per call.  A *stream* method's
handler is a coroutine per stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from wire.errors import EtcdError, Refused
from wire.grpc.metadata import Metadata, first
from wire.status import Status

CLIENT_VERSION, UNKNOWN_VERSION = "client-api-version", "unknown"  # metadata of etcd's clients
KNOWN_VERSIONS, VERSION_LENGTH = 32, 32  # a client may say what it likes: so many count apart
DEFAULT_MESSAGE_BYTES = 1_572_864 + 524_288  # etcd: the request limit and half a MiB


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end."""

    address: str = ""  # "127.0.0.1:54321", or empty for a memory stream
    common_name: str = ""  # of the verified client certificate
    secure: bool = False


@dataclass(slots=True)
class Context:
    """What a request's headers say.  Shared by calls with the same headers: do not change it."""

    path: str
    metadata: Metadata
    peer: Peer
    timeout: float | None = None  # seconds, from grpc-timeout
    encoding: bytes = b"identity"


class Answerer(Protocol):
    """The connection a call came in on."""

    def answer(self, call: UnaryCall, message: bytes) -> None: ...

    def refuse(self, call: UnaryCall, status: Status, text: str) -> None: ...

    @property
    def is_backlogged(self) -> bool:
        """Whether so much waits to be sent that large answers should wait too."""
        ...

    async def room(self) -> None:
        """Until it is not."""
        ...

    def hold(self) -> None:
        """Several answers follow in this step: keep them together until `release`."""
        ...

    def release(self) -> None:
        """Send them, at once if the socket takes them."""
        ...


class UnaryCall:
    """One complete request, to be answered once.

    `closed` means that nobody waits any more (answered, reset, timed out, disconnected):
    answering then does nothing.
    """

    __slots__ = ("closed", "connection", "context", "deadline", "method", "payload", "stream_id")

    def __init__(
        self,
        connection: Answerer,
        stream_id: int,
        method: Method,
        context: Context,
        payload: bytes,
        deadline: float | None,
    ) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.method = method
        self.context = context
        self.payload = payload
        self.deadline = deadline  # Trio time
        self.closed = False

    def reply(self, message: bytes) -> None:
        """Answer with the response message's bytes."""
        if not self.closed:
            self.closed = True
            self.connection.answer(self, message)

    def refuse(self, error: EtcdError) -> None:
        if not self.closed:
            self.closed = True
            self.connection.refuse(self, error.status, str(error))


class ServerStream(Protocol):
    """One streaming call, as its handler sees it.

    The handler is cancelled when the client resets the stream, goes away, or its deadline
    passes.  Returning ends the stream with OK; raising an EtcdError ends it with that.
    """

    context: Context

    async def receive(self) -> bytes | None:
        """The next request message; None when the client has sent its last."""
        ...

    async def consume(self, consumer: Callable[[bytes], None]) -> None:
        """Hand over each message in the step in which it comes in, without a change of tasks.

        Returns when the client has sent its last.  `consumer` may raise an EtcdError, which
        ends the call, and nothing else.
        """
        ...

    async def send(self, message: bytes) -> None:
        """Send a response message; waits while too much is unsent."""
        ...

    def send_framed(self, data: bytes, messages: int = 1) -> None:
        """Send messages that have their prefixes already; never waits.

        So that one encoding can go to many streams.  Whoever uses it looks at `unsent`.
        """
        ...

    @property
    def unsent(self) -> int:
        """Bytes accepted for sending that the peer's window or the socket has not taken."""
        ...

    async def drained(self, below: int) -> None:
        """Until fewer than `below` bytes are unsent."""
        ...


class BatchHandler(Protocol):
    def submit(self, calls: list[UnaryCall]) -> Awaitable[None] | None:
        """Take complete calls; answer each sooner or later, now or from another task.

        If something is returned, the connection awaits it before it reads on: back-pressure.
        Must not raise.
        """
        ...


@dataclass(frozen=True, eq=False)
class Method:
    """One method.  Exactly one handler is set.  Counters are read when metrics are scraped."""

    path: str
    batch: BatchHandler | None = None
    unary: Callable[[UnaryCall], Awaitable[bytes]] | None = None
    stream: Callable[[ServerStream], Awaitable[None]] | None = None
    kind: str = "unary"  # as in go-grpc-prometheus: unary, server_stream, bidi_stream
    counts: MethodCounts = field(default_factory=lambda: MethodCounts(), repr=False)

    @property
    def service(self) -> str:
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        return self.path.split("/")[2]


class Arrivals:
    """What came in for one method, from clients of one version."""

    __slots__ = ("received", "started")

    def __init__(self) -> None:
        self.started = 0  # calls
        self.received = 0  # messages


class MethodCounts:
    """How often; for all connections together."""

    __slots__ = ("_ended", "arrivals", "ok", "sent")

    def __init__(self) -> None:
        self.arrivals: dict[str, Arrivals] = {}  # by the client's version
        self.sent = 0  # messages, but for answers of lane calls: those are in `ok` alone
        self.ok = 0  # lane calls answered with a message; the hot path counts nothing else
        self._ended: dict[Status, int] = {}

    def of(self, metadata: Metadata) -> Arrivals:
        """Where calls with this metadata are counted; whoever has many such calls keeps it."""
        version = (first(metadata, CLIENT_VERSION) or UNKNOWN_VERSION)[:VERSION_LENGTH]
        found = self.arrivals.get(version)
        if found is None:
            if len(self.arrivals) >= KNOWN_VERSIONS:
                version = UNKNOWN_VERSION
            found = self.arrivals.setdefault(version, Arrivals())
        return found

    @property
    def started(self) -> int:
        return sum(one.started for one in self.arrivals.values())

    @property
    def received(self) -> int:
        return sum(one.received for one in self.arrivals.values())

    def end(self, status: Status) -> None:
        """A call is over, and not by an answer of the lane's."""
        self._ended[status] = self._ended.get(status, 0) + 1

    @property
    def messages_sent(self) -> int:
        return self.sent + self.ok

    @property
    def handled(self) -> dict[Status, int]:
        """Calls that are over, by what they ended with."""
        return self._ended | {Status.OK: self._ended.get(Status.OK, 0) + self.ok}


class Registry:
    """The methods of a server."""

    def __init__(self) -> None:
        self.methods: dict[bytes, Method] = {}
        self._services: set[str] = set()
        self.received_bytes = 0  # of request messages
        self.sent_bytes = 0  # of response messages

    @property
    def services(self) -> frozenset[str]:
        """Full names of all that have methods here."""
        return frozenset(self._services)

    def add(self, method: Method) -> None:
        self.methods[method.path.encode()] = method
        self._services.add(method.service)

    def batch(self, handler: BatchHandler, *paths: str) -> None:
        for path in paths:
            self.add(Method(path, batch=handler))

    def unary(self, path: str, handler: Callable[[UnaryCall], Awaitable[bytes]]) -> None:
        self.add(Method(path, unary=handler))

    def stream(
        self, path: str, handler: Callable[[ServerStream], Awaitable[None]], kind: str
    ) -> None:
        self.add(Method(path, stream=handler, kind=kind))

    def unknown(self, path: str) -> Refused:
        """What to tell who calls a path that is not there, in grpc-go's words."""
        service, _, method = path.removeprefix("/").rpartition("/")
        if not path.startswith("/") or not service:
            return Refused(Status.RESOURCE_EXHAUSTED, f'malformed method name: "{path}"')
        if service in self._services:
            text = f"unknown method {method} for service {service}"
        else:
            text = f"unknown service {service}"
        return Refused(Status.UNIMPLEMENTED, text)


def bad_request(error: Exception) -> Refused:
    """The answer to bytes that are no such message."""
    return Refused(Status.INTERNAL, f"grpc: error unmarshalling request: {error}")
