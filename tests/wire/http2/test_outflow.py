"""Who sends next, and how much, when not everything can be sent at once."""

from __future__ import annotations

import random
from collections import deque

import h2.config
import h2.connection
import pytest

from wire.http2.outflow import Line, Piece


class Flow:
    """An outflow whose window is a number."""

    def __init__(self, stream_id: int, window: int = 1 << 20) -> None:
        self.stream_id = stream_id
        self.pieces: deque[Piece] = deque()
        self.size = 0
        self.window = window
        self.begun = 0
        self.got = 0

    def charge(self, count: int) -> None:
        self.window -= count

    def begin(self, output: list[Piece]) -> None:
        self.begun += 1

    def sent(self, count: int, output: list[Piece]) -> None:
        self.got += count


@pytest.fixture
def connection() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.outbound_flow_control_window = 1 << 20
    connection.max_outbound_frame_size = 100
    return connection


@pytest.fixture
def line(connection: h2.connection.H2Connection) -> Line:
    return Line(connection)


def frames(output: list[Piece]) -> list[tuple[int, bytes]]:
    """(stream, data) of every DATA frame put out."""
    data, found = b"".join(output), []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        found.append((int.from_bytes(data[5:9], "big"), data[9:end]))
        data = data[end:]
    return found


def test_streams_send_a_frame_each_in_turn(line: Line) -> None:
    for stream in (1, 3, 5):
        line.add(Flow(stream), b"x" * 150)
    output: list[Piece] = []
    line.pump(10_000, output)

    sizes = [(stream, len(data)) for stream, data in frames(output)]
    assert sizes == [(1, 100), (3, 100), (5, 100), (1, 50), (3, 50), (5, 50)]
    assert line.size == len(line) == 0


def test_small_pieces_share_a_frame_and_large_ones_are_cut(line: Line) -> None:
    flow = Flow(1)
    for piece in (b"ab", b"cd", b"e" * 250):
        line.add(flow, piece)
    output: list[Piece] = []

    assert line.pump(10_000, output) == 3
    assert [data for _, data in frames(output)] == [b"abcd" + b"e" * 96, b"e" * 100, b"e" * 54]


def test_a_burst_ends_soon_after_it_is_large_enough(line: Line) -> None:
    line.add(Flow(1), b"x" * 1000)
    output: list[Piece] = []

    assert line.pump(250, output) == 3
    assert line.size == 700


def test_a_stream_whose_window_is_shut_lets_the_others_pass(line: Line) -> None:
    shut, other = Flow(1, window=30), Flow(3)
    line.add(shut, b"x" * 100)
    line.add(other, b"y" * 100)
    output: list[Piece] = []
    line.pump(10_000, output)
    assert (shut.got, other.got) == (30, 100)
    assert not line
    assert len(line) == 1

    shut.window = 1000
    line.window_opened(1)
    line.pump(10_000, output)
    assert shut.got == 100


def test_the_connections_window_stops_them_all(
    line: Line, connection: h2.connection.H2Connection
) -> None:
    connection.outbound_flow_control_window = 120
    flows = [Flow(1), Flow(3)]
    for flow in flows:
        line.add(flow, b"x" * 100)
    line.pump(10_000, [])

    assert [flow.got for flow in flows] == [100, 20]
    assert line.size == 80
    assert connection.outbound_flow_control_window == 0


def test_what_is_dropped_is_not_sent(line: Line) -> None:
    line.add(Flow(1), b"x" * 100)
    line.add(Flow(3), b"y" * 100)

    assert line.drop(1)
    assert not line.drop(1)
    output: list[Piece] = []
    line.pump(10_000, output)
    assert [stream for stream, _ in frames(output)] == [3]
    assert line.size == 0


def test_nothing_is_lost_or_reordered_whatever_the_windows_do(
    line: Line, connection: h2.connection.H2Connection
) -> None:
    for seed in range(50):
        rng = random.Random(seed)
        flows = {stream: Flow(stream, window=0) for stream in (1, 3, 5)}
        wanted = dict.fromkeys(flows, b"")
        output: list[Piece] = []
        connection.outbound_flow_control_window = 0
        for _ in range(200):
            stream = rng.choice(list(flows))
            if rng.random() < 0.3:
                piece = rng.randbytes(rng.randrange(300))
                wanted[stream] += piece
                line.add(flows[stream], piece)
            elif rng.random() < 0.5:
                flows[stream].window += rng.randrange(200)
                line.window_opened(stream)
            else:
                connection.outbound_flow_control_window += rng.randrange(200)
            line.pump(rng.randrange(500), output)
            assert line.size == sum(flow.size for flow in flows.values())
        for flow in flows.values():
            flow.window = 1 << 20
        line.windows_changed()
        connection.outbound_flow_control_window = 1 << 20
        line.pump(1 << 20, output)
        got = dict.fromkeys(flows, b"")
        for stream, data in frames(output):
            got[stream] += data
        assert got == wanted
