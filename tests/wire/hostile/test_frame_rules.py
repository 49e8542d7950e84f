"""Every rule of RFC 9113 a client's frames can break: who hears of it, and with which code.

Each row is tried on a stream of the lane and on one of h2's where it concerns a stream, since a
client cannot know which it is on.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from h2.errors import ErrorCodes as E

from tests.wire.hostile.peer import (
    ECHO,
    HELD,
    STREAM,
    attacked,
    block,
    call,
    data,
    headers,
    message,
    ping,
    raw,
    request_fields,
    rst,
    settings,
    window_update,
)


@dataclass(frozen=True)
class Broken:
    """Bytes that break a rule, and the codes allowed in answer to them."""

    name: str
    frames: bytes
    codes: tuple[E, ...]
    section: str


PROTOCOL, SIZE, FLOW = (E.PROTOCOL_ERROR,), (E.FRAME_SIZE_ERROR,), (E.FLOW_CONTROL_ERROR,)
BIG = (1 << 31) - 1

CONNECTION_ERRORS = [
    Broken("a frame longer than announced", raw(0, 0, 1, size=16385), SIZE, "4.2"),
    Broken("an unknown frame longer than announced", raw(0xEE, 0, 0, size=1 << 20), SIZE, "4.2"),
    Broken("DATA on stream 0", data(0, b"x"), PROTOCOL, "6.1"),
    Broken("DATA on an idle stream", data(9, b"x"), (*PROTOCOL, E.STREAM_CLOSED), "5.1"),
    Broken("HEADERS on stream 0", headers(0), PROTOCOL, "6.2"),
    Broken("HEADERS on an even stream", headers(2), PROTOCOL, "5.1.1"),
    Broken("a stream number below the last", call(5) + headers(3), PROTOCOL, "5.1.1"),
    Broken("PRIORITY on stream 0", raw(2, 0, 0, bytes(5)), PROTOCOL, "6.3"),
    Broken("PRIORITY of four bytes", raw(2, 0, 1, bytes(4)), SIZE, "6.3"),
    Broken("RST_STREAM on stream 0", rst(0), PROTOCOL, "6.4"),
    Broken("RST_STREAM on an idle stream", rst(9), PROTOCOL, "6.4"),
    Broken("RST_STREAM of five bytes", call(1) + raw(3, 0, 1, bytes(5)), SIZE, "6.4"),
    Broken("SETTINGS on a stream", raw(4, 0, 1), PROTOCOL, "6.5"),
    Broken("SETTINGS of five bytes", raw(4, 0, 0, bytes(5)), SIZE, "6.5"),
    Broken("SETTINGS ACK with a payload", raw(4, 1, 0, bytes(6)), (*SIZE, *PROTOCOL), "6.5"),
    Broken("ENABLE_PUSH that is no boolean", settings((2, 2)), PROTOCOL, "6.5.2"),
    Broken("INITIAL_WINDOW_SIZE past 2^31-1", settings((4, BIG + 1)), FLOW, "6.5.2"),
    Broken("MAX_FRAME_SIZE below 16384", settings((5, 16383)), PROTOCOL, "6.5.2"),
    Broken("MAX_FRAME_SIZE above 2^24-1", settings((5, 1 << 24)), PROTOCOL, "6.5.2"),
    Broken("PUSH_PROMISE", raw(5, 4, 1, bytes((0, 0, 0, 2))), PROTOCOL, "8.4"),
    Broken("PING on a stream", raw(6, 0, 1, bytes(8)), PROTOCOL, "6.7"),
    Broken("PING of seven bytes", raw(6, 0, 0, bytes(7)), SIZE, "6.7"),
    Broken("GOAWAY on a stream", raw(7, 0, 1, bytes(8)), PROTOCOL, "6.8"),
    Broken("GOAWAY of seven bytes", raw(7, 0, 0, bytes(7)), SIZE, "6.8"),
    Broken("WINDOW_UPDATE by nothing", window_update(0, 0), PROTOCOL, "6.9"),
    Broken("WINDOW_UPDATE of three bytes", raw(8, 0, 0, bytes(3)), SIZE, "6.9"),
    Broken("WINDOW_UPDATE of five bytes", raw(8, 0, 0, bytes(5)), SIZE, "6.9"),
    Broken("WINDOW_UPDATE on an idle stream", window_update(9, 1), PROTOCOL, "5.1"),
    Broken("a connection window past 2^31-1", window_update(0, BIG), FLOW, "6.9.1"),
    Broken("CONTINUATION of nothing", raw(9, 4, 1, b"\x82"), PROTOCOL, "6.10"),
    Broken("a block interrupted by PING", raw(1, 0, 1, b"\x82") + ping(), PROTOCOL, "6.10"),
    Broken(
        "a block interrupted by an unknown frame",
        raw(1, 0, 1, b"\x82") + raw(0xEE, 0, 0),
        PROTOCOL,
        "5.5",
    ),
    Broken(
        "a block continued on another stream",
        raw(1, 0, 1, b"\x82") + raw(9, 4, 3, b"\x84"),
        PROTOCOL,
        "6.10",
    ),
    Broken(
        "a header table index that is not there",
        raw(1, 5, 1, b"\xff\x40"),
        (E.COMPRESSION_ERROR, *PROTOCOL),
        "4.3",
    ),
    Broken(
        "a header block cut short",
        raw(1, 5, 1, b"\x00\x05ab"),
        (E.COMPRESSION_ERROR, *PROTOCOL),
        "4.3",
    ),
    Broken(
        "a header table larger than announced",
        raw(1, 5, 1, b"\x3f\xe1\xff\x03"),
        (E.COMPRESSION_ERROR, *PROTOCOL),
        "4.3",
    ),
    Broken("HEADERS with more padding than payload", raw(1, 0xD, 1, b"\xff\x82"), PROTOCOL, "6.2"),
    Broken(
        "HEADERS too short for its priority", raw(1, 0x25, 1, b"\0\0"), (*SIZE, *PROTOCOL), "6.2"
    ),
]


@pytest.mark.parametrize("broken", CONNECTION_ERRORS, ids=lambda broken: broken.name)
async def test_a_broken_rule_of_the_connection_is_answered_with_goaway(broken, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.settled()
        await peer.try_send(broken.frames)

        goaway = await peer.goaway()
        assert goaway.error_code in broken.codes, broken.section
        assert peer.is_closed


STREAM_RULES = [
    ("more padding than DATA", lambda s: raw(0, 0x9, s, b"\x05abc"), PROTOCOL),
    ("padded DATA without a pad length", lambda s: raw(0, 0x9, s), (*SIZE, *PROTOCOL)),
    (
        "trailers that do not end the stream",
        lambda s: raw(1, 4, s, block([(b"a", b"b")])),
        PROTOCOL,
    ),
    ("a stream window past 2^31-1", lambda s: window_update(s, BIG), FLOW),
    ("a stream window opened by nothing", lambda s: window_update(s, 0), PROTOCOL),
    ("WINDOW_UPDATE of three bytes", lambda s: raw(8, 0, s, bytes(3)), SIZE),
    ("RST_STREAM of three bytes", lambda s: raw(3, 0, s, bytes(3)), SIZE),
]


@pytest.mark.parametrize("path", [HELD, STREAM])
@pytest.mark.parametrize(
    ("name", "frames", "codes"), STREAM_RULES, ids=[r[0] for r in STREAM_RULES]
)
async def test_a_broken_rule_of_a_stream_ends_at_least_the_stream(
    name, frames, codes, path, autojump_clock
):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path))
        await peer.settled()
        await peer.send(frames(1))
        await peer.until(lambda: peer.answers()[1:])

        answer = peer.answers()[-1]
        assert type(answer).__name__ in ("RstStreamFrame", "GoAwayFrame")
        assert answer.error_code in codes


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_data_after_the_end_of_a_request_is_answered_with_stream_closed(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path), data(1, message(b"x")))
        await peer.settled()
        await peer.send(data(1, b"more"))
        await peer.until(lambda: peer.answers()[-1:] and hasattr(peer.answers()[-1], "error_code"))

        assert peer.answers()[-1].error_code == E.STREAM_CLOSED


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_headers_after_the_end_of_a_request_close_the_stream(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(5, path=path), call(5, path=path))

        assert (await peer.response(5)).reset == E.STREAM_CLOSED


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_headers_on_a_finished_stream_are_a_connection_error(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(1, path=path))
        await peer.response(1)
        await peer.send(headers(1, path))

        assert (await peer.goaway()).error_code in (E.STREAM_CLOSED, E.PROTOCOL_ERROR)


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_what_is_in_flight_when_a_stream_is_reset_is_forgiven(path, autojump_clock):
    """RFC 9113 §5.1: after our RST_STREAM the peer's frames may still arrive."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path), window_update(1, BIG))
        await peer.until(lambda: 1 in peer.responses)
        assert peer.responses[1].reset == E.FLOW_CONTROL_ERROR
        await peer.send(data(1, message(b"late")), window_update(1, 10), rst(1))

        await peer.send(call(3, b"still here"))
        assert (await peer.response(3)).body == message(b"still here")


BAD_REQUESTS = {
    "no :method": [f for f in request_fields() if f[0] != b":method"],
    "no :scheme": [f for f in request_fields() if f[0] != b":scheme"],
    "no :path": [f for f in request_fields() if f[0] != b":path"],
    "an empty :path": [(n, b"" if n == b":path" else v) for n, v in request_fields()],
    "two :path": [(b":path", b"/a"), *request_fields()],
    "a pseudo-header after the others": [*request_fields()[1:], (b":method", b"POST")],
    "an unknown pseudo-header": [(b":color", b"red"), *request_fields()],
    "a response's pseudo-header": [(b":status", b"200"), *request_fields()],
    "an upper-case name": request_fields(ECHO, (b"Token", b"t")),
    "an empty name": request_fields(ECHO, (b"", b"t")),
    "a space in a name": request_fields(ECHO, (b"to ken", b"t")),
    "a line feed in a value": request_fields(ECHO, (b"token", b"a\nb")),
    "a NUL in a value": request_fields(ECHO, (b"token", b"a\0b")),
    "a value that ends with a space": request_fields(ECHO, (b"token", b"a ")),
    "connection": request_fields(ECHO, (b"connection", b"close")),
    "transfer-encoding": request_fields(ECHO, (b"transfer-encoding", b"chunked")),
    "te other than trailers": request_fields(ECHO, (b"te", b"gzip")),
    "a content-length that is no number": request_fields(ECHO, (b"content-length", b"five")),
    "a content-length of 5000 digits": request_fields(ECHO, (b"content-length", b"9" * 5000)),
    "two content-lengths": request_fields(
        ECHO, (b"content-length", b"6"), (b"content-length", b"7")
    ),
    "a host that is not the authority": request_fields(ECHO, (b"host", b"other")),
    "a content-length that is wrong": request_fields(ECHO, (b"content-length", b"7")),
}


@pytest.mark.parametrize("fields", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_a_malformed_request_is_never_carried_out(fields, path, autojump_clock):
    """RFC 9113 §8.1.1: a stream error of type PROTOCOL_ERROR, or harsher."""
    fields = [(n, path.encode() if v == ECHO.encode() else v) for n, v in fields]
    async with attacked() as peer:
        await peer.hello()
        await peer.try_send(raw(1, 4, 1, block(fields)), data(1, message(b"x")))
        await peer.until(lambda: [f for f in peer.answers() if hasattr(f, "error_code")])

        answer = next(f for f in peer.answers() if hasattr(f, "error_code"))
        assert answer.error_code == E.PROTOCOL_ERROR
        assert not peer.responses.get(1) or not peer.responses[1].body


IGNORED = {
    "an unknown frame": raw(0xEE, 0xFF, 0, b"what") + raw(0xEE, 0, 77, b"ever"),
    "unknown flags": raw(6, 0xFE, 0, bytes(8)),
    "unknown settings": settings((0xABCD, 1)),
    "PRIORITY of an idle stream": raw(2, 0, 77, b"\0\0\0\0\x10"),
    "ALTSVC": raw(0xA, 0, 0, b"\0\x01ax"),
    "a late WINDOW_UPDATE": call(1) + window_update(1, 5),
    "a late RST_STREAM": call(1) + rst(1),
}


@pytest.mark.parametrize("frames", IGNORED.values(), ids=IGNORED.keys())
async def test_what_must_be_ignored_is(frames, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(frames, call(3, b"after"))

        assert (await peer.response(3)).body == message(b"after")


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_the_reserved_bit_of_a_stream_number_is_ignored(path, autojump_clock):
    high = 1 << 31
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(high | 1, path), data(high | 1, message(b"x")))

        assert (await peer.response(1)).body == message(b"x")


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_the_reserved_bit_of_a_window_increment_is_ignored(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path), *(window_update(n, 1 << 31 | 5) for n in (0, 1)))
        await peer.settled()

        assert 1 not in peer.responses


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_padding_and_priority_change_nothing(path, autojump_clock):
    fields = block(request_fields(path))
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            raw(1, 0x2C, 1, b"\x03" + b"\0\0\0\0\x10" + fields + bytes(3)),
            raw(0, 0x8, 1, b"\x02" + message(b"padded")[:4] + bytes(2)),
            raw(0, 0x8, 1, b"\x01" + bytes(1)),
            raw(0, 0x9, 1, b"\x00" + message(b"padded")[4:]),
        )

        response = await peer.response(1)
        assert response.body == message(b"padded")
        assert response.status == 0


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_a_header_block_may_come_in_many_frames(path, autojump_clock):
    fields = block(request_fields(path))
    pieces = [fields[i : i + 7] for i in range(0, len(fields), 7)]
    frames = [
        raw(9 if n else 1, 4 if n == len(pieces) - 1 else 0, 1, piece)
        for n, piece in enumerate(pieces)
    ]
    async with attacked() as peer:
        await peer.hello()
        await peer.send(*frames, data(1, message(b"x")))

        assert (await peer.response(1)).body == message(b"x")


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_trailers_end_a_request(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            headers(1, path),
            data(1, message(b"x"), end=False),
            raw(1, 5, 1, block([(b"checksum", b"7")])),
        )

        assert (await peer.response(1)).body == message(b"x")


async def test_a_connection_must_begin_with_the_preface(autojump_clock):
    async with attacked() as peer:
        await peer.try_send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while await peer.read():
            pass
        assert peer.is_closed


async def test_the_first_frame_must_be_settings(autojump_clock):
    """RFC 9113 §3.4."""
    async with attacked() as peer:
        await peer.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", call(1))

        assert (await peer.goaway()).error_code == E.PROTOCOL_ERROR


async def test_bytes_may_come_one_at_a_time(autojump_clock):
    wire = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings() + call(1, b"slow") + call(3, path=STREAM)
    )
    async with attacked() as peer:
        for byte in wire:
            await peer.send(bytes((byte,)))

        assert (await peer.response(1)).body == message(b"slow")
        assert (await peer.response(3)).body == message(b"x")
