"""The lane and h2 together, against h2 alone: for any bytes they agree.

On what was asked: the same requests, headers, bodies and resets on every stream.  And on who is
at fault: if h2 alone ends the connection, so do they, or they end the stream at fault, which
RFC 9113 often prefers; if h2 alone goes on, so do they, but for the rules in `STRICTER`.
A failure prints its seed and the bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
import pytest

from tests.wire.hostile.peer import (
    PREFACE,
    block,
    message,
    raw,
    request_fields,
)
from wire.grpc.service import Peer, Registry, ServerStream, UnaryCall
from wire.http2.frames import ConnectionFault
from wire.http2.headers import MAX_LIST_BYTES
from wire.http2.lane import Lane
from wire.http2.limits import Limits
from wire.status import Status

LANE, STREAM = "/test.Echo/Batch", "/test.Echo/Bidi"
LIMITS = Limits(control_frames=10_000, resets=10_000)
SEEDS = 300  # connections of each wildness; 2 ms each
STEPS = 60  # frames of one


class Silent:
    """Takes calls and never answers, as h2 alone does."""

    def submit(self, calls: list[UnaryCall]) -> None:
        pass


async def _never(stream: ServerStream) -> None:
    pass


@dataclass
class Outcome:
    """What one implementation made of the bytes."""

    asked: dict[int, list[object]] = field(default_factory=dict)  # by stream, in order
    resets: set[int] = field(default_factory=set)  # by the server, for breaking a rule
    answered: set[int] = field(default_factory=set)  # by the lane, before they were calls
    ended: str = ""  # why the server ended the connection
    fault_stream: int = 0  # of the frame that ended it
    taken: int = 0  # bytes up to the end of that frame

    def note(self, stream: int, what: object) -> None:
        known = self.asked.setdefault(stream, [])
        if isinstance(what, bytes) and known and isinstance(known[-1], bytes):
            known[-1] += what  # it does not matter how DATA was cut
        elif what != b"":
            known.append(what)


def plain(data: bytes) -> Outcome:
    """h2 alone, given a frame at a time, so that what came before a fault is seen."""
    outcome = Outcome()
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, header_encoding=None)
    )
    codes = h2.settings.SettingCodes
    connection.local_settings = h2.settings.Settings(
        client=False,
        initial_values={
            codes.MAX_CONCURRENT_STREAMS: 1000,
            codes.INITIAL_WINDOW_SIZE: LIMITS.stream_window,
            codes.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        },
    )
    connection.decoder.max_header_list_size = MAX_LIST_BYTES
    connection.initiate_connection()
    connection.increment_flow_control_window(LIMITS.connection_window - 65535)
    for stream, frame in frames_of(data):
        outcome.taken += len(frame)
        try:
            for event in connection.receive_data(frame):
                note_event(outcome, event)
        except h2.exceptions.ProtocolError as error:
            outcome.ended, outcome.fault_stream = repr(error), stream
            break
    return outcome


def frames_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The preface and then each whole frame, with its stream."""
    yield 0, data[: len(PREFACE)]
    at = len(PREFACE)
    while at + 9 <= len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        frame = bytearray(data[at:end])
        if frame[3] == 8 and len(frame) == 13:
            frame[9] &= 0x7F  # a reserved bit, RFC 9113 §6.9, that h2 takes for a number's
        yield int.from_bytes(frame[5:9], "big") & 0x7FFF_FFFF, bytes(frame)
        at = end


def note_event(outcome: Outcome, event: h2.events.Event) -> None:
    match event:
        case h2.events.RequestReceived(stream_id=stream, headers=headers):
            outcome.note(stream, tuple(tuple(pair) for pair in headers))
        case h2.events.DataReceived(stream_id=stream, data=data):
            outcome.note(stream, bytes(data))
        case h2.events.StreamEnded(stream_id=stream):
            outcome.note(stream, "end")
        case h2.events.StreamReset(stream_id=stream, remote_reset=True):
            outcome.note(stream, "reset")
        case h2.events.StreamReset(stream_id=stream):
            outcome.resets.add(stream)


def laned(data: bytes, cuts: list[int]) -> Outcome:
    """The lane, with h2 behind it; h2's events, and what the lane keeps to itself."""
    outcome = Outcome()
    registry = Registry()
    silent = Silent()
    registry.batch(silent, LANE)
    registry.stream(STREAM, _never, "bidi_stream")
    lane = Lane(registry, LIMITS, Peer(), silent)
    lane.replies.take(1)
    watch(lane, outcome)
    try:
        for chunk in chunks(data, cuts):
            lane.receive(chunk)
            more = True
            while more:
                more = lane.step(0.0)
                for event in lane.owner.events:
                    note_event(outcome, event)
                for basket in lane.requests.ready:
                    basket.calls = []
                lane.requests.ready.clear()
    except ConnectionFault as fault:
        outcome.ended = fault.why
    for stream, code in reset_frames(lane.replies.take(1)):
        if code != 0:
            outcome.resets.add(stream)
    return outcome


def watch(lane: Lane, outcome: Outcome) -> None:
    """Note what the lane does with its own streams, at the places where it does it."""
    requests, replies = lane.requests, lane.replies
    uploads, open_calls = requests.uploads, replies.open

    class Uploads(dict):
        def __setitem__(self, stream, value):
            if stream not in self and stream not in outcome.asked:
                outcome.note(stream, "lane")
            super().__setitem__(stream, value)

    requests.uploads = Uploads(uploads)

    class Open(dict):
        def __setitem__(self, stream, call):
            outcome.note(stream, ("call", call.payload))
            super().__setitem__(stream, call)

    replies.open = Open(open_calls)
    peer_reset, put_status = requests.peer_reset, replies.put_status

    def noted_status(stream: int, status: Status, text: str) -> None:
        outcome.answered.add(stream)
        put_status(stream, status, text)

    replies.put_status = noted_status

    def noted_reset(stream: int) -> None:
        outcome.note(stream, "reset")
        peer_reset(stream)

    requests.peer_reset = noted_reset


def chunks(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        if cut > at:
            yield data[at:cut]
            at = cut


def reset_frames(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 9 <= len(data):
        length, kind = int.from_bytes(data[at : at + 3], "big"), data[at + 3]
        if kind == 3:
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            yield stream, int.from_bytes(data[at + 9 : at + 13], "big")
        at += 9 + length


def whole_message(body: bytes) -> bytes | None:
    if len(body) < 5 or body[0] or len(body) - 5 < int.from_bytes(body[1:5], "big"):
        return None
    return body[5 : 5 + int.from_bytes(body[1:5], "big")]


def same_request(theirs: list[object], ours: list[object]) -> bool:
    """Whether h2's view of a stream and the lane's are of the same request."""
    if ours[:1] != ["lane"]:
        return theirs == ours
    body = b"".join(part for part in theirs if isinstance(part, bytes))
    ended, was_reset = "end" in theirs, "reset" in theirs
    calls = [part[1] for part in ours if isinstance(part, tuple)]
    if calls:
        return ended and calls == [whole_message(body)] and ("reset" in ours) == was_reset
    return not ended or whole_message(body) is None or was_reset


class Generator:
    """Bytes of a client that mostly keeps to the rules, and then does not."""

    def __init__(self, rng: random.Random, wildness: float) -> None:
        self.rng = rng
        self.wildness = wildness
        self.encoder = hpack.Encoder()
        self.next_stream = 1
        self.open: list[int] = []
        self.used: list[int] = [1]

    def connection(self) -> bytes:
        frames = [PREFACE, raw(4, 0, 0)]
        frames += [self.frame() for _ in range(self.rng.randrange(1, STEPS))]
        data = b"".join(frames)
        if self.rng.random() < self.wildness / 3:  # bits that flip on the way
            flipped = bytearray(data)
            for _ in range(self.rng.randrange(1, 4)):
                flipped[self.rng.randrange(len(PREFACE) + 9, len(data))] ^= 1 << self.rng.randrange(
                    8
                )
            data = bytes(flipped)
        return data

    def frame(self) -> bytes:
        wild = [self.any_frame, self.odd_request, self.window, self.late, self.settings]
        ordinary = [self.call, self.request, self.body] * 2
        ordinary += [self.window, self.reset, self.ping, self.settings, self.priority, self.ack]
        return self.rng.choice(wild if self.rng.random() < self.wildness else ordinary)()

    # Ordinary frames

    def call(self) -> bytes:
        stream = self._open()
        return self._headers(stream, 4, request_fields(self._path())) + self._data(
            stream, message(self.rng.randbytes(self.rng.randrange(20))), 1
        )

    def request(self) -> bytes:
        stream = self._open()
        extra = [
            (b"x-%d" % self.rng.randrange(3), self.rng.randbytes(3).hex().encode())
            for _ in range(self.rng.randrange(3))
        ]
        if self.rng.random() < 0.1:
            extra.append((b"content-length", b"%d" % self.rng.randrange(5, 12)))
        ended = self.rng.random() < 0.1
        if not ended:
            self.open.append(stream)
        return self._headers(stream, 5 if ended else 4, request_fields(self._path(), *extra))

    def body(self) -> bytes:
        if not self.open:
            return self.request()
        stream = self.rng.choice(self.open)
        ended = self.rng.random() < 0.4
        if ended:
            self.open.remove(stream)
            if self.rng.random() < 0.2:  # trailers
                return self._headers(stream, 5, [(b"checksum", b"%d" % self.rng.randrange(9))])
        payload = message(self.rng.randbytes(self.rng.randrange(8)))
        if self.rng.random() < 0.3:
            payload = payload[: self.rng.randrange(len(payload) + 1)]
        return self._data(stream, payload, int(ended))

    def window(self) -> bytes:
        streams = [0, *self.open, self.rng.choice(self.used)]
        increment = self.rng.choice([1, 100, 65535, 1 << 20])
        if self.rng.random() < self.wildness:
            increment = self.rng.choice([0, (1 << 31) - 1])
        return raw(8, 0, self.rng.choice(streams), increment.to_bytes(4, "big"))

    def reset(self) -> bytes:
        if not self.open:
            return self.ping()
        stream = self.rng.choice(self.open)
        self.open.remove(stream)
        return raw(3, 0, stream, (8).to_bytes(4, "big"))

    def ping(self) -> bytes:
        return raw(6, self.rng.choice([0, 0, 1]), 0, self.rng.randbytes(8))

    def settings(self) -> bytes:
        choices = [(1, 0), (1, 4096), (3, 5), (4, 0), (4, 65535), (4, 1 << 20), (5, 16384), (6, 99)]
        if self.rng.random() < self.wildness:
            choices = [(2, 2), (2, 1), (4, 1 << 31), (5, 3), (5, 1 << 24), (77, 1)]
        pairs = self.rng.sample(choices, self.rng.randrange(3))
        payload = b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs)
        return raw(4, 0, 0, payload)

    def ack(self) -> bytes:
        return raw(4, 1, 0)

    def priority(self) -> bytes:
        stream = self.rng.choice(self.used) + 2 * self.rng.randrange(3)
        return raw(2, 0, stream, b"\0\0\0\0" + self.rng.randbytes(1))

    # Others

    def any_frame(self) -> bytes:
        stream = self.rng.choice([0, 1, 2, self.next_stream, *self.used[-3:], *self.open])
        kind = self.rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 200])
        flags = self.rng.choice([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF])
        return raw(kind, flags, stream, self.rng.randbytes(self.rng.randrange(14)))

    def odd_request(self) -> bytes:
        fields = request_fields(self._path())
        change = self.rng.randrange(8)
        if change == 0:
            del fields[self.rng.randrange(len(fields))]
        elif change == 1:
            fields.append(self.rng.choice(fields))
        elif change == 2:
            self.rng.shuffle(fields)
        else:
            name = self.rng.choice([b"Upper", b":odd", b"te", b"connection", b"host", b"a b", b""])
            value = self.rng.choice([b"", b"trailers", b" x", b"a\nb", b"test", b"\xff"])
            fields.insert(self.rng.randrange(len(fields) + 1), (name, value))
        stream = self._open()
        self.open.append(stream)
        return raw(1, 4, stream, block(fields))

    def late(self) -> bytes:
        stream = self.rng.choice(self.used)
        return self.rng.choice(
            [
                self._data(stream, self.rng.randbytes(3), self.rng.randrange(2)),
                raw(3, 0, stream, bytes(4)),
                raw(8, 0, stream, (5).to_bytes(4, "big")),
                self._headers(stream, 5, request_fields()),
            ]
        )

    # Pieces

    def _open(self) -> int:
        stream = self.next_stream
        self.next_stream += 2 * self.rng.choice([1, 1, 1, 2])
        self.used.append(stream)
        return stream

    def _path(self) -> str:
        return self.rng.choice([LANE, LANE, STREAM, "/no.Such/Method"])

    def _headers(self, stream: int, flags: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        encoded = self.encoder.encode(fields, huffman=self.rng.random() < 0.5)
        prefix = b""
        if self.rng.random() < 0.1:
            pad = self.rng.randrange(5)
            prefix, encoded, flags = bytes((pad,)), encoded + bytes(pad), flags | 8
            return raw(1, flags, stream, prefix + encoded)
        if self.rng.random() < 0.1:
            return raw(1, flags | 0x20, stream, b"\0\0\0\0\x07" + encoded)
        if self.rng.random() < 0.2 and len(encoded) > 2:
            cut = self.rng.randrange(1, len(encoded))
            return raw(1, flags & ~4, stream, encoded[:cut]) + raw(9, 4, stream, encoded[cut:])
        return raw(1, flags, stream, encoded)

    def _data(self, stream: int, payload: bytes, flags: int) -> bytes:
        if self.rng.random() < 0.1:
            pad = self.rng.randrange(5)
            return raw(0, flags | 8, stream, bytes((pad,)) + payload + bytes(pad))
        return raw(0, flags, stream, payload)


STRICTER = {
    "RST_STREAM on stream": "RFC 9113 §6.4: an idle stream cannot be reset; h2 ignores it",
    "WINDOW_UPDATE on stream": "RFC 9113 §5.1: nor can its window be opened",
    "PUSH_PROMISE from a client": "RFC 9113 §8.4; h2 waits for the end of its header block",
}


def check(data: bytes, cuts: list[int]) -> None:
    theirs = plain(data)
    ours = laned(data[: theirs.taken], cuts)
    if "ConnectionState.CLOSED" in theirs.ended:
        return  # after the peer's GOAWAY h2 hears of nothing more
    over = ours.resets | ours.answered
    if theirs.ended:
        assert ours.ended or theirs.fault_stream in over, theirs.ended
    elif ours.ended:
        known = ours.ended.startswith(tuple(STRICTER))
        assert known or any(f"stream {n} " in ours.ended for n in theirs.resets), ours.ended
    else:
        assert over >= theirs.resets, theirs.resets
    for stream in theirs.asked.keys() | ours.asked.keys():
        if stream in ours.resets or stream in theirs.resets:
            continue
        asked, taken = theirs.asked.get(stream, []), ours.asked.get(stream, [])
        if ours.ended:
            # What came in the same step as the fault is lost, but nothing may be made up.
            assert taken[:1] in (asked[:1], ["lane"], []), stream
        else:
            assert same_request(asked, taken), (stream, asked, taken)


@pytest.mark.parametrize("wildness", [0.0, 0.05, 0.3])
def test_the_lane_and_h2_agree_with_h2_alone(wildness: float) -> None:
    for seed in range(SEEDS):
        rng = random.Random(f"{wildness} {seed}")
        data = Generator(rng, wildness).connection()
        cuts = [rng.randrange(len(data)) for _ in range(rng.choice([0, 1, 5, 50]))]
        try:
            check(data, cuts)
        except AssertionError as error:
            raise AssertionError(f"seed {wildness} {seed}, cuts {cuts}: {data.hex()}") from error
