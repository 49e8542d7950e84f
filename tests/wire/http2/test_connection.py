"""A connection's life beside its calls: windows, header tables, pings, draining, writes."""

from __future__ import annotations

import pytest
import trio
from h2.errors import ErrorCodes as E
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame, SettingsFrame

from tests.wire.hostile.peer import (
    ECHO,
    HELD,
    PREFACE,
    STREAM,
    EchoServer,
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
from wire.grpc.service import ServerStream, UnaryCall
from wire.http2.connection import serve_connection
from wire.http2.keepalive import KeepAlive
from wire.http2.limits import Limits
from wire.log import NullLog
from wire.status import Status

HEADER_TABLE_SIZE, INITIAL_WINDOW, MAX_FRAME = 1, 4, 5
EITHER = pytest.mark.parametrize("path", [ECHO, STREAM])


async def test_the_server_begins_with_its_settings(autojump_clock):
    async with attacked(limits=Limits(concurrent_streams=7)) as peer:
        await peer.hello()
        await peer.settled()

        [first] = [frame for frame in peer.of(SettingsFrame) if "ACK" not in frame.flags]
        assert peer.seen[0] is first
        assert first.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 7
        assert first.settings[SettingsFrame.MAX_FRAME_SIZE] == 16384


async def test_what_was_read_before_is_taken_first(autojump_clock):
    """The listener has read the preface to tell HTTP/2 from HTTP/1.1."""
    async with attacked(initial=PREFACE + settings() + call(1)[:20]) as peer:
        await peer.send(call(1)[20:])

        assert (await peer.response(1)).body == message(b"x")


# -- Windows


@EITHER
async def test_an_answer_is_cut_to_the_peers_frames_and_windows(path, autojump_clock):
    body = bytes(range(256)) * 400
    async with attacked() as peer:
        await peer.hello((INITIAL_WINDOW, 50_000), (MAX_FRAME, 20_000))
        await peer.send(headers(1, path))
        await peer.upload(1, message(body))
        await peer.settled()

        sizes = [len(frame.data) for frame in peer.of(DataFrame)]
        assert sum(sizes) == 50_000
        assert max(sizes) == 20_000
        await peer.send(window_update(1, 1 << 20))
        await peer.settled()
        assert len(peer.bodies(1)) == 65535  # the connection's window
        await peer.send(window_update(0, 1 << 20))
        assert (await peer.response(1)).body == message(body)


@EITHER
async def test_answers_share_the_connections_window_in_turn(path, autojump_clock):
    body = bytes(40_000)
    async with attacked() as peer:
        await peer.hello((INITIAL_WINDOW, 0))
        for stream in (1, 3, 5):
            await peer.send(headers(stream, path))
            await peer.upload(stream, message(body))
        await peer.settled()
        await peer.send(settings((INITIAL_WINDOW, 1 << 20)))
        await peer.settled()

        assert sum(len(peer.bodies(stream)) for stream in (1, 3, 5)) == 65535
        assert len(peer.bodies(5)) > 0
        await peer.send(window_update(0, 1 << 20))
        for stream in (1, 3, 5):
            assert (await peer.response(stream)).body == message(body)


async def test_a_small_answer_does_not_wait_for_anothers_window(autojump_clock):
    async with attacked() as peer:
        await peer.hello((INITIAL_WINDOW, 1000))
        await peer.send(headers(1), data(1, message(bytes(5000))))
        await peer.settled()
        assert len(peer.bodies(1)) == 1000
        await peer.send(call(3, b"small"))

        assert (await peer.response(3)).body == message(b"small")
        assert not peer.responses[1].ended


@EITHER
async def test_settings_open_and_shut_the_windows_of_open_streams(path, autojump_clock):
    """RFC 9113 §6.9.2: a change moves every stream's window, below zero if need be."""
    body = message(bytes(20_000))
    async with attacked() as peer:
        await peer.hello((INITIAL_WINDOW, 10_000))
        await peer.send(headers(1, path))
        await peer.upload(1, body)
        await peer.settled()
        await peer.send(settings((INITIAL_WINDOW, 4000)), window_update(1, 6000))
        await peer.settled()
        assert len(peer.bodies(1)) == 10_000
        await peer.send(window_update(1, 1))
        await peer.settled()
        assert len(peer.bodies(1)) == 10_001
        await peer.send(settings((INITIAL_WINDOW, 100_000)))

        assert (await peer.response(1)).body == body


async def test_a_window_opened_before_the_answer_counts(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello((INITIAL_WINDOW, 10))
        await peer.send(call(1, path=HELD), window_update(1, 990))
        await peer.settled()
        server.held.calls[0].reply(bytes(995))

        assert len((await peer.response(1)).body) == 1000


# -- Header tables


@EITHER
@pytest.mark.parametrize("size", [0, 100])
async def test_a_smaller_header_table_is_acknowledged_by_the_next_block(size, path, autojump_clock):
    """RFC 7541 §4.2; hpack's decoder insists on it, as nghttp2 does."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(1, path=path))
        await peer.response(1)
        await peer.send(settings((HEADER_TABLE_SIZE, size)))
        await peer.settled()
        peer.decoder.max_allowed_table_size = size
        await peer.send(call(3, path=path), call(5, path="/no.Such/Method"))

        assert (await peer.response(3)).status == Status.OK
        assert (await peer.response(5)).status == Status.UNIMPLEMENTED


async def test_a_smaller_header_table_is_acknowledged_by_an_answer_that_waits(autojump_clock):
    async with attacked() as peer:
        await peer.hello((HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW, 10))
        peer.decoder.max_allowed_table_size = 0
        await peer.send(headers(1), data(1, message(bytes(100))), window_update(1, 1000))

        assert (await peer.response(1)).body == message(bytes(100))


@EITHER
async def test_clients_may_compress_headers_as_they_like(path, autojump_clock):
    """Through the dynamic table, evicting, resizing; for both paths by one decoder."""
    from hpack import Encoder

    encoder = Encoder()
    async with attacked() as peer:
        await peer.hello()
        for n in range(60):
            if n % 20 == 10:
                encoder.header_table_size = 200 if n % 40 == 10 else 4096
            fields = request_fields(
                path if n % 3 else ECHO, (b"trace", b"%d" % (n // 7)), (b"n%d" % (n % 5), b"x" * n)
            )
            stream = 2 * n + 1
            await peer.send(raw(1, 4, stream, encoder.encode(fields)))
            await peer.send(data(stream, message(b"%d" % n)))
            assert (await peer.response(stream)).body == message(b"%d" % n)


# -- Pings


async def test_a_ping_is_answered(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(ping(7))
        await peer.until(lambda: peer.of(PingFrame))

        [pong] = peer.of(PingFrame)
        assert pong.opaque_data == (7).to_bytes(8, "big")
        assert "ACK" in pong.flags


@pytest.mark.parametrize("has_stream", [False, True])
async def test_too_many_pings_are_answered_with_goaway(has_stream, autojump_clock):
    """gRPC proposal A8: two strikes are forgiven."""
    async with attacked() as peer:
        await peer.hello()
        if has_stream:
            await peer.send(headers(1, HELD))
        for n in range(3):
            await peer.send(ping(n))
            await peer.until(lambda n=n: len(peer.of(PingFrame)) == n + 1)
        await peer.send(ping(3))

        goaway = await peer.goaway()
        assert goaway.error_code == E.ENHANCE_YOUR_CALM
        assert goaway.additional_data == b"too_many_pings"


async def test_pings_far_enough_apart_are_welcome_while_there_are_streams(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, HELD))
        for n in range(20):
            await trio.sleep(5.1)
            await peer.send(ping(n))
            await peer.until(lambda n=n: len(peer.of(PingFrame)) == n + 1)


@EITHER
async def test_pings_between_answers_are_welcome(path, autojump_clock):
    """grpc-go measures the path with a ping per round trip while data flow."""
    async with attacked() as peer:
        await peer.hello()
        for n in range(3000):
            await peer.send(ping(n), call(2 * n + 1, path=path))
            await peer.response(2 * n + 1)


async def test_pings_of_a_client_that_only_listens_are_welcome(autojump_clock):
    server = EchoServer()

    async def pour(stream: ServerStream) -> None:
        while True:
            await stream.receive()
            await stream.send(b"event")

    server.registry.stream("/test.Echo/Pour", pour, "server_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1, "/test.Echo/Pour"))
        for n in range(3000):
            await peer.send(data(1, message(b""), end=False), ping(n), window_update(0, 10))
            await peer.until(lambda n=n: len(peer.of(DataFrame)) > n)


async def test_a_silent_client_is_pinged_and_then_given_up(autojump_clock):
    keep_alive = KeepAlive(interval=60, timeout=20)
    async with attacked(keep_alive=keep_alive) as peer:
        await peer.hello()
        began = trio.current_time()
        with trio.fail_after(200):
            await peer.until(lambda: peer.of(PingFrame))
            assert trio.current_time() - began == pytest.approx(60, abs=2)
            while await peer.read():
                pass
        assert trio.current_time() - began == pytest.approx(80, abs=3)


async def test_a_client_that_answers_pings_is_kept(autojump_clock):
    keep_alive = KeepAlive(interval=60, timeout=20)
    async with attacked(keep_alive=keep_alive) as peer:
        await peer.hello()
        for n in range(5):
            with trio.fail_after(100):
                await peer.until(lambda n=n: len(peer.of(PingFrame)) == n + 1)
            await peer.send(raw(6, 1, 0, peer.of(PingFrame)[-1].opaque_data))
        await peer.send(call(1))
        assert (await peer.response(1)).status == Status.OK


# -- Leaving


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_draining_lets_calls_finish_and_takes_no_new_ones(path, autojump_clock):
    server, draining = EchoServer(), trio.Event()
    async with attacked(server, draining=draining) as peer:
        await peer.hello()
        await peer.send(headers(1, path), data(1, message(b"x"), end=path == HELD))
        await peer.settled()
        draining.set()
        await peer.until(lambda: peer.of(GoAwayFrame))
        assert peer.of(GoAwayFrame)[0].error_code == E.NO_ERROR
        assert peer.of(GoAwayFrame)[0].last_stream_id == 1
        await peer.send(call(3))
        assert (await peer.response(3)).reset == E.REFUSED_STREAM

        if path == HELD:
            server.held.calls[0].reply(b"x")
        else:
            await peer.send(data(1, b""))
        assert (await peer.response(1)).body == message(b"x")
        while await peer.read():
            pass


async def test_draining_an_idle_connection_closes_it(autojump_clock):
    draining = trio.Event()
    async with attacked(draining=draining) as peer:
        await peer.hello()
        await peer.settled()
        draining.set()

        assert (await peer.goaway()).error_code == E.NO_ERROR


@pytest.mark.parametrize("path", [HELD, STREAM])
async def test_a_client_may_say_goodbye_before_its_streams_are_over(path, autojump_clock):
    """As Node's http2 does: GOAWAY first, and then it waits for its streams."""
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1, path), data(1, message(b"x"), end=path == HELD))
        await peer.send(raw(7, 0, 0, bytes(8)))
        await peer.settled()
        await peer.send(ping(5))
        if path == HELD:
            server.held.calls[0].reply(b"x")
        else:
            await peer.send(data(1, b""))

        assert (await peer.response(1)).body == message(b"x")
        while await peer.read():
            pass


async def test_an_idle_connection_ends_when_the_client_says_goodbye(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.settled()
        await peer.send(raw(7, 0, 0, bytes(8)))
        while await peer.read():
            pass


async def test_a_fault_says_why_and_names_the_last_stream(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(5))
        await peer.response(5)
        await peer.send(headers(0))

        goaway = await peer.goaway()
        assert goaway.last_stream_id == 5
        assert goaway.additional_data


# -- Writes


class Counting(trio.abc.Stream):
    """Counts writes to the stream behind it."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.writes = 0

    async def send_all(self, data: bytes) -> None:
        self.writes += 1
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("at_once", [True, False])
async def test_many_answers_are_one_write(at_once, autojump_clock):
    server = EchoServer()
    path = ECHO if at_once else HELD
    ours, theirs = trio.testing.memory_stream_pair()
    counting = Counting(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_connection(counting, server.registry, log=NullLog()))
        await ours.send_all(PREFACE + settings())
        await trio.testing.wait_all_tasks_blocked()
        counting.writes = 0
        await ours.send_all(b"".join(call(2 * n + 1, path=path) for n in range(100)))
        await trio.testing.wait_all_tasks_blocked()
        for held in server.held.calls:
            held.reply(b"x")
        await trio.testing.wait_all_tasks_blocked()

        assert counting.writes == 1
        nursery.cancel_scope.cancel()


async def test_a_handler_can_see_that_much_waits_and_wait_for_room(autojump_clock):
    server = EchoServer()
    rooms = 0

    async def large(call: UnaryCall) -> bytes:
        nonlocal rooms
        if call.connection.is_backlogged:
            await call.connection.room()
            rooms += 1
        return bytes(700_000)

    server.registry.unary("/test.Echo/Large", large)
    async with attacked(server) as peer:
        await peer.hello((INITIAL_WINDOW, 1 << 20))
        for n in range(4):
            await peer.send(call(2 * n + 1, path="/test.Echo/Large"))
            await trio.testing.wait_all_tasks_blocked()
        assert rooms == 0
        await peer.send(window_update(0, 8 << 20))
        for n in range(4):
            assert len((await peer.response(2 * n + 1)).body) == 700_005
        assert rooms == 2


async def test_streams_opened_and_reset_in_one_chunk_never_run(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1, STREAM) + raw(3, 0, 1, bytes(4)) + call(3, path=STREAM))

        assert (await peer.response(3)).status == Status.OK
        assert server.registry.methods[STREAM.encode()].counts.started in (1, 2)
        assert server.streams_open == 0


async def test_what_is_sent_on_a_stream_that_was_reset_harms_nobody(autojump_clock):
    """Whoever sends need not have heard of it: the watch hub, between two of its steps."""

    async def late(stream: ServerStream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            stream.send_framed(message(b"late"))
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()  # the writer has its turn

    server = EchoServer()
    server.registry.stream("/test.Late/Late", late, "server_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1, "/test.Late/Late"))
        await peer.settled()
        await peer.send(rst(1) + call(3, b"alive"))

        assert (await peer.response(3)).body == message(b"alive")
        assert peer.bodies(1) == b""


async def test_ten_thousand_streams_on_one_connection(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        fields = block(request_fields(STREAM))
        for n in range(0, 10_000, 100):
            await peer.send(*(raw(1, 4, 2 * m + 1, fields) for m in range(n, n + 100)))
        await peer.settled()
        await peer.send(data(19_999, message(b"last")))
        assert (await peer.response(19_999)).body == message(b"last")
