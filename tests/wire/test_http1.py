"""HTTP/1.1 with clients of every kind: keep-alive, slow, pipelining, vanishing, wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.wire.ports import LinesLog, read_all, read_exactly
from wire.grpc.service import Peer
from wire.http import HTTPRequest, HTTPResponse, Sender
from wire.http1 import (
    BODY_BYTES,
    HALF_CLOSED_SECONDS,
    HEADER_BYTES,
    IDLE_SECONDS,
    REQUEST_SECONDS,
    WRITE_SECONDS,
    serve_http1,
)
from wire.memory_network import MemoryStream, memory_stream_pair

Handler = Callable[[HTTPRequest], Awaitable[HTTPResponse]]
HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"


class Server:
    """A handler that can be looked at, and the client's end of one connection to it."""

    def __init__(self, handler: Handler | None) -> None:
        self.requests: list[HTTPRequest] = []
        self.log = LinesLog()
        self.draining = trio.Event()
        self.ended = trio.Event()
        self.cancelled = 0
        self._handler = handler
        self.client: MemoryStream

    async def handle(self, request: HTTPRequest) -> HTTPResponse:
        self.requests.append(request)
        try:
            if self._handler is not None:
                return await self._handler(request)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        return HTTPResponse(200, request.path.encode(), [(b"content-type", b"text/plain")])

    async def ask(self, *pieces: bytes) -> bytes:
        """Send, and return the next answer up to the end of its body."""
        for piece in pieces:
            await self.client.send_all(piece)
        return await self.answer()

    async def answer(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await read_exactly(self.client, 1)
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head + await read_exactly(self.client, int(length or 0))

    def body_of(self, answer: bytes) -> bytes:
        return answer.partition(b"\r\n\r\n")[2]


@asynccontextmanager
async def served(handler: Handler | None = None, initial: bytes = b"") -> AsyncIterator[Server]:
    server = Server(handler)
    server.client, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await serve_http1(
                theirs,
                server.handle,
                log=server.log,
                peer=Peer("1.2.3.4:5"),
                initial=initial,
                draining=server.draining,
            )
            server.ended.set()

        nursery.start_soon(serve)
        yield server
        nursery.cancel_scope.cancel()


# -- Requests


async def test_a_request_is_answered_and_the_connection_kept():
    async with served() as server:
        for path in b"/a", b"/b?x=1", b"/c":
            answer = await server.ask(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert server.body_of(answer) == path.partition(b"?")[0]
        assert [request.target for request in server.requests] == ["/a", "/b?x=1", "/c"]
        assert server.requests[1].query == "x=1"
        assert server.requests[0].peer.address == "1.2.3.4:5"
        assert server.requests[0].header(b"host") == b"h"


async def test_bytes_read_before_belong_to_the_first_request():
    async with served(initial=HEALTH[:9]) as server:
        assert server.body_of(await server.ask(HEALTH[9:])) == b"/health"


async def test_a_request_may_come_byte_by_byte():
    request = b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    async with served() as server:
        await server.ask(*[request[at : at + 1] for at in range(len(request))])
        assert server.requests[0].body == b"hello"
        assert server.requests[0].method == "POST"


async def test_a_body_may_come_in_chunks():
    async with served() as server:
        await server.ask(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n",
            b"2;extension\r\nde\r\n0\r\n\r\n",
        )
        assert server.requests[0].body == b"abcde"


async def test_requests_that_come_together_are_answered_in_order():
    async with served() as server:
        await server.client.send_all(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(5))
        )
        bodies = [server.body_of(await server.answer()) for _ in range(5)]
        assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://h:2379/health?a=/b", "/health"),
        (b"http://h:2379", "/"),
        (b"/v3/kv%2Fput", "/v3/kv/put"),
        (b"/%C3%A9%zz", "/\u00e9%zz"),
        (b"*", "/"),
    ],
)
async def test_a_target_may_be_a_whole_url_and_have_escapes(target: bytes, path: str):
    async with served() as server:
        await server.client.send_all(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        await server.answer()
        assert [request.path for request in server.requests] == [path]


async def test_names_of_headers_are_written_as_people_know_them():
    async with served() as server:
        answer = await server.ask(HEALTH)
        assert b"\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n" in answer


async def test_a_client_that_asks_first_is_told_to_go_on():
    async with served() as server:
        await server.client.send_all(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await server.answer() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await server.ask(b"ok")).startswith(b"HTTP/1.1 200")


async def test_the_head_of_an_answer_is_that_of_the_whole():
    async with served() as server:
        await server.client.send_all(b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n" + HEALTH)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await read_exactly(server.client, 1)
        assert b"content-length: 7" in head.lower()
        assert server.body_of(await server.answer()) == b"/health"


async def test_options_are_the_handlers_business():
    async def handle(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(204, b"", [(b"allow", b"GET, POST")])

    async with served(handle) as server:
        answer = await server.ask(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert b"Allow: GET, POST" in answer


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"],
)
async def test_a_client_that_wants_no_more_is_not_kept(request_bytes: bytes):
    async with served() as server:
        assert server.body_of(await server.ask(request_bytes)) == b"/"
        assert await read_all(server.client) == b""


# -- Answers


def played(pieces: AsyncIterator[bytes], first: bytes = b"") -> HTTPResponse:
    """An answer that is made while it is sent."""

    async def play(sender: Sender) -> None:
        await sender.begin(200, [])
        await sender.send(first)
        try:
            async for piece in pieces:
                await sender.send(piece)
        finally:
            await pieces.aclose()

    return HTTPResponse(play=play)


async def test_a_streamed_answer_comes_piece_by_piece():
    more = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b""  # says nothing, and must not end the answer
        await more.wait()
        yield b"two\n"

    async def handle(request: HTTPRequest) -> HTTPResponse:
        return played(pieces(), b"head\n")

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        found = b""
        while b"one\n" not in found:
            found += await server.client.receive_some()
        assert b"transfer-encoding: chunked" in found.lower()
        assert b"two" not in found
        more.set()
        while not found.endswith(b"0\r\n\r\n"):
            found += await server.client.receive_some()
        assert found.endswith(b"5\r\nhead\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n")


async def test_an_answer_that_breaks_off_is_seen_to_break_off():
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("a defect")

    async def handle(request: HTTPRequest) -> HTTPResponse:
        return played(pieces())

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        found = await read_all(server.client)
        assert found.endswith(b"3\r\none\r\n")  # and not the chunk that ends it
        assert server.log.errors_of("handler failed") == ["KeyError('a defect')"]


async def test_a_defect_is_answered_without_a_word_about_it():
    async def handle(request: HTTPRequest) -> HTTPResponse:
        raise KeyError("secret")

    async with served(handle) as server:
        answer = await server.ask(HEALTH)
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"secret" not in answer
        assert server.log.errors_of("handler failed") == ["KeyError('secret')"]
        assert (await server.ask(HEALTH)).startswith(b"HTTP/1.1 500")


async def test_a_status_without_a_name_is_sent_too():
    async def handle(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(299)

    async with served(handle) as server:
        assert (await server.ask(HEALTH)).startswith(b"HTTP/1.1 299 ")


# -- Clients that go away


async def test_a_client_that_is_gone_cancels_its_request():
    async def handle(request: HTTPRequest) -> HTTPResponse:
        await trio.sleep_forever()
        raise AssertionError

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        await trio.testing.wait_all_tasks_blocked()
        server.client.reset()
        await server.ended.wait()
        assert server.cancelled == 1
        assert server.log.lines == []


async def test_a_client_that_is_gone_cancels_its_stream_and_its_generator_cleans_up():
    cleaned = trio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await trio.sleep_forever()
        finally:
            cleaned.set()

    async def handle(request: HTTPRequest) -> HTTPResponse:
        return played(pieces())

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        await trio.testing.wait_all_tasks_blocked()
        server.client.reset()
        await server.ended.wait()
        assert cleaned.is_set()


async def test_a_client_that_has_only_closed_its_half_is_answered(
    autojump_clock: trio.testing.MockClock,
):
    async def handle(request: HTTPRequest) -> HTTPResponse:
        await trio.sleep(HALF_CLOSED_SECONDS / 2)
        return HTTPResponse(200, b"late")

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        await server.client.send_eof()
        assert server.body_of(await server.answer()) == b"late"
        assert await read_all(server.client) == b""


async def test_what_takes_long_is_not_done_for_a_client_that_closed_its_half(
    autojump_clock: trio.testing.MockClock,
):
    async def handle(request: HTTPRequest) -> HTTPResponse:
        await trio.sleep_forever()
        raise AssertionError

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        await server.client.send_eof()
        assert await read_all(server.client) == b""
        assert server.cancelled == 1


async def test_a_client_that_reads_nothing_is_given_up(autojump_clock: trio.testing.MockClock):
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 16)

    async def handle(request: HTTPRequest) -> HTTPResponse:
        return played(pieces())

    async with served(handle) as server:
        await server.client.send_all(HEALTH)
        await server.ended.wait()
        assert trio.current_time() == pytest.approx(WRITE_SECONDS)


# -- Slow clients


async def test_a_request_that_does_not_end_is_dropped(autojump_clock: trio.testing.MockClock):
    async with served() as server:
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
            for byte in b"GET / HTTP/1.1\r\nHost: " + b"h" * 1000:
                await server.client.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() == pytest.approx(REQUEST_SECONDS, abs=1.1)


async def test_a_slow_beginning_counts_also_when_it_came_before(
    autojump_clock: trio.testing.MockClock,
):
    async with served(initial=b"GET / HT") as server:
        assert await read_all(server.client) == b""
        assert trio.current_time() == pytest.approx(REQUEST_SECONDS)


async def test_a_body_that_does_not_end_is_dropped(autojump_clock: trio.testing.MockClock):
    async with served() as server:
        await server.client.send_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
        assert await read_all(server.client) == b""
        assert trio.current_time() == pytest.approx(REQUEST_SECONDS)
        assert server.requests == []


async def test_an_idle_connection_is_closed_in_the_end(autojump_clock: trio.testing.MockClock):
    async with served() as server:
        await server.ask(HEALTH)
        await trio.sleep(IDLE_SECONDS - 1)
        await server.ask(HEALTH)
        assert await read_all(server.client) == b""
        assert trio.current_time() == pytest.approx(2 * IDLE_SECONDS - 1)


# -- Wrong requests


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\0\1\2\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),  # no host
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", b"400 Bad Request"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"400 Bad Request",
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: cake\r\n\r\n", b"417 Expectation Failed"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES + 1),
            b"413 Request Entity Too Large",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nX: " + bytes(b"x" * (HEADER_BYTES + 1)),
            b"431 Request Header Fields Too Large",
        ),
    ],
)
async def test_a_wrong_request_is_told_so_and_ends_the_connection(
    request_bytes: bytes, status: bytes, autojump_clock: trio.testing.MockClock
):
    async with served() as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.client.send_all, request_bytes)
            answer = await read_all(server.client)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in answer.lower()
        assert server.body_of(answer) == status
        assert server.requests == []
        assert server.log.lines == []


async def test_a_body_too_large_in_chunks_is_cut_off():
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with served() as server:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await server.client.send_all(
                    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                try:
                    for _ in range(BODY_BYTES // 0x10000 + 2):
                        await server.client.send_all(chunk)
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(send)
            assert (await server.answer()).startswith(b"HTTP/1.1 413 ")
            nursery.cancel_scope.cancel()
        assert server.requests == []


async def test_too_large_a_body_is_refused_before_it_is_sent():
    async with served() as server:
        answer = await server.ask(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1)
        )
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_goes_on_sending_may_still_read_why(
    autojump_clock: trio.testing.MockClock,
):
    async with served() as server:
        await server.client.send_all(b"broken\r\n\r\n")
        await server.client.send_all(bytes(1000))
        assert (await read_all(server.client)).startswith(b"HTTP/1.1 400 ")


async def test_no_more_is_read_ahead_than_a_little():
    """Requests sent while one is answered wait, in the end with the client."""
    go_on = trio.Event()

    async def handle(request: HTTPRequest) -> HTTPResponse:
        await go_on.wait()
        return HTTPResponse()

    async with served(handle) as server, trio.open_nursery() as nursery:
        nursery.start_soon(server.client.send_all, HEALTH * 10_000)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks, "330 kB were read ahead"
        nursery.cancel_scope.cancel()


# -- Draining


async def test_draining_closes_an_idle_connection_at_once():
    async with served() as server:
        await server.ask(HEALTH)
        server.draining.set()
        assert await read_all(server.client) == b""


async def test_draining_lets_the_request_at_hand_be_answered_and_says_it_is_the_last():
    async def handle(request: HTTPRequest) -> HTTPResponse:
        server.draining.set()
        await trio.testing.wait_all_tasks_blocked()
        return HTTPResponse(200, b"last")

    async with served(handle) as server:
        answer = await server.ask(HEALTH)
        assert b"connection: close" in answer.lower()
        assert server.body_of(answer) == b"last"
        assert await read_all(server.client) == b""


async def test_draining_waits_for_a_request_that_has_begun():
    async with served() as server:
        await server.client.send_all(HEALTH[:5])
        await trio.testing.wait_all_tasks_blocked()
        server.draining.set()
        await trio.testing.wait_all_tasks_blocked()
        assert server.body_of(await server.ask(HEALTH[5:])) == b"/health"
