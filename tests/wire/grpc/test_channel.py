"""The client's calls, with servers of every kind: patient, lost, busy, wrong."""

from __future__ import annotations

import gzip
import itertools
import random

import h2.settings
import pytest
import trio
import trio.testing

from tests.wire.grpc.scripted import HEADERS, METHOD, Asked, scene
from wire.errors import (
    Canceled,
    Compacted,
    DeadlineExceeded,
    EtcdError,
    LeaseNotFound,
    Refused,
)
from wire.grpc.channel import TRIES, Backoff
from wire.grpc.client_errors import ChannelClosed, TimedOut, Unavailable
from wire.grpc.client_headers import timeout_field
from wire.grpc.client_link import OUTPUT_BYTES, ClientKeepAlive
from wire.grpc.metadata import parse_timeout
from wire.http2.frames import Code
from wire.memory_network import PIPE_BYTES
from wire.status import Status

Clock = trio.testing.MockClock
MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


def failure(asked: Asked) -> Unavailable:
    assert isinstance(asked.error, Unavailable), asked.error
    return asked.error


# -- Calls that go well


async def test_a_call_looks_as_grpc_clients_make_it():
    async with scene(user_agent="agent/1") as play:
        asked = play.ask(b"question", metadata=((b"hasleader", b"true"),))
        server = await play.server.accept()
        request = await server.request()
        assert list(request.headers.items()) == [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", METHOD),
            (":authority", "server:2379"),
            ("content-type", "application/grpc"),
            ("user-agent", "agent/1"),
            ("te", "trailers"),
            ("hasleader", "true"),
        ]
        assert request.body == b"\0\0\0\0\x08question"
        await server.answer(request, b"answer")
        await play.settled()
        assert asked.result == b"answer"
        assert play.channel.open_calls == 0


async def test_nothing_is_connected_before_the_first_call_and_once_for_all():
    async with scene() as play:
        await play.settled()
        assert play.server.conversations == []
        asked = [play.ask(b"%d" % n) for n in range(10)]
        server = await play.server.accept()
        for _ in range(10):
            request = await server.request()
            await server.answer(request, request.message)
        await play.settled()
        assert [one.result for one in asked] == [b"%d" % n for n in range(10)]


async def test_answers_may_come_in_any_order():
    async with scene() as play:
        asked = [play.ask(b"%d" % n) for n in range(5)]
        server = await play.server.accept()
        requests = [await server.request() for _ in range(5)]
        for request in reversed(requests):
            await server.answer(request, request.message * 2)
        await play.settled()
        assert [one.result for one in asked] == [b"%d%d" % (n, n) for n in range(5)]


async def test_calls_made_together_leave_together():
    """As one write, which a memory stream hands over as one piece."""
    async with scene() as play:
        play.ask()
        server = await play.server.accept()
        await server.answer(await server.request(), b"")
        for _ in range(100):
            play.ask()
        await play.settled()
        await server.hear()
        assert len(server.requests) == 101


async def test_an_answer_may_be_empty_and_may_come_byte_by_byte():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        server.h2.send_headers(request.stream_id, [*HEADERS, ("x", "y")])
        server.h2.send_data(request.stream_id, bytes(5))
        server.h2.send_headers(request.stream_id, [("grpc-status", "0")], end_stream=True)
        for byte in server.h2.data_to_send():
            await server.stream.send_all(bytes([byte]))
            await play.settled()
        assert asked.result == b""


async def test_an_answer_in_many_frames_is_put_together():
    body = bytes(range(256)) * 20_000  # 5 MB: windows must be given back too
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request)
        data, at = len(body).to_bytes(5, "big") + body, 0
        while at < len(data):
            window = server.h2.local_flow_control_window(request.stream_id)
            if not window:
                assert await server.hear()
                continue
            piece = data[at : at + min(window, 16384)]
            server.h2.send_data(request.stream_id, piece)
            await server.flush()
            at += len(piece)
        await server.end(request)
        await play.settled()
        assert asked.result == body


async def test_a_large_request_is_sent_as_the_server_gives_windows():
    async with scene(settings={WINDOW: 1000}) as play:
        body = bytes(500_000)
        asked = play.ask(body)
        server = await play.server.accept()
        request = await server.request()
        assert request.message == body
        await server.answer(request, b"got it")
        await play.settled()
        assert asked.result == b"got it"


async def test_a_compressed_answer_is_expanded():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(
            request,
            [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")],
        )
        squeezed = gzip.compress(b"answer")
        body = b"\x01" + len(squeezed).to_bytes(4, "big") + squeezed
        server.h2.send_data(request.stream_id, body)
        await server.end(request)
        await play.settled()
        assert asked.result == b"answer"


async def test_an_informational_response_is_none():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request, [(":status", "103"), ("link", "x")])
        await server.answer(request, b"answer")
        await play.settled()
        assert asked.result == b"answer"


# -- What the server refuses


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (5, "etcdserver: requested lease not found", LeaseNotFound),
        (11, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (4, "context deadline exceeded", DeadlineExceeded),
        (1, "context canceled", Canceled),
    ],
)
async def test_a_refusal_is_the_error_it_was_at_the_server(
    status: int, text: str, error: type[EtcdError]
):
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request)
        await server.end(request, status, text)
        await play.settled()
        assert type(asked.error) is error


async def test_a_refusal_may_come_at_once_and_in_other_words():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        server.h2.send_headers(
            request.stream_id,
            [(":status", "200"), ("grpc-status", "8"), ("grpc-message", "zu viel %C3%BC")],
            end_stream=True,
        )
        await server.flush()
        await play.settled()
        assert isinstance(asked.error, Refused)
        assert asked.error.status is Status.RESOURCE_EXHAUSTED
        assert str(asked.error) == "zu viel ü"


@pytest.mark.parametrize(
    ("http_status", "status"),
    [("400", 13), ("401", 16), ("403", 7), ("404", 12), ("503", 14), ("418", 2)],
)
async def test_a_server_of_another_kind_is_understood(http_status: str, status: int):
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request, [(":status", http_status), ("content-type", "text/html")])
        server.h2.send_data(request.stream_id, b"<html>", end_stream=True)
        await server.flush()
        await play.settled()
        assert isinstance(asked.error, Refused)
        assert asked.error.status == status
        assert str(asked.error).startswith("unexpected HTTP status code received from server: ")


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0", b"\0\0\0\0\x05abc", b"\0\0\0\0\x01ab", bytes(5) + bytes(5)],
    ids=["nothing", "no prefix", "cut off", "too much", "two messages"],
)
async def test_an_answer_that_is_not_one_message_is_an_error(body: bytes):
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request)
        server.h2.send_data(request.stream_id, body)
        await server.end(request)
        await play.settled()
        assert isinstance(asked.error, Refused)
        assert asked.error.status is Status.INTERNAL


async def test_an_answer_without_trailers_is_an_error():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request)
        server.h2.send_data(request.stream_id, b"\0\0\0\0\x01x", end_stream=True)
        await server.flush()
        await play.settled()
        assert isinstance(asked.error, Refused)
        assert str(asked.error) == "server closed the stream without sending trailers"


@pytest.mark.parametrize("frames", [1, 2])
async def test_an_answer_too_large_is_refused_as_soon_as_it_shows(frames: int):
    async with scene(receive_bytes=1000) as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        await server.begin(request)
        body = (1001).to_bytes(5, "big") + bytes(1001 if frames == 1 else 1)
        server.h2.send_data(request.stream_id, body)
        await server.flush()
        await server.until(lambda: request.code is not None)
        assert isinstance(asked.error, Refused)
        assert str(asked.error) == "grpc: received message larger than max (1001 vs. 1000)"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CANCEL, Status.CANCELLED),
        (Code.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED),
        (Code.INADEQUATE_SECURITY, Status.PERMISSION_DENIED),
        (Code.INTERNAL_ERROR, Status.INTERNAL),
        (99, Status.INTERNAL),
    ],
)
async def test_a_reset_call_has_a_status(code: int, status: Status):
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.reset(await server.request(), code)
        await play.settled()
        assert isinstance(asked.error, Refused)
        assert asked.error.status is status
        assert "RST_STREAM" in str(asked.error)


# -- Time, and changes of mind


async def test_a_cancelled_call_leaves_no_stream_open():
    async with scene() as play:
        asked, other = play.ask(b"cancelled"), play.ask(b"other")
        server = await play.server.accept()
        first, second = await server.request(), await server.request()
        if first.message == b"other":
            first, second = second, first
        asked.scope.cancel()
        await server.until(lambda: first.code is not None)
        assert first.code == Code.CANCEL
        assert play.channel.open_calls == 1
        await server.answer(second, b"unharmed")
        await play.settled()
        assert other.result == b"unharmed"
        assert play.channel.open_calls == 0


async def test_a_thousand_cancelled_calls_leave_no_stream_open():
    async with scene() as play:
        asked = [play.ask() for _ in range(1000)]
        server = await play.server.accept()
        for _ in asked:
            await server.request()
        for one in asked:
            one.scope.cancel()
        await server.until(lambda: all(one.code is not None for one in server.requests.values()))
        assert play.channel.open_calls == 0


async def test_time_that_runs_out_ends_the_call_here_and_there(autojump_clock: Clock):
    async with scene() as play:
        asked = play.ask(timeout=3)
        server = await play.server.accept()
        request = await server.request()
        assert request.headers["grpc-timeout"] == "3000000u"
        await server.until(lambda: request.code is not None)
        assert trio.current_time() == pytest.approx(3)
        assert isinstance(asked.error, TimedOut)
        assert asked.error.status is Status.DEADLINE_EXCEEDED
        assert asked.error.maybe_sent


@pytest.mark.parametrize(
    ("scope", "limit", "told"), [(2.0, None, 2.0), (5.0, 1.0, 1.0), (1.0, 5.0, 1.0)]
)
async def test_the_server_is_told_how_much_time_is_left(
    scope: float, limit: float | None, told: float, autojump_clock: Clock
):
    async with scene() as play:

        async def call() -> None:
            with trio.move_on_after(scope):
                await play.channel.unary(METHOD, b"", timeout=limit)

        play.nursery.start_soon(call)
        server = await play.server.accept()
        request = await server.request()
        assert parse_timeout(request.headers["grpc-timeout"].encode()) == pytest.approx(told)
        await server.answer(request, b"")
        await play.settled()


async def test_a_call_in_a_cancelled_scope_is_not_made():
    async with scene() as play:
        play.ask()
        server = await play.server.accept()
        await server.answer(await server.request(), b"")
        with trio.CancelScope() as scope:
            scope.cancel()
            await play.channel.unary(METHOD, b"never")
        assert scope.cancelled_caught
        await play.settled()
        assert len(server.requests) == 1


async def test_time_that_runs_out_before_there_is_a_connection(autojump_clock: Clock):
    async with scene(connect_seconds=100) as play:
        asked = play.ask(timeout=1)
        await play.server.accept_silently()
        await trio.sleep(2)
        assert isinstance(asked.error, TimedOut)
        assert not asked.error.maybe_sent


@pytest.mark.parametrize("seconds", [1e-10, 1e-9, 0.0123, 0.999, 1.0, 1.01, 59.9, 4999.0, 1e7])
def test_time_is_told_in_two_digits_and_never_less(seconds: float):
    block = timeout_field(seconds)
    told = parse_timeout(block[block.index(b"grpc-timeout") + 13 :])
    assert told >= min(seconds, 1e7) * 0.999999
    assert told <= max(seconds * 1.1, 1e-9)
    digits = block[block.index(b"grpc-timeout") + 13 : -1].rstrip(b"0")
    assert len(digits) <= 2


# -- Connections that break


async def test_a_call_lost_with_its_connection_says_that_it_may_have_happened():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.request()
        await server.stream.aclose()
        await play.settled()
        error = failure(asked)
        assert str(error) == "error reading from server: EOF"
        assert error.maybe_sent
        assert len(play.server.conversations) == 1, "it must not be tried again"


async def test_a_reset_connection_is_named_so():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.request()
        server.stream.reset()
        await play.settled()
        assert str(failure(asked)) == "error reading from server: connection reset by peer"


async def test_the_next_call_after_a_lost_connection_makes_a_new_one():
    async with scene() as play:
        play.ask()
        server = await play.server.accept()
        await server.request()
        await server.stream.aclose()
        await play.settled()
        asked = play.ask(b"again")
        server = await play.server.accept()
        request = await server.request()
        assert request.message == b"again"
        await server.answer(request, b"answer")
        await play.settled()
        assert asked.result == b"answer"


async def test_a_call_of_which_nothing_has_left_is_tried_again():
    """Its bytes were waiting for the socket when the connection broke."""
    async with scene(settings={WINDOW: 1 << 24}) as play:
        clog = play.ask(bytes(PIPE_BYTES * 2))
        server = await play.server.accept()
        server.h2.increment_flow_control_window(1 << 24)
        await server.flush()
        while play.channel.open_calls == 0:
            await play.settled()
        await play.settled()
        late = play.ask(b"late")
        await play.settled()
        server.stream.reset()
        again = await play.server.accept()
        request = await again.request()
        assert request.message == b"late"
        await again.answer(request, b"answer")
        await play.settled()
        assert late.result == b"answer"
        assert failure(clog).maybe_sent


async def test_a_server_that_breaks_the_rules_is_told_so_and_left():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.request()
        await server.stream.send_all(b"\0\0\x08\x06\0\0\0\0\x01" + bytes(8))  # PING on a stream
        await server.until(lambda: server.goaway is not None)
        assert server.goaway is not None
        assert server.goaway.error_code == Code.PROTOCOL_ERROR
        error = failure(asked)
        assert error.maybe_sent
        assert str(error) == "the server has broken the protocol: PING on a stream"


# -- Servers that go


async def test_a_server_that_goes_away_finishes_what_it_has_seen_and_the_rest_goes_elsewhere():
    async with scene() as play:
        asked = [play.ask(b"%d" % n) for n in range(4)]
        old = await play.server.accept()
        requests = [await old.request() for _ in range(4)]
        await old.say_goodbye(requests[1].stream_id)
        new = await play.server.accept()
        for _ in range(2):
            request = await new.request()
            await new.answer(request, b"new " + request.message)
        for request in requests[:2]:
            await old.answer(request, b"old " + request.message)
        assert not await old.hear(), "a connection without calls is of no use any more"
        await play.settled()
        seen = {request.message for request in requests[:2]}
        for n, one in enumerate(asked):
            message = b"%d" % n
            assert one.result == (b"old " if message in seen else b"new ") + message


async def test_a_goodbye_without_calls_ends_the_connection_and_the_next_call_makes_another():
    async with scene() as play:
        play.ask()
        old = await play.server.accept()
        await old.answer(await old.request(), b"")
        await old.say_goodbye(1)
        assert not await old.hear()
        asked = play.ask()
        new = await play.server.accept()
        await new.answer(await new.request(), b"new")
        await play.settled()
        assert asked.result == b"new"


async def test_a_refused_stream_is_tried_again_but_not_for_ever():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        for _ in range(TRIES):
            assert not asked.is_over
            await server.reset(await server.request(), Code.REFUSED_STREAM)
        await play.settled()
        assert not failure(asked).maybe_sent
        assert len(server.requests) == TRIES


# -- Servers that are not there


async def test_a_server_that_is_not_there_is_reported_as_by_grpc():
    async with scene(listening=False) as play:
        asked = play.ask()
        await play.settled()
        error = failure(asked)
        assert str(error) == (
            'connection error: desc = "transport: Error while dialing: '
            'dial tcp server:2379: connect: connection refused"'
        )
        assert not error.maybe_sent


def test_a_server_may_be_away_for_as_long_as_it_likes():
    rng = random.Random(1)
    pauses = [Backoff().pause(failures, rng) for failures in (1, 10, 100, 10_000, 10_000_000)]
    assert pauses[0] < 0.2
    assert all(4 <= pause <= 6 for pause in pauses[1:])


async def test_pauses_between_attempts_grow_and_calls_meanwhile_fail_at_once(
    autojump_clock: Clock,
):
    backoff = Backoff(first=1.0, factor=2.0, jitter=0.0, most=8.0)
    async with scene(listening=False, backoff=backoff) as play:
        attempts = []
        connect = play.channel._network.connect

        async def counted(address):
            attempts.append(trio.current_time())
            return await connect(address)

        play.channel._network.connect = counted
        for _ in range(400):
            asked = play.ask()
            await trio.sleep(0.1)
            assert not failure(asked).maybe_sent
        gaps = [later - sooner for sooner, later in itertools.pairwise(attempts)]
        assert [round(gap) for gap in gaps[:6]] == [1, 2, 4, 8, 8, 8]


async def test_who_waits_for_ready_waits_and_is_served(autojump_clock: Clock):
    async with scene(listening=False) as play:
        asked = play.ask(wait_for_ready=True)
        await trio.sleep(30)
        assert not asked.is_over
        await play.server.open()
        server = await play.server.accept()
        await server.answer(await server.request(), b"at last")
        await play.settled()
        assert asked.result == b"at last"


async def test_a_server_that_does_not_greet_is_given_up(autojump_clock: Clock):
    async with scene(connect_seconds=5) as play:
        asked = play.ask()
        server = await play.server.accept_silently()
        await server.listen()
        assert trio.current_time() == pytest.approx(5)
        await play.settled()
        assert not failure(asked).maybe_sent
        assert "context deadline exceeded" in str(asked.error)


async def test_a_port_that_speaks_something_else_is_given_up():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept_silently()
        await server.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await server.listen()
        await play.settled()
        assert not failure(asked).maybe_sent


# -- Keep-alive


async def test_a_dead_server_is_noticed(autojump_clock: Clock):
    async with scene(keep_alive=ClientKeepAlive(interval=10, timeout=3)) as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.request()  # and then it hears nothing more
        await trio.sleep(14)
        error = failure(asked)
        assert str(error) == "keepalive ping failed to receive ACK within timeout"
        assert error.maybe_sent


async def test_a_living_server_is_kept(autojump_clock: Clock):
    async with scene(keep_alive=ClientKeepAlive(interval=10, timeout=3)) as play:
        asked = play.ask()
        server = await play.server.accept()
        request = await server.request()
        play.nursery.start_soon(server.listen)
        await trio.sleep(101.5)  # not while a ping is being answered
        assert 7 <= server.pings <= 10
        await server.answer(request, b"late")
        await play.settled()
        assert asked.result == b"late"


@pytest.mark.parametrize(("without_calls", "pings"), [(False, 0), (True, 9)])
async def test_a_connection_without_calls_is_pinged_only_if_wanted(
    without_calls: bool, pings: int, autojump_clock: Clock
):
    policy = ClientKeepAlive(interval=10, timeout=3, without_calls=without_calls)
    async with scene(keep_alive=policy) as play:
        play.ask()
        server = await play.server.accept()
        await server.answer(await server.request(), b"")
        play.nursery.start_soon(server.listen)
        await trio.sleep(95)
        assert server.pings == pings


async def test_silence_counts_from_the_call_that_ends_idleness(autojump_clock: Clock):
    async with scene(keep_alive=ClientKeepAlive(interval=10, timeout=3)) as play:
        play.ask()
        server = await play.server.accept()
        await server.answer(await server.request(), b"")
        play.nursery.start_soon(server.listen)
        await trio.sleep(1000)
        play.ask()
        await trio.sleep(9)
        assert server.pings == 0
        await trio.sleep(2)
        assert server.pings == 1


async def test_a_server_that_finds_pings_too_many_gets_half_as_many(autojump_clock: Clock):
    policy = ClientKeepAlive(interval=10, timeout=3, without_calls=True)
    async with scene(keep_alive=policy) as play:
        play.ask()
        old = await play.server.accept()
        await old.answer(await old.request(), b"")
        await old.say_goodbye(1, Code.ENHANCE_YOUR_CALM, b"too_many_pings")
        await old.listen()
        play.ask()
        new = await play.server.accept()
        await new.answer(await new.request(), b"")
        play.nursery.start_soon(new.listen)
        await trio.sleep(95)
        assert 3 <= new.pings <= 4


# -- Limits


async def test_no_more_calls_are_made_at_once_than_the_server_takes():
    async with scene(settings={MAX_STREAMS: 2}) as play:
        asked = [play.ask(b"%d" % n) for n in range(6)]
        server = await play.server.accept()
        for _ in range(3):
            requests = [await server.request(), await server.request()]
            await play.settled()
            assert len(server.requests) % 2 == 0
            for request in requests:
                await server.answer(request, request.message)
        await play.settled()
        assert [one.result for one in asked] == [b"%d" % n for n in range(6)]


async def test_a_cancelled_call_gives_its_place_to_the_next():
    async with scene(settings={MAX_STREAMS: 1}) as play:
        first = play.ask(b"first")
        server = await play.server.accept()
        await server.request()
        second = play.ask(b"second")
        await play.settled()
        first.scope.cancel()
        request = await server.request()
        assert request.message == b"second"
        await server.answer(request, b"its turn")
        await play.settled()
        assert second.result == b"its turn"


async def test_calls_wait_while_the_socket_takes_nothing():
    big = bytes(100_000)
    async with scene(settings={WINDOW: 1 << 24}) as play:
        play.ask()
        server = await play.server.accept()
        server.h2.increment_flow_control_window(1 << 28)
        await server.answer(await server.request(), b"")
        asked = [play.ask(big) for _ in range(100)]
        await play.settled()
        assert play.channel.open_calls < 5 + OUTPUT_BYTES // len(big) * 2
        for _ in asked:
            await server.answer(await server.request(), b"done")
        await play.settled()
        assert all(one.result == b"done" for one in asked)


# -- The end of the channel


async def test_calls_at_the_end_of_the_channel_are_told():
    async with scene() as play:
        asked = play.ask()
        server = await play.server.accept()
        await server.request()
        play.channel.close()
        server.stream.reset()
        await play.settled()
        assert isinstance(asked.error, ChannelClosed)
        assert asked.error.maybe_sent
        with pytest.raises(ChannelClosed) as error:
            await play.channel.unary(METHOD, b"")
        assert not error.value.maybe_sent


async def test_a_call_that_waits_for_a_connection_ends_with_the_channel():
    async with scene() as play:
        asked = play.ask(wait_for_ready=True)
        await play.server.accept_silently()
        play.channel.close()
        await play.settled()
        assert isinstance(asked.error, ChannelClosed)
