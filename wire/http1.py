"""HTTP/1.1 on a Trio stream, by h11: for health checks, metrics, and the JSON gateway.

One request at a time per connection, answered in order; a client that is slow to send its
headers, or sends too much, is sent away; one that goes away cancels what it asked for.
Source: RFC 9112.
"""

from __future__ import annotations

from http import HTTPStatus

import h11
import trio

from wire.grpc.service import Peer
from wire.http import HTTPHandler, HTTPRequest, HTTPResponse
from wire.log import Log

READ_BYTES = 65536
BODY_BYTES = 4 << 20  # of one request
HEADER_BYTES = 64 * 1024
REQUEST_SECONDS = 30.0  # for a request to arrive whole, once it has begun
IDLE_SECONDS = 180.0  # between requests
WRITE_SECONDS = 60.0  # for the client to take a piece of an answer

_BODY = [(b"content-type", b"text/plain; charset=utf-8")]


async def serve_http1(
    stream: trio.abc.Stream,
    handler: HTTPHandler,
    *,
    log: Log,
    peer: Peer | None = None,
    initial: bytes = b"",
    draining: trio.Event | None = None,
) -> None:
    """Serve requests until either side ends the connection; closes the stream."""
    connection = _Connection(stream, handler, log, peer or Peer(), trio.Event() if draining is None else draining)
    try:
        await connection.run(initial)
    except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        pass  # the client has gone, or does not take its answer
    except* h11.LocalProtocolError as error:
        log.debug("http connection ended", peer=connection.peer.address, error=str(error))
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
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._log = log
        self.peer = peer
        self._draining = draining
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)
        self._eof = False

    async def run(self, initial: bytes) -> None:
        if initial:
            self._h11.receive_data(initial)
        while True:
            try:
                request = await self._next_request()
            except h11.RemoteProtocolError as error:
                await self._complain(error)
                return
            if request is None or not await self._answer(request):
                return
            if self._h11.our_state is not h11.DONE or self._draining.is_set():
                return
            try:
                self._h11.start_next_cycle()
            except h11.ProtocolError:
                return

    async def _next_request(self) -> HTTPRequest | None:
        """None when the client is gone or too slow."""
        head: h11.Request | None = None
        body = bytearray()
        with trio.move_on_after(IDLE_SECONDS) as waiting:
            while True:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    await self._receive()
                    if head is None and not self._eof:
                        waiting.deadline = min(
                            waiting.deadline, trio.current_time() + REQUEST_SECONDS
                        )
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > BODY_BYTES:
                        raise h11.RemoteProtocolError(
                            "request body is too large", error_status_hint=413
                        )
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    return HTTPRequest(
                        head.method.decode("ascii"),
                        head.target.decode("ascii", "replace"),
                        tuple(head.headers),
                        bytes(body),
                        self.peer,
                    )
                else:
                    return None  # closed
        return None

    async def _receive(self) -> None:
        if self._h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        data = await self._stream.receive_some(READ_BYTES)
        self._eof = not data
        self._h11.receive_data(bytes(data))

    async def _answer(self, request: HTTPRequest) -> bool:
        """Handle a request while watching whether the client still wants it."""
        alive = False
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                nonlocal alive
                alive = await self._respond(request)
                nursery.cancel_scope.cancel()

            nursery.start_soon(work)
            await self._watch_for_eof()
            nursery.cancel_scope.cancel()
        return alive

    async def _watch_for_eof(self) -> None:
        """Returns when the client has gone.  Bytes of its next request wait in h11."""
        while not self._eof:
            if len(self._h11.trailing_data[0]) > HEADER_BYTES:
                await trio.sleep_forever()  # enough is waiting
            data = await self._stream.receive_some(READ_BYTES)
            self._eof = not data
            if data:
                self._h11.receive_data(bytes(data))

    async def _respond(self, request: HTTPRequest) -> bool:
        try:
            response = await self._handler(request)
        except Exception as error:
            self._log.error("handler failed", path=request.path, error=repr(error))
            response = HTTPResponse(500, b"internal error\n", list(_BODY))
        headers = list(response.headers)
        if response.stream is None:
            headers.append((b"content-length", b"%d" % len(response.body)))
        reason = HTTPStatus(response.status).phrase.encode()
        await self._send(h11.Response(status_code=response.status, reason=reason, headers=headers))
        if request.method != "HEAD" and response.body:
            await self._send(h11.Data(data=response.body))
        if response.stream is not None and request.method != "HEAD":
            async for piece in response.stream:
                await self._send(h11.Data(data=piece))
        await self._send(h11.EndOfMessage())
        return True

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            with trio.fail_after(WRITE_SECONDS):
                await self._stream.send_all(data)

    async def _complain(self, error: h11.RemoteProtocolError) -> None:
        """Say what was wrong with the request, if that can still be said."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{error}\n".encode()
        headers = [*_BODY, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await self._send(h11.Response(status_code=error.error_status_hint, headers=headers))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())
