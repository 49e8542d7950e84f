"""What a gRPC client gets from the server: answers, refusals, deadlines, cancellation, counts."""

from __future__ import annotations

import gzip

import pytest
import trio
from google.protobuf.message import DecodeError

from tests.wire.hostile.peer import (
    ECHO,
    HELD,
    STREAM,
    TASK,
    EchoServer,
    attacked,
    block,
    call,
    data,
    headers,
    message,
    raw,
    request_fields,
    rst,
)
from wire.errors import KeyNotProvided, Refused
from wire.grpc.service import Peer, ServerStream, UnaryCall
from wire.invariant import InvariantBroken
from wire.status import Status

UNARY = [ECHO, TASK]
ALL = [ECHO, TASK, STREAM]


def call_with(stream: int, path: str, *extra: tuple[bytes, bytes], body: bytes = b"x") -> bytes:
    fields = block(request_fields(path, *extra))
    return raw(1, 4, stream, fields) + data(stream, message(body))


@pytest.mark.parametrize("path", ALL)
async def test_an_answer_is_headers_a_message_and_trailers(path, autojump_clock):
    """As etcd's: captures of 3.4.23, and nothing that it does not send."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(1, b"hello", path))

        response = await peer.response(1)
        assert response.body == message(b"hello")
        assert response.headers == {
            b":status": b"200",
            b"content-type": b"application/grpc",
            b"grpc-status": b"0",
            b"grpc-message": b"",
        }
        kinds = [type(frame).__name__ for frame in peer.answers() if frame.stream_id == 1]
        assert kinds == ["HeadersFrame", "DataFrame", "HeadersFrame"]


@pytest.mark.parametrize("content_type", [b"application/grpc+proto", b"application/grpc;x=y"])
@pytest.mark.parametrize("path", ALL)
async def test_the_content_type_is_the_clients(path, content_type, autojump_clock):
    fields = [(n, content_type if n == b"content-type" else v) for n, v in request_fields(path)]
    async with attacked() as peer:
        await peer.hello()
        await peer.send(raw(1, 4, 1, block(fields)), data(1, message(b"x")))

        response = await peer.response(1)
        assert response.headers[b"content-type"] == content_type
        assert response.body == message(b"x")
        assert response.status == Status.OK


class Refusing:
    """Refuses every call with the words it is told."""

    def __init__(self, text: str) -> None:
        self.text = text

    def submit(self, calls: list[UnaryCall]) -> None:
        for each in calls:
            each.refuse(Refused(Status.NOT_FOUND, self.text))


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("etcdserver: key is not provided", b"etcdserver: key is not provided"),
        ("100% sure", b"100%25 sure"),
        ("größer\n", b"gr%C3%B6%C3%9Fer%0A"),
        ("", b""),
    ],
)
async def test_a_refusal_is_one_frame_with_the_words_percent_encoded(text, encoded, autojump_clock):
    server = EchoServer()
    server.registry.batch(Refusing(text), "/test.Echo/Refuse")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call(1, path="/test.Echo/Refuse"))

        response = await peer.response(1)
        assert response.status == Status.NOT_FOUND
        assert response.headers[b"grpc-message"] == encoded
        assert len([f for f in peer.answers() if f.stream_id == 1]) == 1


async def test_a_handler_refuses_by_raising(autojump_clock):
    server = EchoServer()

    async def task(call: UnaryCall) -> bytes:
        raise KeyNotProvided

    async def stream(stream: ServerStream) -> None:
        await stream.send(b"one")
        raise KeyNotProvided

    server.registry.unary("/test.Echo/RefuseTask", task)
    server.registry.stream("/test.Echo/RefuseStream", stream, "server_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call(1, path="/test.Echo/RefuseTask"))
        await peer.send(call(3, path="/test.Echo/RefuseStream"))

        assert (await peer.response(1)).text == "etcdserver: key is not provided"
        response = await peer.response(3)
        assert response.body == message(b"one")
        assert response.status == Status.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/test.Echo/Nope", 12, "unknown method Nope for service test.Echo"),
        ("/no.Such/Nope", 12, "unknown service no.Such"),
        ("/foo", 8, 'malformed method name: "/foo"'),
        ("foo", 8, 'malformed method name: "foo"'),
    ],
)
async def test_what_is_not_offered_is_refused_in_grpcs_words(path, status, text, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call(1, path=path))

        response = await peer.response(1)
        assert (response.status, response.text) == (status, text)


# -- Messages


@pytest.mark.parametrize("path", UNARY)
@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "EOF"), (b"\0\0", "unexpected EOF"), (message(b"abc")[:-1], "unexpected EOF")],
)
async def test_a_request_that_is_cut_short_is_refused(body, text, path, autojump_clock):
    """As etcd 3.4.23 and 3.5.1 answer, UNKNOWN for lack of a better status."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path), data(1, body))

        response = await peer.response(1)
        assert (response.status, response.text) == (Status.UNKNOWN, text)


async def test_a_request_of_headers_alone_is_refused(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, end=True))

        assert (await peer.response(1)).text == "EOF"


@pytest.mark.parametrize("path", UNARY)
@pytest.mark.parametrize("more", [b"y", message(b"second")])
async def test_what_follows_the_message_of_a_unary_call_is_ignored(more, path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, path), data(1, message(b"first") + more))

        assert (await peer.response(1)).body == message(b"first")


@pytest.mark.parametrize("path", ALL)
async def test_a_prefix_that_says_too_much_is_refused_at_once(path, autojump_clock):
    """Before any of it has come: a lying length costs the server nothing."""
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            headers(1, path), data(1, b"\0" + (2_097_153).to_bytes(4, "big"), end=False)
        )

        response = await peer.response(1)
        assert response.status == Status.RESOURCE_EXHAUSTED
        assert response.text == "grpc: received message larger than max (2097153 vs. 2097152)"
        await peer.settled()
        assert peer.responses[1].reset == 0  # NO_ERROR: do not go on sending


@pytest.mark.parametrize("path", ALL)
async def test_a_message_of_the_largest_size_fits_through_the_windows(path, autojump_clock):
    body = bytes(range(256)) * 8192
    assert len(body) == 2_097_152
    async with attacked() as peer:
        await peer.hello((4, 1 << 30))
        await peer.send(raw(8, 0, 0, (1 << 30).to_bytes(4, "big")), headers(1, path))
        await peer.upload(1, message(body))

        assert (await peer.response(1)).body == message(body)


@pytest.mark.parametrize("path", ALL)
async def test_gzip_is_understood(path, autojump_clock):
    packed = gzip.compress(b"hello" * 1000)
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            raw(1, 4, 1, block(request_fields(path, (b"grpc-encoding", b"gzip")))),
            data(1, b"\1" + len(packed).to_bytes(4, "big") + packed),
        )

        assert (await peer.response(1)).body == message(b"hello" * 1000)


@pytest.mark.parametrize("path", ALL)
async def test_a_gzip_bomb_is_not_unpacked(path, autojump_clock):
    packed = gzip.compress(bytes(64 << 20))
    async with attacked() as peer:
        await peer.hello()
        await peer.send(raw(1, 4, 1, block(request_fields(path, (b"grpc-encoding", b"gzip")))))
        await peer.upload(1, b"\1" + len(packed).to_bytes(4, "big") + packed)

        response = await peer.response(1)
        assert response.status == Status.RESOURCE_EXHAUSTED
        assert "after decompression larger than max" in response.text


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    ("encoding", "body", "status", "text"),
    [
        (b"snappy", b"\0", 12, 'grpc: Decompressor is not installed for grpc-encoding "snappy"'),
        (b"identity", b"\1", 13, "grpc: compressed flag set with identity or empty encoding"),
        (b"gzip", b"\2", 13, "grpc: received unexpected payload format 2"),
        (b"gzip", b"\1", 13, "grpc: failed to decompress the received message"),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(
    encoding, body, status, text, path, autojump_clock
):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(
            raw(1, 4, 1, block(request_fields(path, (b"grpc-encoding", encoding)))),
            data(1, body + (3).to_bytes(4, "big") + b"abc"),
        )

        response = await peer.response(1)
        assert response.status == status
        assert response.text.startswith(text)


# -- Deadlines and cancellation


@pytest.fixture
def waiting() -> EchoServer:
    """A server with a task and a stream that wait for ever, and say when they are cancelled."""
    server = EchoServer()
    server.cancelled = []

    async def wait(each: UnaryCall | ServerStream) -> bytes:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            server.cancelled.append(each.context.path)
            raise

    server.registry.unary("/test.Echo/WaitTask", wait)
    server.registry.stream("/test.Echo/WaitStream", wait, "bidi_stream")
    return server


WAITING = [HELD, "/test.Echo/WaitTask", "/test.Echo/WaitStream"]


@pytest.mark.parametrize("path", WAITING)
async def test_a_call_ends_at_its_deadline(path, waiting, autojump_clock):
    async with attacked(waiting) as peer:
        await peer.hello()
        began = trio.current_time()
        await peer.send(call_with(1, path, (b"grpc-timeout", b"1500m")))

        response = await peer.response(1)
        assert response.status == Status.DEADLINE_EXCEEDED
        assert response.text == "context deadline exceeded"
        assert trio.current_time() - began == pytest.approx(1.5, abs=0.02)
        assert waiting.cancelled == [path] * (path != HELD)
        assert all(each.closed for each in waiting.held.calls)


async def test_each_of_many_deadlines_is_kept(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        began = trio.current_time()
        ended = {}
        for n, milliseconds in enumerate([500, 300, 900, 100, 700]):
            fields = (b"grpc-timeout", b"%dm" % milliseconds)
            await peer.send(call_with(2 * n + 1, HELD, fields))
        for n, milliseconds in sorted(enumerate([500, 300, 900, 100, 700]), key=lambda p: p[1]):
            await peer.response(2 * n + 1)
            ended[milliseconds] = trio.current_time() - began

        assert ended == {n: pytest.approx(n / 1000, abs=0.02) for n in (100, 300, 500, 700, 900)}


@pytest.mark.parametrize("path", ALL)
async def test_a_timeout_that_has_passed_already_is_answered_at_once(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call_with(1, path, (b"grpc-timeout", b"1n")))

        response = await peer.response(1)
        assert response.status == Status.DEADLINE_EXCEEDED
        assert response.body == b""


@pytest.mark.parametrize("path", ALL)
async def test_a_timeout_that_is_none_is_refused(path, autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(call_with(1, path, (b"grpc-timeout", b"5 x")))

        assert (await peer.response(1)).status == Status.INTERNAL


async def test_a_call_answered_in_time_is_not_answered_again(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call_with(1, HELD, (b"grpc-timeout", b"1S")))
        await peer.settled()
        server.held.calls[0].reply(b"in time")
        await trio.sleep(5)
        await peer.settled()

        assert peer.responses[1].body == message(b"in time")
        assert peer.responses[1].status == Status.OK
        assert server.registry.methods[HELD.encode()].counts.handled == {Status.OK: 1}


@pytest.mark.parametrize("path", WAITING)
async def test_a_reset_ends_the_call_and_nothing_is_answered(path, waiting, autojump_clock):
    async with attacked(waiting) as peer:
        await peer.hello()
        await peer.send(call(1, path=path))
        await peer.settled()
        await peer.send(rst(1))
        await peer.settled()

        for held in waiting.held.calls:
            assert held.closed
            held.reply(b"too late")
        await peer.settled()
        assert waiting.cancelled == [path] * (path != HELD)
        assert 1 not in peer.responses
        counts = waiting.registry.methods[path.encode()].counts
        assert counts.started == 1
        assert counts.handled == {Status.CANCELLED: 1, Status.OK: 0}


@pytest.mark.parametrize("path", WAITING)
async def test_a_client_that_goes_away_ends_its_calls(path, waiting, autojump_clock):
    async with attacked(waiting) as peer:
        await peer.hello()
        await peer.send(call(1, path=path))
        await peer.settled()
        await peer.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()

        assert waiting.cancelled == [path] * (path != HELD)
        assert all(each.closed for each in waiting.held.calls)
        handled = waiting.registry.methods[path.encode()].counts.handled
        assert handled[Status.CANCELLED] == 1


# -- What handlers see


class Recording:
    """Notes every batch it is handed, and lets the connection wait."""

    def __init__(self) -> None:
        self.batches: list[list[UnaryCall]] = []
        self.go_on = trio.Event()

    async def submit_later(self) -> None:
        await self.go_on.wait()

    def submit(self, calls: list[UnaryCall]):
        self.batches.append(calls)
        return self.submit_later()


async def test_calls_of_one_chunk_come_as_one_batch_and_the_connection_waits(autojump_clock):
    server, recording = EchoServer(), Recording()
    server.registry.batch(recording, "/test.Echo/A", "/test.Echo/B")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.settled()
        await peer.send(
            *(call(2 * n + 1, b"%d" % n, f"/test.Echo/{'AB'[n % 2]}") for n in range(10))
        )
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(call(21, b"next", "/test.Echo/A"))
        await trio.testing.wait_all_tasks_blocked()

        assert [[each.payload for each in batch] for batch in recording.batches] == [
            [b"%d" % n for n in range(10)]
        ]
        recording.go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(recording.batches) == 2


async def test_a_call_knows_its_headers_and_its_client(autojump_clock):
    server = EchoServer()
    who = Peer("10.0.0.7:4711", common_name="alice", secure=True)
    async with attacked(server, peer=who) as peer:
        await peer.hello()
        fields = ((b"token", b"abc"), (b"token", b"second"), (b"raw-bin", b"AAH_"[:3] + b"/"))
        await peer.send(call_with(1, HELD, *fields, (b"grpc-timeout", b"2S")))
        await peer.settled()

        [held] = server.held.calls
        assert held.context.metadata["token"] == (b"abc", b"second")
        assert held.context.metadata["raw-bin"] == (b"\x00\x01\xff",)
        assert held.context.peer is who
        assert held.context.path == HELD
        assert held.context.timeout == 2.0
        assert held.deadline == pytest.approx(trio.current_time() + 2, abs=0.1)


class Failing:
    """Fails as no handler should."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def task(self, call: UnaryCall) -> bytes:
        raise self.error

    async def stream(self, stream: ServerStream) -> None:
        raise self.error


@pytest.mark.parametrize("path", ["/test.Echo/FailTask", "/test.Echo/FailStream"])
async def test_a_defect_of_ours_is_answered_without_its_words(path, autojump_clock):
    server, failing = EchoServer(), Failing(KeyError("secret"))
    server.registry.unary("/test.Echo/FailTask", failing.task)
    server.registry.stream("/test.Echo/FailStream", failing.stream, "bidi_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call(1, path=path), call(3))

        response = await peer.response(1)
        assert (response.status, response.text) == (Status.INTERNAL, "internal error")
        assert (await peer.response(3)).status == Status.OK


@pytest.mark.parametrize("path", ["/test.Echo/FailTask", "/test.Echo/FailStream"])
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ExceptionGroup("", [KeyNotProvided()]), 3, "etcdserver: key is not provided"),
        (DecodeError("what?"), 13, "grpc: error unmarshalling request: what?"),
        (ExceptionGroup("", [KeyNotProvided(), KeyError()]), 13, "internal error"),
    ],
)
async def test_what_a_handler_raises_is_told_from_a_defect(
    error, status, text, path, autojump_clock
):
    server, failing = EchoServer(), Failing(error)
    server.registry.unary("/test.Echo/FailTask", failing.task)
    server.registry.stream("/test.Echo/FailStream", failing.stream, "bidi_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call(1, path=path))

        response = await peer.response(1)
        assert (response.status, response.text) == (status, text)


@pytest.mark.parametrize("path", ["/test.Echo/FailTask", "/test.Echo/FailStream"])
async def test_a_broken_invariant_is_not_an_answer(path, autojump_clock):
    broken = ExceptionGroup("", [InvariantBroken("it cannot be", {})])
    server, failing = EchoServer(), Failing(broken)
    server.registry.unary("/test.Echo/FailTask", failing.task)
    server.registry.stream("/test.Echo/FailStream", failing.stream, "bidi_stream")

    async def serve() -> None:
        async with attacked(server) as peer:
            await peer.hello()
            await peer.send(call(1, path=path))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve()
    assert caught.value.subgroup(InvariantBroken) is not None


# -- Streams


async def test_a_stream_may_answer_before_the_client_is_done(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, STREAM))
        for n in range(3):
            await peer.send(data(1, message(b"%d" % n), end=False))
            await peer.until(lambda n=n: peer.bodies(1).endswith(message(b"%d" % n)))
        await peer.send(data(1, b""))

        assert (await peer.response(1)).status == Status.OK


async def test_messages_may_be_cut_anywhere(autojump_clock):
    wire = message(b"one") + message(b"") + message(b"three")
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, STREAM))
        for n in range(0, len(wire), 2):
            await peer.send(data(1, wire[n : n + 2], end=False))
        await peer.send(data(1, b""))

        assert (await peer.response(1)).body == wire


async def test_a_stream_that_ends_inside_a_message_is_refused(autojump_clock):
    async with attacked() as peer:
        await peer.hello()
        await peer.send(headers(1, STREAM), data(1, message(b"one") + b"\0\0"))

        response = await peer.response(1)
        assert response.body == message(b"one")
        assert (response.status, response.text) == (Status.INTERNAL, "unexpected EOF")


async def test_a_handler_that_returns_early_stops_the_client(autojump_clock):
    server = EchoServer()

    async def first(stream: ServerStream) -> None:
        await stream.send(await stream.receive() or b"")

    server.registry.stream("/test.Echo/First", first, "bidi_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1, "/test.Echo/First"), data(1, message(b"a"), end=False))
        await peer.until(lambda: peer.responses.get(1) and peer.responses[1].reset is not None)

        assert peer.responses[1].ended
        assert peer.responses[1].reset == 0  # NO_ERROR
        await peer.send(data(1, message(b"b"), end=False), call(3))
        assert (await peer.response(3)).status == Status.OK


async def test_one_encoding_goes_to_many_streams(autojump_clock):
    server = EchoServer()
    streams: list[ServerStream] = []

    async def subscribe(stream: ServerStream) -> None:
        streams.append(stream)
        await stream.receive()

    server.registry.stream("/test.Echo/Subscribe", subscribe, "bidi_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(*(headers(2 * n + 1, "/test.Echo/Subscribe") for n in range(20)))
        await peer.settled()
        shared = message(b"event")
        for stream in streams:
            stream.send_framed(shared)
        await peer.until(lambda: len(peer.responses) == 20)
        await peer.settled()

        assert {peer.bodies(2 * n + 1) for n in range(20)} == {shared}
        assert all(stream.unsent == 0 for stream in streams)
        assert server.registry.methods[b"/test.Echo/Subscribe"].counts.messages_sent == 20


async def test_a_stream_whose_client_does_not_read_waits_and_the_others_go_on(autojump_clock):
    server = EchoServer()
    sent = 0

    async def pour(stream: ServerStream) -> None:
        nonlocal sent
        while True:
            await stream.send(bytes(10_000))
            sent += 10_000

    server.registry.stream("/test.Echo/Pour", pour, "server_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(raw(8, 0, 0, (1 << 20).to_bytes(4, "big")))
        await peer.send(call(1, path="/test.Echo/Pour"))
        await peer.settled()
        await trio.testing.wait_all_tasks_blocked()

        assert 65535 <= sent < 65535 + 300_000
        assert len(peer.bodies(1)) == 65535
        await peer.send(call(3, b"not me"))
        assert (await peer.response(3)).body == message(b"not me")
        before = sent
        await peer.send(raw(8, 0, 1, (100_000).to_bytes(4, "big")))
        await peer.until(lambda: len(peer.bodies(1)) == 165_535)
        await trio.testing.wait_all_tasks_blocked()
        assert sent > before


async def test_a_deadline_ends_a_stream_that_cannot_send(autojump_clock):
    server = EchoServer()

    async def pour(stream: ServerStream) -> None:
        while True:
            await stream.send(bytes(10_000))

    server.registry.stream("/test.Echo/Pour", pour, "server_stream")
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(call_with(1, "/test.Echo/Pour", (b"grpc-timeout", b"3S")))

        assert (await peer.response(1)).status == Status.DEADLINE_EXCEEDED


# -- Counters


@pytest.mark.parametrize("path", ALL)
async def test_calls_messages_and_bytes_are_counted(path, autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        for n in range(5):
            await peer.send(call(2 * n + 1, b"seven b", path))
            await peer.response(2 * n + 1)

        counts = server.registry.methods[path.encode()].counts
        assert (counts.started, counts.received, counts.messages_sent) == (5, 5, 5)
        assert counts.handled == {Status.OK: 5}
        assert server.registry.received_bytes == 35
        assert server.registry.sent_bytes == 35


async def test_a_refused_call_is_counted_with_its_status(autojump_clock):
    server = EchoServer()
    async with attacked(server) as peer:
        await peer.hello()
        await peer.send(headers(1), data(1, b""))
        await peer.send(headers(3), data(3, b"\0" + (1 << 30).to_bytes(4, "big"), end=False))
        await peer.response(3)

        counts = server.registry.methods[ECHO.encode()].counts
        assert counts.started == 2
        assert counts.handled == {
            Status.UNKNOWN: 1,
            Status.RESOURCE_EXHAUSTED: 1,
            Status.OK: 0,
        }
