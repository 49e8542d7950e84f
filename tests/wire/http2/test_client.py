"""The client's half of a connection: against h2 as the server, and against servers that err."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.hostile.peer import block, raw, rst, window_update
from tests.wire.hostile.peer import settings as settings_frame
from wire.http2.client import (
    CONNECTION_WINDOW,
    STREAM_WINDOW,
    ClientConnection,
    Exchange,
)
from wire.http2.client_sending import CONTROL_FRAMES
from wire.http2.frames import PREFACE, Code, ConnectionFault
from wire.http2.headers import Headers, encode

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/s/m"),
    (b":authority", b"h"),
    (b"te", b"trailers"),
]
BLOCK = encode(REQUEST)
RESPONSE = block([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS = block([(b"grpc-status", b"0")])
END_HEADERS, END_STREAM, PADDED, PRIORITY = 0x4, 0x1, 0x8, 0x20
DATA, HEADERS, CONTINUATION = 0, 1, 9


class Heard(Exchange[Headers]):
    """Writes down what the connection tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[Headers] = []
        self.body = b""
        self.taken = 0
        self.is_ended = False
        self.code: int | None = None
        self.lost: tuple[str, bool] | None = None

    def head(self, head: Headers, ended: bool) -> None:
        self.heads.append(head)
        self.is_ended |= ended

    def data(self, data: bytes, taken: int, ended: bool) -> None:
        self.body += data
        self.taken += taken
        self.is_ended |= ended

    def was_reset(self, code: int) -> None:
        self.code = code

    def was_lost(self, why: str, maybe_sent: bool) -> None:
        self.lost = (why, maybe_sent)


def connection(*server_settings: tuple[int, int]) -> ClientConnection[Headers]:
    """Greeted by its server; what it says from here on is new."""
    made: ClientConnection[Headers] = ClientConnection(lambda headers: headers)
    made.receive(settings_frame(*server_settings))
    made.take()
    return made


def opened(
    made: ClientConnection[Headers], body: bytes = b"", *, end: bool = True, block: bytes = BLOCK
) -> Heard:
    stream = Heard()
    made.open(stream, block, body, end=end)
    return stream


def frames(made: ClientConnection[Headers]) -> list[tuple[int, int, int, bytes]]:
    return list(split_frames(made.take()))


def split_frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each frame."""
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]
        data = data[end:]


# -- With h2 as the server


class Server:
    """h2, which checks every frame of ours by the rules of RFC 9113."""

    def __init__(self, **changes: int) -> None:
        self.client: ClientConnection[Headers] = ClientConnection(lambda headers: headers)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.h2.initiate_connection()
        if changes:
            codes = {getattr(h2.settings.SettingCodes, name): n for name, n in changes.items()}
            self.h2.update_settings(codes)
        self.requests: dict[int, bytes] = {}
        self.headers: dict[int, list[Any]] = {}
        self.ended: set[int] = set()
        self.events: list[h2.events.Event] = []
        self.pump()

    def pump(self, *, piece: int = 1 << 20, acknowledge: bool = True) -> None:
        """Carry bytes both ways until nobody has anything to say."""
        while True:
            said, told = self.client.take(), self.h2.data_to_send()
            if not said and not told:
                return
            for at in range(0, len(said), piece):
                for event in self.h2.receive_data(said[at : at + piece]):
                    self._note(event, acknowledge)
            for at in range(0, len(told), piece):
                self.client.receive(told[at : at + piece])

    def _note(self, event: h2.events.Event, acknowledge: bool) -> None:
        self.events.append(event)
        match event:
            case h2.events.RequestReceived():
                self.requests[event.stream_id] = b""
                self.headers[event.stream_id] = event.headers
            case h2.events.DataReceived():
                self.requests[event.stream_id] += event.data
                if acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended.add(event.stream_id)

    def answer(self, stream_id: int, body: bytes) -> None:
        self.h2.send_headers(
            stream_id, [(b":status", b"200"), (b"content-type", b"application/grpc")]
        )
        at = 0
        while at < len(body):
            window = self.h2.local_flow_control_window(stream_id)
            size = min(window, self.h2.max_outbound_frame_size, len(body) - at)
            assert size > 0, "the client has given no window back"
            self.h2.send_data(stream_id, body[at : at + size])
            at += size
            self.pump()
        self.h2.send_headers(stream_id, [(b"grpc-status", b"0")], end_stream=True)
        self.pump()


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_call_goes_there_and_back_in_pieces_of_any_size(piece: int):
    server = Server()
    stream = opened(server.client, b"request")
    server.pump(piece=piece)
    assert server.headers[1] == REQUEST
    assert server.requests == {1: b"request"}
    assert server.ended == {1}
    server.h2.send_headers(1, [(b":status", b"200"), (b"x", b"y" * 100)])
    server.h2.send_data(1, b"answer")
    server.h2.send_headers(1, [(b"grpc-status", b"0")], end_stream=True)
    server.pump(piece=piece)
    assert stream.heads == [((b":status", b"200"), (b"x", b"y" * 100)), ((b"grpc-status", b"0"),)]
    assert stream.body == b"answer"
    assert stream.is_ended
    assert server.client.streams == {}


def test_thousands_of_streams_share_a_connection():
    server = Server(MAX_CONCURRENT_STREAMS=2000)
    streams = [opened(server.client, b"%d" % n) for n in range(2000)]
    server.pump()
    for stream in random.Random(1).sample(streams, len(streams)):
        server.answer(stream.stream_id, b"answer to " + server.requests[stream.stream_id])
    assert all(stream.is_ended for stream in streams)
    assert [stream.body for stream in streams] == [b"answer to %d" % n for n in range(2000)]


def test_a_large_answer_is_taken_as_windows_are_given_back():
    server = Server()
    stream = opened(server.client)
    received = 0

    def data(data: bytes, taken: int, ended: bool) -> None:
        nonlocal received
        received += len(data)
        server.client.give_back(stream, taken)

    stream.data = data  # type: ignore[method-assign]
    server.pump()
    body = bytes(2 * CONNECTION_WINDOW)
    server.answer(1, body)
    assert received == len(body)


def test_an_answer_nobody_takes_holds_up_its_own_stream_only():
    server = Server()
    opened(server.client)
    server.pump()
    server.h2.send_headers(1, [(b":status", b"200")])
    while (window := server.h2.local_flow_control_window(1)) > 0:
        server.h2.send_data(1, bytes(min(window, 16384)))
        server.pump()
    assert server.h2.outbound_flow_control_window > CONNECTION_WINDOW // 2
    other = opened(server.client)
    server.pump()
    server.answer(3, b"not held up")
    assert other.body == b"not held up"


@pytest.mark.parametrize("initial_window", [0, 1, 100, 65535])
def test_a_large_request_follows_the_windows(initial_window: int):
    server = Server(INITIAL_WINDOW_SIZE=initial_window)
    body = random.Random(2).randbytes(300_000 if initial_window != 1 else 300)
    opened(server.client, body)
    server.pump()
    if not initial_window:
        assert server.requests == {1: b""}
        server.h2.increment_flow_control_window(1 << 20, 1)
        server.pump()
    assert server.requests == {1: body}
    assert server.ended == {1}


def test_requests_that_wait_for_windows_take_turns():
    server = Server(INITIAL_WINDOW_SIZE=1 << 20)
    for _ in range(2):
        opened(server.client, bytes(60_000))
    server.pump(acknowledge=False)  # 65535 bytes of the connection's window
    sizes = [len(body) for body in server.requests.values()]
    assert sum(sizes) == 65535
    server.h2.increment_flow_control_window(20_000)
    server.pump(acknowledge=False)
    assert all(len(body) > size for size, body in zip(sizes[1:], [server.requests[3]], strict=True))
    server.h2.increment_flow_control_window(1 << 20)
    server.pump(acknowledge=False)
    assert [len(body) for body in server.requests.values()] == [60_000, 60_000]
    assert server.ended == {1, 3}


def test_a_changed_initial_window_moves_open_streams():
    server = Server(INITIAL_WINDOW_SIZE=0)
    opened(server.client, b"x" * 10)
    server.pump()
    server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 4})
    server.pump(acknowledge=False)
    assert server.requests == {1: b"xxxx"}
    server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2})  # now -2
    server.pump(acknowledge=False)
    server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    server.pump(acknowledge=False)
    assert server.requests == {1: b"x" * 10}


def test_a_streams_messages_and_end_may_come_later():
    server = Server()
    stream = opened(server.client, end=False)
    server.pump()
    assert server.ended == set()
    for message in b"one", b"two":
        server.client.sender.send(stream, message, end=False)
        server.pump()
    server.client.sender.send(stream, b"", end=True)
    server.pump()
    assert server.requests == {1: b"onetwo"}
    assert server.ended == {1}


def test_a_block_larger_than_a_frame_is_continued():
    server = Server(MAX_HEADER_LIST_SIZE=1 << 20)
    long = [*REQUEST, (b"token", b"t" * 40_000)]
    opened(server.client, b"body", block=encode(long))
    server.pump()
    assert server.headers[1] == long
    assert server.requests == {1: b"body"}


def test_frames_are_as_large_as_the_server_takes_them():
    server = Server(MAX_FRAME_SIZE=1 << 20, INITIAL_WINDOW_SIZE=1 << 20)
    server.h2.increment_flow_control_window(1 << 20)
    server.pump()
    opened(server.client, bytes(100_000))
    server.pump()
    [data] = [one for one in server.events if isinstance(one, h2.events.DataReceived)]
    assert len(data.data) == 100_000


def test_a_server_that_changes_its_header_table_is_told_that_ours_fits():
    server = Server(HEADER_TABLE_SIZE=0)
    opened(server.client, b"first")
    opened(server.client, b"second")
    server.pump()
    assert server.headers == {1: REQUEST, 3: REQUEST}
    made = connection((1, 0))
    opened(made)
    opened(made)
    [first, _, second, _] = frames(made)
    assert first[3] == b"\x20" + BLOCK
    assert second[3] == BLOCK


def test_a_cancelled_stream_is_reset_once_and_its_rest_ignored():
    server = Server()
    stream = opened(server.client, b"request")
    server.pump()
    server.h2.send_headers(1, [(b":status", b"200"), (b"new", b"entry in the table")])
    server.client.reset(stream)
    server.client.reset(stream)
    server.h2.send_data(1, bytes(1000))
    server.pump()
    resets = [one for one in server.events if isinstance(one, h2.events.StreamReset)]
    assert [(one.stream_id, one.error_code) for one in resets] == [(1, Code.CANCEL)]
    assert stream.heads == []
    assert server.client.streams == {}
    # What came for it changed the header table all the same.
    other = opened(server.client)
    server.pump()
    server.h2.send_headers(3, [(b":status", b"200"), (b"new", b"entry in the table")])
    server.pump()
    assert other.heads == [((b":status", b"200"), (b"new", b"entry in the table"))]


def test_what_came_for_a_stream_that_is_over_does_not_shrink_the_connections_window():
    server = Server()
    for _ in range(40):
        stream = opened(server.client)
        server.pump()
        server.client.reset(stream)
        sent = server.h2.streams[stream.stream_id]
        server.h2.send_headers(stream.stream_id, [(b":status", b"200")])
        for _ in range(60):
            server.h2.send_data(stream.stream_id, bytes(16384))
        del sent
        server.pump()
    assert server.h2.outbound_flow_control_window > CONNECTION_WINDOW // 2


def test_an_answer_before_the_request_is_over_stops_the_request():
    server = Server(INITIAL_WINDOW_SIZE=10)
    stream = opened(server.client, bytes(100))
    server.pump(acknowledge=False)
    server.h2.send_headers(1, [(b":status", b"200"), (b"grpc-status", b"8")], end_stream=True)
    server.pump(acknowledge=False)
    assert stream.is_ended
    resets = [one for one in server.events if isinstance(one, h2.events.StreamReset)]
    assert [one.error_code for one in resets] == [Code.NO_ERROR]
    assert server.client.sender.take() == b""


def test_pings_are_answered_and_counted():
    server = Server()
    server.h2.ping(b"12345678")
    server.client.ping(b"87654321")
    server.pump()
    acks = [one for one in server.events if isinstance(one, h2.events.PingAckReceived)]
    assert [one.ping_data for one in acks] == [b"12345678"]
    assert server.client.pongs == 1


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_whatever_the_sizes_h2_finds_no_fault_and_every_byte_arrives(data: st.DataObject):
    """Requests of any size, windows of any size, changed at any time, streams cancelled."""
    server = Server(
        INITIAL_WINDOW_SIZE=data.draw(st.one_of(st.just(0), st.integers(1000, 40_000))),
        MAX_FRAME_SIZE=data.draw(st.integers(16_384, 40_000)),
    )
    expected: dict[int, bytes] = {}
    alive: list[Heard] = []
    for step in data.draw(
        st.lists(st.sampled_from(["open", "cancel", "window", "initial"]), max_size=12)
    ):
        if step == "open":
            body = bytes([len(expected)]) * data.draw(st.integers(0, 30_000))
            stream = opened(server.client, body)
            expected[stream.stream_id] = body
            alive.append(stream)
        elif step == "cancel" and alive:
            stream = alive.pop(data.draw(st.integers(0, len(alive) - 1)))
            server.client.reset(stream)
            del expected[stream.stream_id]
        elif step == "window":
            server.h2.increment_flow_control_window(data.draw(st.integers(1, 50_000)))
        else:
            size = data.draw(st.one_of(st.just(0), st.integers(1000, 40_000)))
            server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
        server.pump(piece=data.draw(st.integers(100, 50_000)))
    server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
    server.h2.increment_flow_control_window(1 << 24)
    server.pump()
    assert {one: server.requests[one] for one in expected} == expected
    assert server.ended >= set(expected)


# -- Frames as only other servers send them


def test_padding_and_priority_are_taken_off_and_counted():
    made = connection()
    stream = opened(made)
    padded = b"\x03" + RESPONSE + bytes(3)
    made.receive(raw(HEADERS, END_HEADERS | PADDED, 1, padded))
    made.receive(raw(DATA, PADDED, 1, b"\x02" + b"data" + bytes(2)))
    made.receive(raw(HEADERS, END_HEADERS | END_STREAM | PRIORITY, 1, bytes(5) + TRAILERS))
    assert stream.body == b"data"
    assert stream.taken == 7
    assert stream.heads[1] == ((b"grpc-status", b"0"),)
    assert stream.is_ended


def test_a_header_block_may_come_in_many_frames():
    made = connection()
    stream = opened(made)
    made.receive(raw(HEADERS, END_STREAM, 1, RESPONSE[:3]))
    made.receive(raw(CONTINUATION, 0, 1, RESPONSE[3:9]))
    assert stream.heads == []
    made.receive(raw(CONTINUATION, END_HEADERS, 1, RESPONSE[9:]))
    assert stream.heads[0][0] == (b":status", b"200")
    assert stream.is_ended


def test_frames_of_unknown_type_and_settings_of_unknown_name_are_ignored():
    made = connection((0xABC, 7))
    stream = opened(made)
    made.receive(raw(0xEE, 0xFF, 1, b"?") + raw(0xEE, 0, 0, b"") + raw(2, 0, 1, bytes(5)))
    made.receive(raw(HEADERS, END_HEADERS, 1 | 1 << 31, RESPONSE))  # the reserved bit
    assert stream.heads[0][0] == (b":status", b"200")


def test_a_stream_reset_by_the_server_is_told_why():
    made = connection((4, 2))
    stream = opened(made, b"request")
    made.take()
    made.receive(rst(1, Code.REFUSED_STREAM))
    assert stream.code == Code.REFUSED_STREAM
    assert made.streams == {}
    made.receive(window_update(1, 100))  # too late
    assert made.take() == b""


@pytest.mark.parametrize(
    ("increment", "code"),
    [(0, Code.PROTOCOL_ERROR), (0x7FFFFFFF, Code.FLOW_CONTROL_ERROR)],
)
def test_a_wrong_window_of_a_stream_ends_that_stream(increment: int, code: Code):
    made = connection()
    stream = opened(made, b"x", end=False)
    made.take()
    made.receive(window_update(1, increment))
    assert stream.code == code
    assert frames(made) == [(3, 0, 1, code.to_bytes(4, "big"))]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (raw(4, 0, 1), Code.PROTOCOL_ERROR),
        (raw(4, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
        (raw(4, 1, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
        (settings_frame((2, 1)), Code.PROTOCOL_ERROR),
        (settings_frame((4, 1 << 31)), Code.FLOW_CONTROL_ERROR),
        (settings_frame((5, 16383)), Code.PROTOCOL_ERROR),
        (settings_frame((5, 1 << 24)), Code.PROTOCOL_ERROR),
        (raw(6, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (raw(6, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (raw(7, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (raw(7, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (raw(8, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
        (window_update(0, 0), Code.PROTOCOL_ERROR),
        (window_update(0, 0x7FFFFFFF), Code.FLOW_CONTROL_ERROR),
        (window_update(5, 1), Code.PROTOCOL_ERROR),
        (window_update(2, 1), Code.PROTOCOL_ERROR),
        (raw(3, 0, 1, bytes(3)), Code.FRAME_SIZE_ERROR),
        (rst(0), Code.PROTOCOL_ERROR),
        (rst(5), Code.PROTOCOL_ERROR),
        (raw(2, 0, 1, bytes(4)), Code.FRAME_SIZE_ERROR),
        (raw(5, 4, 1, bytes(4)), Code.PROTOCOL_ERROR),
        (raw(CONTINUATION, 4, 1), Code.PROTOCOL_ERROR),
        (raw(DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
        (raw(DATA, 0, 5, b"x"), Code.PROTOCOL_ERROR),
        (raw(DATA, PADDED, 1), Code.FRAME_SIZE_ERROR),
        (raw(DATA, PADDED, 1, b"\x05abc"), Code.PROTOCOL_ERROR),
        (raw(HEADERS, END_HEADERS, 0, RESPONSE), Code.PROTOCOL_ERROR),
        (raw(HEADERS, END_HEADERS, 5, RESPONSE), Code.PROTOCOL_ERROR),
        (raw(HEADERS, END_HEADERS, 1, b"\xff\xff\xff"), Code.COMPRESSION_ERROR),
        (raw(HEADERS, 0, 1, RESPONSE) + raw(6, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
        (raw(HEADERS, 0, 1, RESPONSE) + raw(DATA, 0, 1), Code.PROTOCOL_ERROR),
        (raw(HEADERS, 0, 1) + raw(CONTINUATION, 0, 3), Code.PROTOCOL_ERROR),
        (raw(HEADERS, 0, 1) + raw(CONTINUATION, 0, 1) * 100, Code.ENHANCE_YOUR_CALM),
        (raw(DATA, 0, 1, b"", size=16385), Code.FRAME_SIZE_ERROR),
    ],
)
def test_a_server_that_breaks_a_rule_is_told_which(said: bytes, code: Code):
    made = connection()
    opened(made)
    made.take()
    with pytest.raises(ConnectionFault) as fault:
        made.receive(said)
    assert fault.value.code == code
    made.fail(fault.value)
    goaway = frames(made)[-1]
    assert goaway[0] == 7
    assert int.from_bytes(goaway[3][4:8], "big") == code


def test_the_first_frame_must_be_settings():
    made: ClientConnection[Headers] = ClientConnection(lambda headers: headers)
    with pytest.raises(ConnectionFault):
        made.receive(raw(6, 0, 0, bytes(8)))


def test_more_data_than_the_window_allows_is_a_fault():
    made = connection()
    opened(made)
    full = raw(DATA, 0, 1, bytes(16384))
    for _ in range(STREAM_WINDOW // 16384):
        made.receive(full)
    with pytest.raises(ConnectionFault) as fault:
        made.receive(raw(DATA, 0, 1, b"x"))
    assert fault.value.code == Code.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("flood", [raw(6, 0, 0, bytes(8)), settings_frame()])
def test_a_server_that_asks_and_does_not_listen_is_given_up(flood: bytes):
    made = connection()
    for _ in range(2):  # as long as it reads, it may
        for _ in range(CONTROL_FRAMES):
            made.receive(flood)
        made.take()
    for _ in range(CONTROL_FRAMES):
        made.receive(flood)
    with pytest.raises(ConnectionFault):
        made.receive(flood)


def test_a_header_bomb_is_refused():
    encoder = hpack.Encoder()
    big = encoder.encode([(b"x", b"y" * 3000)])
    made = connection()
    opened(made)
    made.receive(raw(HEADERS, END_HEADERS, 1, RESPONSE + big))
    again = encoder.encode([(b"x", b"y" * 3000)])
    with pytest.raises(ConnectionFault):
        made.receive(raw(HEADERS, END_HEADERS, 1, again * 1000))


# -- What may have been sent


def test_a_stream_is_maybe_sent_from_the_moment_its_bytes_are_taken():
    made = connection()
    first = opened(made)
    assert not made.maybe_sent(first)
    made.take()
    second = opened(made)
    made.lose("gone")
    assert first.lost == ("gone", True)
    assert second.lost == ("gone", False)
    assert made.streams == {}


def test_streams_after_the_last_that_a_goaway_names_were_not_looked_at():
    made = connection()
    first, second = opened(made), opened(made)
    made.take()
    assert made.is_accepting
    made.receive(raw(7, 0, 0, (1).to_bytes(4, "big") + bytes(4) + b"bye"))
    assert first.lost is None
    assert second.lost is not None
    assert not second.lost[1]
    assert not made.is_accepting
    assert not made.has_room
    assert made.goaway is not None
    assert made.goaway.text == "bye"
    made.receive(raw(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS))
    assert first.is_ended


def test_a_graceful_goaway_names_the_last_stream_later():
    made = connection()
    first, second = opened(made), opened(made)
    made.take()
    made.receive(raw(7, 0, 0, (0x7FFFFFFF).to_bytes(4, "big") + bytes(4)))
    assert second.lost is None
    made.receive(raw(7, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    assert first.lost is None
    assert second.lost is not None
    with pytest.raises(ConnectionFault):
        made.receive(raw(7, 0, 0, (3).to_bytes(4, "big") + bytes(4)))


def test_there_is_room_for_as_many_streams_as_the_server_says():
    made = connection((3, 2))
    first = opened(made)
    assert made.places == 1
    opened(made)
    assert not made.has_room
    assert made.is_accepting
    made.reset(first)
    assert made.has_room
    made.receive(settings_frame((3, 0)))
    assert made.places == 0


def test_the_greeting_forbids_pushes():
    made: ClientConnection[Headers] = ClientConnection(lambda headers: headers)
    said = made.take()
    assert said.startswith(PREFACE)
    [first, update] = split_frames(said[len(PREFACE) :])
    assert first[0] == 4
    assert first[3].startswith(b"\x00\x02\x00\x00\x00\x00")
    assert update[:3] == (8, 0, 0)


# -- Anything at all


def frames_of(rng: random.Random) -> Iterator[bytes]:
    """Frames that are nearly right."""
    makers: list[Callable[[], bytes]] = [
        lambda: raw(HEADERS, rng.choice([4, 5, 0, 1, 12, 0x24]), rng.choice([1, 3, 5]), RESPONSE),
        lambda: raw(HEADERS, 5, rng.choice([1, 3]), TRAILERS),
        lambda: raw(DATA, rng.choice([0, 1, 8]), rng.choice([1, 3, 7]), rng.randbytes(40)),
        lambda: rst(rng.choice([0, 1, 3, 9]), rng.randrange(20)),
        lambda: window_update(rng.choice([0, 1, 3]), rng.randrange(1 << 31)),
        lambda: settings_frame((rng.randrange(8), rng.randrange(1 << 32))),
        lambda: raw(6, rng.randrange(2), 0, bytes(8)),
        lambda: raw(7, 0, 0, rng.randrange(9).to_bytes(4, "big") + bytes(4)),
        lambda: raw(rng.randrange(12), rng.randrange(256), rng.randrange(6), rng.randbytes(9)),
        lambda: rng.randbytes(rng.randrange(30)),
    ]
    while True:
        yield rng.choice(makers)()


@pytest.mark.parametrize("seed", range(300))
def test_no_bytes_do_worse_than_a_fault(seed: int):
    rng = random.Random(seed)
    made = connection()
    streams = [opened(made, bytes(rng.randrange(100_000)), end=rng.random() < 0.8)]
    try:
        for said, _ in zip(frames_of(rng), range(60), strict=False):
            made.receive(said)
            if rng.random() < 0.2 and made.has_room:
                streams.append(opened(made))
            if rng.random() < 0.1:
                made.reset(rng.choice(streams))
            made.take()
    except ConnectionFault as fault:
        made.fail(fault)
    made.lose("over")
    for stream in streams:
        assert stream.stream_id not in made.streams
