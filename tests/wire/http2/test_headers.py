"""Header blocks: our decoder against hpack's, what is remembered, and what we encode."""

from __future__ import annotations

import random

import hpack
import pytest
from hpack.exceptions import HPACKError, OversizedHeaderListError

from tests.wire.hostile.peer import ECHO, EchoBatch, literal, request_fields
from wire.errors import DeadlineExceeded
from wire.grpc.service import Peer, Registry
from wire.http2.blocks import BadBlock, BlockDecoder, TooManyHeaders
from wire.http2.frames import Code, ConnectionFault
from wire.http2.headers import HeaderDecoder, StatelessEncoder, encode
from wire.http2.heads import Basket, Understanding

LIST_BYTES = 2000


def fields_of(rng: random.Random) -> list[tuple[bytes, bytes]]:
    names = [b":method", b":path", b"te", b"token", b"x-%d" % rng.randrange(4), b"cookie"]
    return [
        (rng.choice(names), rng.choice([b"", b"GET", b"a" * rng.randrange(200), rng.randbytes(5)]))
        for _ in range(rng.randrange(12))
    ]


def decoded_by_hpack(decoder: hpack.Decoder, data: bytes) -> object:
    try:
        return tuple((bytes(n), bytes(v)) for n, v in decoder.decode(data, raw=True))
    except OversizedHeaderListError:
        return "too many"
    except (HPACKError, IndexError):
        return "bad"


def decoded_by_us(decoder: BlockDecoder, data: bytes) -> object:
    try:
        return decoder.decode(data)
    except TooManyHeaders:
        return "too many"
    except BadBlock:
        return "bad"


@pytest.mark.parametrize("damage", [0.0, 0.3])
def test_blocks_mean_the_same_to_us_and_to_hpack(damage: float) -> None:
    """Connections of many blocks, with resizing and eviction, until a block is bad."""
    for seed in range(300):
        rng = random.Random(f"{damage} {seed}")
        encoder, theirs = hpack.Encoder(), hpack.Decoder(max_header_list_size=LIST_BYTES)
        ours = BlockDecoder(LIST_BYTES)
        for _ in range(30):
            if rng.random() < 0.1:
                encoder.header_table_size = rng.choice([0, 100, 1000, 4096])
            data = encoder.encode(fields_of(rng), huffman=rng.random() < 0.5)
            if rng.random() < damage and data:
                cut = bytearray(data[: rng.randrange(len(data) + 1)])
                for _ in range(rng.randrange(3)):
                    cut += rng.randbytes(rng.randrange(3))
                data = bytes(cut)
            expected = decoded_by_hpack(theirs, data)
            assert decoded_by_us(ours, data) == expected, (seed, data.hex())
            if isinstance(expected, str):
                break


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",  # index 0
        b"\xbe",  # an index of the empty dynamic table
        b"\xff\xff\xff\xff\xff\xff\x0f",  # an integer without end
        b"\x40\x0aabc",  # a string cut short
        b"\x40",
        b"\x88\x20",  # a size update behind a field
        b"\x3f\xe2\x1f",  # a table of 4097 bytes
        b"\x00\x81\xff\x01a",  # Huffman code of nothing
    ],
)
def test_a_bad_block_is_the_end_of_the_connection(data: bytes) -> None:
    decoder: HeaderDecoder[object] = HeaderDecoder(lambda headers: headers)

    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(data)
    assert caught.value.code is Code.COMPRESSION_ERROR


def test_a_small_block_cannot_become_a_large_list() -> None:
    decoder = BlockDecoder(LIST_BYTES)
    decoder.decode(b"\x40" + literal(b"a") + literal(b"x" * 800))

    with pytest.raises(TooManyHeaders):
        decoder.decode(b"\xbe" * 3)


def test_a_block_is_understood_once_while_the_table_stays_as_it_is() -> None:
    understood = []
    decoder = HeaderDecoder(lambda headers: understood.append(headers) or len(understood))
    encoder = hpack.Encoder()
    fields = request_fields()
    first, second = encoder.encode(fields), encoder.encode(fields)

    assert [decoder.decode(first), decoder.decode(second), decoder.decode(second)] == [1, 2, 2]
    assert decoder.get(second) == 2
    decoder.decode(encoder.encode([(b"new", b"field")]))
    assert decoder.get(second) is None


def test_a_block_means_something_else_after_the_table_has_changed() -> None:
    decoder: HeaderDecoder[object] = HeaderDecoder(lambda headers: headers)
    newest = b"\xbe"  # whatever was added last
    for n in range(3):
        added = decoder.decode(b"\x40\x01n\x01%d" % n)

        assert decoder.decode(newest) == added == ((b"n", b"%d" % n),)
        assert decoder.decode(newest) == added


@pytest.fixture
def understanding() -> Understanding:
    registry = Registry()
    handler = EchoBatch()
    registry.batch(handler, ECHO)
    basket = Basket(handler)
    return Understanding(registry, Peer(), lambda method: basket)


def test_headers_that_differ_in_the_timeout_share_the_rest(understanding: Understanding) -> None:
    heads = [
        understanding(tuple(request_fields(ECHO, (b"token", b"t"), (b"grpc-timeout", timeout))))
        for timeout in (b"1S", b"2500m")
    ]

    assert [head.hot.timeout for head in heads] == [1.0, 2.5]
    assert [head.hot.context.timeout for head in heads] == [1.0, 2.5]
    assert heads[0].hot.context.metadata is heads[1].hot.context.metadata
    assert understanding(tuple(request_fields(ECHO, (b"token", b"t")))).hot.timeout is None


def test_a_timeout_that_is_wrong_is_the_calls_fault_alone(understanding: Understanding) -> None:
    short = understanding(tuple(request_fields(ECHO, (b"grpc-timeout", b"1n"))))
    wrong = understanding(tuple(request_fields(ECHO, (b"grpc-timeout", b"soon"))))
    twice = understanding(tuple(request_fields(ECHO, *[(b"grpc-timeout", b"1S")] * 2)))

    assert short.hot is None
    assert isinstance(short.call.fault, DeadlineExceeded)
    assert wrong.hot is None
    assert "malformed grpc-timeout" in str(wrong.call.fault)
    assert twice.call is None
    assert understanding(tuple(request_fields(ECHO))).hot is not None


def test_what_we_encode_needs_no_table() -> None:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = decoder.header_table_size = 0
    fields = [(b":status", b"200"), (b"content-type", b"text/plain"), (b"long", b"x" * 100_000)]
    decoder.max_header_list_size = 200_000

    assert list(decoder.decode(encode(fields), raw=True)) == fields


def test_a_change_of_table_size_is_owed_once() -> None:
    encoder = StatelessEncoder()
    encoder.header_table_size = 100

    assert encoder.encode([(b"a", b"b")]) == b"\x20" + encode([(b"a", b"b")])
    assert encoder.encode([(b"a", b"b")]) == encode([(b"a", b"b")])
