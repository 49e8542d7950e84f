"""HTTP over HTTP/2 that is not gRPC."""

from __future__ import annotations

import pytest
import trio
from h2.errors import ErrorCodes as E

from tests.wire.hostile.peer import attacked, block, call, data, raw, rst
from wire.grpc.service import Peer
from wire.http import HTTPRequest, HTTPResponse, Sender
from wire.http2.limits import Limits


def get(
    stream: int, path: bytes = b"/health", method: bytes = b"GET", *, end: bool = True
) -> bytes:
    fields = [
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"test"),
        (b"accept", b"*/*"),
    ]
    return raw(1, 5 if end else 4, stream, block(fields))


async def echo(request: HTTPRequest) -> HTTPResponse:
    head = f"{request.method} {request.target} {request.peer.address} ".encode()
    return HTTPResponse(201, head + request.body, [(b"content-type", b"text/plain")])


async def test_a_request_is_answered_by_the_handler(autojump_clock):
    async with attacked(http_handler=echo, peer=Peer("1.2.3.4:5")) as peer:
        await peer.hello()
        await peer.send(get(1, b"/a?b=c", b"POST", end=False), data(1, b"bo", end=False))
        await peer.send(data(1, b"dy"))

        response = await peer.response(1)
        assert response.headers == {b":status": b"201", b"content-type": b"text/plain"}
        assert response.body == b"POST /a?b=c 1.2.3.4:5 body"


async def test_the_handler_is_told_the_host_by_its_usual_name(autojump_clock):
    async def host(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(200, request.header(b"host") or b"?")

    async with attacked(http_handler=host) as peer:
        await peer.hello()
        await peer.send(get(1))

        assert (await peer.response(1)).body == b"test"


async def test_without_a_handler_nothing_is_found(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(get(1))

        assert (await peer.response(1)).headers[b":status"] == b"404"


async def test_an_empty_answer_is_headers_alone(autojump_clock):
    async def empty(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(204)

    async with attacked(http_handler=empty) as peer:
        await peer.hello()
        await peer.send(get(1))

        response = await peer.response(1)
        assert response.headers == {b":status": b"204"}
        assert response.body == b""


async def test_an_answer_may_come_in_pieces(autojump_clock):
    async def pieces(request: HTTPRequest) -> HTTPResponse:
        async def count(sender: Sender) -> None:
            await sender.begin(200, [])
            await sender.send(b"start ")
            for n in range(3):
                await trio.sleep(1)
                await sender.send(b"%d" % n)

        return HTTPResponse(play=count)

    async with attacked(http_handler=pieces) as peer:
        await peer.hello()
        await peer.send(get(1))
        await peer.until(lambda: peer.bodies(1) == b"start 0")

        assert (await peer.response(1)).body == b"start 012"


async def test_a_large_answer_keeps_to_the_windows(autojump_clock):
    async def large(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(200, bytes(200_000))

    async with attacked(http_handler=large) as peer:
        await peer.hello()
        await peer.send(get(1))
        await peer.settled()
        assert len(peer.bodies(1)) == 65535
        await peer.send(call(3))
        await peer.send(raw(8, 0, 0, (1 << 20).to_bytes(4, "big")))
        await peer.send(raw(8, 0, 1, (1 << 20).to_bytes(4, "big")))

        assert len((await peer.response(1)).body) == 200_000
        assert (await peer.response(3)).status == 0


async def test_a_body_over_the_limit_is_refused(autojump_clock):
    async with attacked(http_handler=echo, limits=Limits(http_body_bytes=10_000)) as peer:
        await peer.hello()
        await peer.send(get(1, method=b"POST", end=False), data(1, bytes(10_001), end=False))

        response = await peer.response(1)
        assert response.headers[b":status"] == b"413"
        await peer.settled()
        assert response.reset == E.NO_ERROR


async def test_a_reset_cancels_the_handler(autojump_clock):
    cancelled = trio.Event()

    async def wait(request: HTTPRequest) -> HTTPResponse:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with attacked(http_handler=wait) as peer:
        await peer.hello()
        await peer.send(get(1))
        await peer.settled()
        await peer.send(rst(1))
        with trio.fail_after(5):
            await cancelled.wait()


async def test_a_defect_of_the_handler_is_a_500(autojump_clock):
    async def fail(request: HTTPRequest) -> HTTPResponse:
        raise KeyError("secret")

    async with attacked(http_handler=fail) as peer:
        await peer.hello()
        await peer.send(get(1))

        response = await peer.response(1)
        assert response.headers[b":status"] == b"500"
        assert b"secret" not in response.body


@pytest.mark.parametrize("content_type", [b"application/grpc-web", b"application/json"])
async def test_what_only_resembles_grpc_is_plain_http(content_type, autojump_clock):
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/test.Echo/Batch"),
        (b":authority", b"test"),
        (b"content-type", content_type),
    ]
    async with attacked(http_handler=echo) as peer:
        await peer.hello()
        await peer.send(raw(1, 4, 1, block(fields)), data(1, b"{}"))

        assert (await peer.response(1)).headers[b":status"] == b"201"
