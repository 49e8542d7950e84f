"""HTTP/1.1 on a Trio stream, by h11: for health checks, metrics, and the JSON gateway.

One request at a time per connection, answered in order; a client that is slow to send its
request, or sends too much, is sent away; one that goes away cancels what it asked for.
Source: RFC 9112; Go net/http/server.go for what a broken request is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import h11
import trio

from wire.grpc.service import Peer
from wire.http import HTTPHandler, HTTPRequest, HTTPResponse, Sender
from wire.log import Log

READ_BYTES = 65536
BODY_BYTES = 8 << 20  # of one request
HEADER_BYTES = 64 * 1024
AHEAD_BYTES = 64 * 1024  # of later requests, read while one is answered
REQUEST_SECONDS = 30.0  # for a request to arrive whole, once it has begun
IDLE_SECONDS = 180.0  # between requests
WRITE_SECONDS = 60.0  # for the client to take a piece of an answer
HALF_CLOSED_SECONDS = 1.0  # for an answer, once the client has said it will send no more
LINGER_SECONDS = 0.5  # for the client to read why it is sent away; Go's value

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_CLOSE = (b"Connection", b"close")
_CONTINUE = h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])


async def serve_http1(
    stream: trio.abc.Stream,
    handler: HTTPHandler,
    *,
    log: Log,
    peer: Peer | None = None,
    initial: bytes = b"",
    draining: trio.Event | None = None,
    body_bytes: int = BODY_BYTES,
) -> None:
    """Serve requests until either side ends the connection; closes the stream.

    `initial` are bytes read from it already.  Once `draining` is set, the request at hand is the
    last; cancel to end it sooner.
    """
    draining = trio.Event() if draining is None else draining
    connection = _Connection(stream, handler, log, peer or Peer(), draining, body_bytes)
    try:
        await connection.run(initial)
    except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        pass  # the client has gone, or does not take its answer
    finally:
        await trio.aclose_forcefully(stream)


class _Connection:
    def __init__(
        self,
        stream: trio.abc.Stream,
        handler: HTTPHandler,
        log: Log,
        peer: Peer,
        draining: trio.Event,
        body_bytes: int,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._log = log
        self._peer = peer
        self._draining = draining
        self._body_bytes = body_bytes
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        self._idle: trio.CancelScope | None = None  # while no request has begun
        self._eof = False

    async def run(self, initial: bytes) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_draining)
            await self._serve(initial)
            nursery.cancel_scope.cancel()

    async def _end_when_draining(self) -> None:
        await self._draining.wait()
        if self._idle is not None:
            self._idle.cancel()

    async def _serve(self, initial: bytes) -> None:
        if initial:
            self._h11.receive_data(initial)
        while True:
            try:
                request = await self._next_request()
            except h11.RemoteProtocolError as error:
                await self._complain(error.error_status_hint)
                return
            if request is None or not await self._answer(request) or self._draining.is_set():
                return
            try:
                self._h11.start_next_cycle()
            except h11.ProtocolError:  # one side has said that it will close
                return

    # -- Requests

    async def _next_request(self) -> HTTPRequest | None:
        """None when there is none: the client has gone, is too slow, or we are draining.

        Raises:
            h11.RemoteProtocolError: it is not HTTP, or too large.
        """
        head: h11.Request | None = None
        body = bytearray()
        with trio.CancelScope() as scope:
            self._wait_for_request(scope)
            while True:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    await self._receive(scope)
                elif isinstance(event, h11.Request):
                    head = event
                    _check_expectation(head)
                    self._check_length(_content_length(head))
                elif isinstance(event, h11.Data):
                    body += event.data
                    self._check_length(len(body))
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    self._idle = None
                    return self._request(head, bytes(body))
                else:
                    return None  # closed
        return None

    def _check_length(self, length: int) -> None:
        if length > self._body_bytes:
            raise h11.RemoteProtocolError("request body is too large", error_status_hint=413)

    def _wait_for_request(self, scope: trio.CancelScope) -> None:
        """Of a request that has begun, all must come soon; until one has, there is time."""
        if self._h11.trailing_data[0]:
            self._idle = None
            scope.deadline = trio.current_time() + REQUEST_SECONDS
        else:
            self._idle = scope
            scope.deadline = trio.current_time() + IDLE_SECONDS
            if self._draining.is_set():
                scope.cancel()

    async def _receive(self, scope: trio.CancelScope) -> None:
        if self._h11.they_are_waiting_for_100_continue:
            await self.send(_CONTINUE)
        data = bytes(await self._stream.receive_some(READ_BYTES))
        self._h11.receive_data(data)
        if self._idle is not None and data:
            self._wait_for_request(scope)

    def _request(self, head: h11.Request, body: bytes) -> HTTPRequest:
        return HTTPRequest(
            head.method.decode("ascii"),
            head.target.decode("ascii", "replace"),
            tuple(head.headers),
            body,
            self._peer,
        )

    # -- Answers

    async def _answer(self, request: HTTPRequest) -> bool:
        """Handle a request while the client still wants it; False if there can be no next."""
        answered = False
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                nonlocal answered
                answered = await self._respond(request)
                nursery.cancel_scope.cancel()

            nursery.start_soon(work)
            await self._watch_for_eof()
            # Perhaps it has only closed its half, and waits: what takes no time it shall have.
            nursery.cancel_scope.deadline = trio.current_time() + HALF_CLOSED_SECONDS
        return answered and not self._eof

    async def _watch_for_eof(self) -> None:
        """Until the client sends no more.  Bytes of its next request wait in h11."""
        while not self._eof:
            if len(self._h11.trailing_data[0]) > AHEAD_BYTES:
                await trio.sleep_forever()  # its going will show when we send
            data = bytes(await self._stream.receive_some(READ_BYTES))
            self._eof = not data
            if data:
                self._h11.receive_data(data)

    async def _respond(self, request: HTTPRequest) -> bool:
        """False if the answer has broken off."""
        try:
            response = await self._handler(request)
        except Exception as error:
            self._log.error("handler failed", path=request.path, error=repr(error))
            response = HTTPResponse(500, b"internal error\n", [_TEXT])
        if response.play is not None:
            if not await self._play(request, response.play):
                return False
        else:
            await self.begin(response.status, response.headers, len(response.body))
            if response.body and request.method != "HEAD":
                await self.send(h11.Data(data=response.body))
        await self.send(h11.EndOfMessage())
        return True

    async def _play(self, request: HTTPRequest, play: Callable[[Sender], Awaitable[None]]) -> bool:
        """Send an answer as it is made; False if there will be no end to it."""
        try:
            await play(_Way(self, request.method == "HEAD"))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            raise
        except Exception as error:
            self._log.error("handler failed", path=request.path, error=repr(error))
            return False
        return True

    async def begin(
        self, status: int, headers: list[tuple[bytes, bytes]], length: int | None
    ) -> None:
        """Send an answer's head; `length` of its body in bytes, if that is known."""
        headers = [(name.title(), value) for name, value in headers]
        names = {name.lower() for name, _ in headers}
        bodiless = status in (204, 304)
        if length is not None and not bodiless and b"content-length" not in names:
            headers.append((b"Content-Length", b"%d" % length))
        if self._draining.is_set() and b"connection" not in names:
            headers.append(_CLOSE)
        reason = _phrase(status).encode()
        await self.send(h11.Response(status_code=status, reason=reason, headers=headers))

    async def send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            with trio.fail_after(WRITE_SECONDS):
                await self._stream.send_all(data)

    async def _complain(self, status: int) -> None:
        """Say what was wrong with the request, if that can still be said."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{status} {_phrase(status)}".encode()
        await self.begin(status, [_TEXT, _CLOSE], len(body))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())
        await self._linger()

    async def _linger(self) -> None:
        """Closing with something unread would take our last words from the client."""
        with trio.move_on_after(LINGER_SECONDS):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(READ_BYTES):
                pass


class _Way:
    """`Sender`, on one connection, for one answer."""

    def __init__(self, connection: _Connection, is_head: bool) -> None:
        self._connection = connection
        self._is_head = is_head  # then nobody wants the body

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._connection.begin(status, headers, None)

    async def send(self, piece: bytes) -> None:
        if piece and not self._is_head:
            await self._connection.send(h11.Data(data=piece))


def _phrase(status: int) -> str:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "Request Entity Too Large"  # as Go says; Python 3.13 has another name
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _check_expectation(head: h11.Request) -> None:
    """Raises h11.RemoteProtocolError: it expects what nobody does."""
    expected = next((value for name, value in head.headers if name == b"expect"), b"")
    if expected.lower() not in (b"", b"100-continue"):
        words = "unknown expectation"
        raise h11.RemoteProtocolError(words, error_status_hint=HTTPStatus.EXPECTATION_FAILED)


def _content_length(head: h11.Request) -> int:
    """h11 has made sure that it is a number and stands there once."""
    return int(next((value for name, value in head.headers if name == b"content-length"), b"0"))
