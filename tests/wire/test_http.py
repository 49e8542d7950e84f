"""Plain HTTP answers, whichever version they go out by."""

from __future__ import annotations

from wire.http import HTTPRequest, HTTPResponse, Sender, dated

NOW = 784_111_777  # RFC 9110's example


class Heads:
    """A `Sender` that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[tuple[bytes, bytes]]]] = []

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.seen.append((status, headers))

    async def send(self, piece: bytes) -> None:
        raise AssertionError(piece)


async def test_every_answer_says_when_it_was_made():
    async def play(sender: Sender) -> None:
        await sender.begin(202, [(b"a", b"b")])

    async def handle(request: HTTPRequest) -> HTTPResponse:
        return HTTPResponse(play=play) if request.path == "/played" else HTTPResponse()

    handler = dated(handle, lambda: NOW)
    date = (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")
    assert (await handler(HTTPRequest("GET", "/"))).headers == [date]
    heads = Heads()
    played = await handler(HTTPRequest("GET", "/played"))
    assert played.play is not None
    await played.play(heads)
    assert heads.seen == [(202, [(b"a", b"b"), date])]
