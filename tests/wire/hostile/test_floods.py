"""Peers that ask for much and give nothing: sent away in time, at a bounded cost.

What the server took in before it stopped is counted at the test's end of the stream, so a bound
on it is a bound on what it can have kept.
"""

from __future__ import annotations

from functools import partial

import pytest
import trio
from h2.errors import ErrorCodes as E
from hyperframe.frame import GoAwayFrame, WindowUpdateFrame

from tests.wire.hostile.peer import (
    ECHO,
    HELD,
    STREAM,
    EchoServer,
    RawPeer,
    attacked,
    block,
    call,
    data,
    headers,
    literal,
    message,
    ping,
    raw,
    request_fields,
    rst,
    settings,
    window_update,
)
from wire.http2.connection import serve_connection
from wire.http2.limits import Limits
from wire.log import NullLog

ENOUGH = 100_000  # frames: far beyond what any limit allows
KEPT_BYTES = 8 << 20  # what a server may take in from a peer that takes nothing


async def flood(peer, make, *, count=ENOUGH, batch=100) -> int:
    """Send `make(n)` for n in 0..count until the server has had enough; how many it took."""
    sent = 0
    with trio.move_on_after(60):
        while sent < count and not peer.of(GoAwayFrame):
            await peer.send(*(make(n) for n in range(sent, sent + batch)))
            sent += batch
            with trio.move_on_after(0.0005):
                while await peer.read():
                    pass
    return sent


async def test_rapid_reset_is_sent_away(autojump_clock):
    """CVE-2023-44487: open and reset, for ever."""
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        sent = await flood(peer, lambda n: headers(2 * n + 1, HELD) + rst(2 * n + 1))

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code == E.ENHANCE_YOUR_CALM


async def test_rapid_reset_of_complete_calls_is_sent_away(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        sent = await flood(peer, lambda n: call(2 * n + 1, path=HELD) + rst(2 * n + 1))

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code == E.ENHANCE_YOUR_CALM
        assert all(held.closed for held in server.held.calls)


async def test_rapid_reset_of_streams_is_sent_away(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        sent = await flood(peer, lambda n: headers(2 * n + 1, STREAM) + rst(2 * n + 1))

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code == E.ENHANCE_YOUR_CALM
        await trio.testing.wait_all_tasks_blocked()
        assert server.streams_open == 0


async def test_making_the_server_reset_is_rapid_reset_too(autojump_clock):
    """CVE-2025-8671: streams that the server must reset itself, for ever."""
    async with attacked() as peer:
        await peer.hello()
        sent = await flood(
            peer, lambda n: headers(2 * n + 1, HELD) + window_update(2 * n + 1, (1 << 31) - 1)
        )

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code == E.ENHANCE_YOUR_CALM


FLOODS = {
    "PING": lambda n: ping(n),
    "SETTINGS": lambda n: settings((4, 65535)),
    "SETTINGS that change windows": lambda n: settings((4, 65535 - n % 2)),
    "PRIORITY": lambda n: raw(2, 0, 2 * n + 1, b"\0\0\0\0\x10"),
    "unknown frames": lambda n: raw(0xEE, 0, 0, b"x"),
    "empty DATA": lambda n: raw(0, 0, 1),
    "empty padded DATA": lambda n: raw(0, 8, 1, b"\0"),
    "WINDOW_UPDATE of a finished stream": lambda n: window_update(1, 1),
    "RST_STREAM of a finished stream": lambda n: rst(1),
    "DATA on a finished stream": lambda n: data(1, b"x"),
}


@pytest.mark.parametrize("path", [HELD, STREAM])
@pytest.mark.parametrize("kind", FLOODS.keys())
async def test_a_flood_of_frames_that_mean_nothing_is_sent_away(kind, path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        if "finished" in kind:
            await peer.send(call(1, path=ECHO if path == HELD else STREAM))
            await peer.response(1)
        else:
            await peer.send(headers(1, path))
        sent = await flood(peer, FLOODS[kind])

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code == E.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("kind", ["PING", "SETTINGS", "SETTINGS that change windows"])
async def test_answers_to_a_flood_do_not_pile_up_for_a_peer_that_never_reads(kind, autojump_clock):
    """CVE-2019-9512, 9515: h2 appends every acknowledgement to a buffer without a bound."""
    async with attacked(reads=False) as peer:
        with trio.move_on_after(600):
            await peer.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings())
            n = 0
            while n < ENOUGH and await peer.try_send(*(FLOODS[kind](n) for _ in range(100))):
                n += 100

        assert n < ENOUGH
        assert peer.sent_bytes < KEPT_BYTES


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_requests_of_a_peer_that_never_reads_do_not_pile_up(path, autojump_clock):
    body = message(bytes(16_000))
    async with attacked(reads=False) as peer:
        with trio.move_on_after(600):
            await peer.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings((4, (1 << 31) - 1)))
            await peer.try_send(window_update(0, (1 << 31) - 1 - 65535))
            n = 0
            while n < 10_000 and await peer.try_send(
                headers(2 * n + 1, path), data(2 * n + 1, body)
            ):
                n += 1

        assert n < 10_000
        assert peer.sent_bytes < KEPT_BYTES


async def test_answers_wait_for_windows_only_up_to_a_bound(autojump_clock):
    """Window starvation: the peer reads, but never lets an answer go."""
    body = message(bytes(16_000))
    server = EchoServer()
    async with attacked(server, limits=Limits(unsent_bytes=4 << 20)) as peer:
        await peer.hello((4, 0))
        n = 0
        with trio.move_on_after(600):
            while n < 10_000 and await peer.try_send(headers(2 * n + 1), data(2 * n + 1, body)):
                n += 1
                with trio.move_on_after(0.01):
                    while await peer.read():
                        pass
                # No more than the server grants: it must stop granting.
                granted = sum(
                    f.window_increment for f in peer.of(WindowUpdateFrame) if f.stream_id == 0
                )
                if (n + 1) * len(body) > 65535 + granted:
                    break

        kept = server.registry.methods[ECHO.encode()].counts.started * len(body)
        assert kept < 5 << 20
        assert peer.responses[2 * n - 1].reset == E.REFUSED_STREAM


async def test_a_continuation_flood_is_sent_away(autojump_clock):
    """CVE-2024-27316 and its kin: a header block that never ends."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(raw(1, 0, 1, block(request_fields())))
        sent = await flood(peer, lambda n: raw(9, 0, 1, block([(b"a%d" % n, bytes(100))])))

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code in (E.ENHANCE_YOUR_CALM, E.PROTOCOL_ERROR)
        assert peer.sent_bytes < 1 << 20


async def test_a_flood_of_empty_continuations_is_sent_away(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(raw(1, 0, 1, block(request_fields())))
        sent = await flood(peer, lambda n: raw(9, 0, 1))

        assert sent < ENOUGH
        assert (await peer.goaway()).error_code in (E.ENHANCE_YOUR_CALM, E.PROTOCOL_ERROR)


async def test_an_hpack_bomb_does_not_expand(autojump_clock):
    """CVE-2016-6581: one large table entry, referred to again and again by one byte."""
    entry = b"\x40" + literal(b"bomb") + literal(bytes(b"x" * 3900))
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            raw(1, 5, 1, block(request_fields()) + entry), raw(1, 5, 3, b"\xbe" * 16_000)
        )

        assert (await peer.goaway()).error_code in (
            E.ENHANCE_YOUR_CALM,
            E.COMPRESSION_ERROR,
            E.PROTOCOL_ERROR,
        )


@pytest.mark.parametrize("path", [ECHO, STREAM])
async def test_a_header_list_over_the_limit_is_refused(path, autojump_clock):
    """SETTINGS_MAX_HEADER_LIST_SIZE counts names, values and 32 bytes for each."""
    fields = request_fields(path, *((b"k%d" % n, b"") for n in range(3000)))
    encoded = block(fields)
    pieces = [encoded[i : i + 16384] for i in range(0, len(encoded), 16384)]
    frames = [
        raw(9 if n else 1, 4 if n == len(pieces) - 1 else 0, 1, piece)
        for n, piece in enumerate(pieces)
    ]
    async with attacked() as peer:
        await peer.hello()
        await peer.try_send(*frames, data(1, message(b"x")))
        while 1 not in peer.responses and await peer.read():
            pass

        assert not peer.responses.get(1) or not peer.responses[1].body


async def test_table_size_updates_do_not_come_for_free(autojump_clock):
    """A block may hold thousands of size updates, each one byte, RFC 7541 §4.2."""
    async with attacked() as peer:
        await peer.hello()
        await peer.try_send(raw(1, 5, 1, b"\x20\x3f\xe1\x1f" * 4000 + block(request_fields())))
        await peer.try_send(call(3))
        while 3 not in peer.responses and await peer.read():
            pass
        assert peer.is_closed or peer.responses[3].body == message(b"x")


async def test_streams_beyond_the_limit_are_refused_and_the_rest_go_on(autojump_clock):
    server = EchoServer()
    async with attacked(server, limits=Limits(concurrent_streams=3)) as peer:
        await peer.hello()
        await peer.send(call(1, path=HELD), headers(3, STREAM), headers(5, HELD))
        await peer.send(call(7, path=ECHO), call(9, path=STREAM))

        assert (await peer.response(7)).reset == E.REFUSED_STREAM
        assert (await peer.response(9)).reset == E.REFUSED_STREAM
        server.held.calls[0].reply(b"done")
        assert (await peer.response(1)).body == message(b"done")
        await peer.send(call(11, b"room again"))
        assert (await peer.response(11)).body == message(b"room again")


async def test_a_socket_that_says_nothing_is_closed(autojump_clock):
    async with attacked() as peer:
        with trio.fail_after(60):
            while await peer.read():
                pass


async def test_a_preface_that_drips_is_closed(autojump_clock):
    async with attacked() as peer:
        with trio.fail_after(120):
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
                await trio.sleep(5)
                if not await peer.try_send(bytes((byte,))):
                    break
            else:
                pytest.fail("a preface may take two minutes")


async def test_a_peer_that_goes_on_sending_can_read_why_it_was_sent_away():
    """Over TCP: closing while bytes are unread would reset the connection, GOAWAY and all."""
    server = EchoServer()

    async def serve(stream: trio.SocketStream) -> None:
        await serve_connection(stream, server.registry, log=NullLog())

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        peer = RawPeer(await trio.open_tcp_stream("127.0.0.1", port))
        await peer.hello()
        await peer.send(headers(0), *(ping(n) for n in range(50_000)))

        assert (await peer.goaway()).error_code == E.PROTOCOL_ERROR
        nursery.cancel_scope.cancel()


async def test_one_hostile_connection_does_not_disturb_another(autojump_clock):
    server = EchoServer()
    async with attacked(server) as good, attacked(server) as bad, attacked(server) as mute:
        await good.hello()
        await bad.hello()
        for n in range(20):
            await bad.try_send(
                *(headers(2 * m + 1, HELD) + rst(2 * m + 1) for m in range(50 * n, 50 * n + 50))
            )
            await good.send(call(2 * n + 1, b"%d" % n))
            assert (await good.response(2 * n + 1)).body == message(b"%d" % n)
        assert not mute.is_closed
