"""Bytes that are no message: refused as etcd refuses them, in its words.

Each was sent to 3.4.23 and 3.5.1, which agree.
"""

from __future__ import annotations

import pytest

from trioetcd.api.malformed import MOST_FIELDS, fault
from trioetcd.api.parse import parse, parse_flat, parse_streamed
from wire.errors import Refused
from wire.pb import etcdserverpb as pb

PREFIX = "grpc: error unmarshalling request: "
END, OVERFLOW = "unexpected EOF", "proto: integer overflow"
NEGATIVE = "proto: negative length found during unmarshaling"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0a", END),
        (b"\x0a\x05abc", END),
        (b"\xc0\x3e", END),
        (b"\xc1\x3e123", END),
        (b"\xc2\x3e\x7f", END),
        (b"\xc3\x3e\xc0\x3e\x01", END),
        (b"\x80" * 10 + b"\x01", OVERFLOW),
        (b"\x0a" + b"\xff" * 9 + b"\x01", NEGATIVE),
        (b"\x00\x01", "proto: PutRequest: illegal tag 0 (wire type 0)"),
        (b"\x07", "proto: PutRequest: illegal tag 0 (wire type 7)"),
        (b"\x0c", "proto: PutRequest: wiretype end group for non-group"),
        (b"\x56\x01", "proto: illegal wireType 6"),
        (b"\x08\x05", "proto: wrong wireType = 0 for field Key"),
        (b"\x27\x05", "proto: wrong wireType = 7 for field PrevKv"),
        (b"\x1a\x01a", "proto: wrong wireType = 2 for field Lease"),
    ],
)
def test_broken_bytes_get_etcds_words(data: bytes, words: str):
    for read in (parse, parse_flat):
        with pytest.raises(Refused) as refused:
            read(pb.PutRequest, data)
        assert str(refused.value) == PREFIX + words


def test_what_only_the_decoder_of_3_5_takes_is_refused_as_by_later_ones():
    wide = b"\x88\xb4\xde\xbc\x2d\xb8\x1a"  # the number of the field has 33 bits
    assert fault(pb.LeaseLeasesRequest.DESCRIPTOR, wide) is None
    with pytest.raises(Refused) as refused:
        parse(pb.LeaseLeasesRequest, wide)
    assert str(refused.value) == PREFIX + "proto: cannot parse invalid wire-format data"


def test_on_a_stream_the_words_in_front_are_others():
    with pytest.raises(Refused) as refused:
        parse_streamed(pb.WatchRequest, b"\x08\x01")
    words = "proto: wrong wireType = 0 for field CreateRequest"
    assert str(refused.value) == f"grpc: failed to unmarshal the received message {words}"


@pytest.mark.parametrize(
    "unknown",
    [
        b"\xc0\x3e\x01",
        b"\xc1\x3e12345678",
        b"\xc2\x3e\x03abc",
        b"\xc5\x3e1234",
        b"\xc3\x3e\xc0\x3e\x01\xc4\x3e",
    ],
)
def test_fields_of_newer_clients_are_no_fault(unknown: bytes):
    put = pb.PutRequest(key=b"a", value=b"1")
    for read in (parse, parse_flat):
        message = read(pb.PutRequest, put.SerializeToString() + unknown)
        assert (message.key, message.value) == (b"a", b"1")
    txn = pb.TxnRequest()
    txn.success.add().MergeFromString(b"\x12" + bytes([3 + len(unknown)]) + b"\x0a\x01a" + unknown)
    assert parse(pb.TxnRequest, txn.SerializeToString()).success[0].request_put.key == b"a"


def test_a_wrong_wire_type_deep_inside_is_found():
    txn = pb.TxnRequest()
    txn.success.add().request_txn.success.add().MergeFromString(b"\x12\x02\x08\x05")
    with pytest.raises(Refused, match="wrong wireType = 0 for field Key"):
        parse(pb.TxnRequest, txn.SerializeToString())


def test_lists_of_numbers_may_be_packed_or_not():
    assert fault(pb.WatchCreateRequest.DESCRIPTOR, b"\x2a\x02\x00\x01") is None
    assert fault(pb.WatchCreateRequest.DESCRIPTOR, b"\x28\x00\x28\x01") is None
    assert fault(pb.WatchCreateRequest.DESCRIPTOR, b"\x2a\x01\x80") == END


def test_looking_for_faults_ends_after_so_many_fields():
    hidden = b"\xc0\x3e\x01" * MOST_FIELDS + b"\x08\x05"
    assert fault(pb.PutRequest.DESCRIPTOR, hidden) is None
