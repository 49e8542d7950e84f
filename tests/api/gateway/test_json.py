"""JSON to messages and back."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioetcd.api.gateway.json_messages import from_json, to_json
from trioetcd.api.gateway.json_text import BadJSON, read_first, read_values
from trioetcd.api.gateway.routes import ROUTES, response_of
from wire.pb import etcdserverpb


def read(text: str) -> etcdserverpb.RangeRequest:
    return from_json(etcdserverpb.RangeRequest, read_first(text.encode()))


@given(
    key=st.binary(max_size=8),
    limit=st.integers(-(1 << 63), (1 << 63) - 1),
    order=st.integers(0, 2),
    keys_only=st.booleans(),
)
def test_what_is_written_is_read_again(key: bytes, limit: int, order: int, keys_only: bool):
    message = etcdserverpb.RangeRequest(key=key, limit=limit, sort_order=order, keys_only=keys_only)
    assert from_json(etcdserverpb.RangeRequest, read_first(to_json(message))) == message


@given(st.text(max_size=40))
def test_no_text_is_too_odd_to_be_refused_or_read(text: str):
    with suppress(BadJSON):
        read(text)


@given(st.binary(max_size=40))
def test_neither_are_any_bytes(data: bytes):
    with suppress(BadJSON):
        list(read_values(data))


def test_a_byte_that_is_no_utf_8_is_named_as_go_names_it():
    with pytest.raises(BadJSON, match=r"^invalid character 'ÿ' after object key$"):
        read_first(b'{"key"\xff:1}')
    assert read_first(b'{"key":"a\xffb"}') == {"key": "a\ufffdb"}
    assert list(read_values(b'{"a":"\xff\xfe"} {"b":1}')) == [{"a": "\ufffd\ufffd"}, {"b": 1}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (r'{"limit":"\ud800"}', "invalid character 'ï' looking for beginning of value"),
        (r'{"sort_order":"\udfff"}', 'unknown value "\\ufffd" for enum etcdserverpb.RangeRequest_'),
        (r'{"key":"\ud800"}', "illegal base64 data at input byte 0"),
    ],
)
def test_half_a_letter_is_refused_and_no_failure(body: str, words: str):
    with pytest.raises(BadJSON, match=f"^{re.escape(words)}"):
        from_json(etcdserverpb.RangeRequest, read_first(body.encode()))
    assert read_first(rb'["\ud83d\ude00", {"\ud800x": "\udc00"}]') == ["😀", {"�x": "�"}]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        *(("AQ=", 3), ("AQ", 0), ("A", 0), ("AAAA=", 4), ("AA=A", 2), ("AAA=A", 4), ("AA==AA", 4)),
        *(("AAAAA", 4), ("=", 0), ("A=", 1), ("AA\n=", 4), ("AA\n-", 3), ("A\nAA", 1), ("é", 0)),
    ],
)
def test_base64_is_wrong_where_go_says_it_is(text: str, place: int):
    body = json.dumps({"key": text}).encode()
    with pytest.raises(BadJSON, match=f"input byte {place}$"):
        from_json(etcdserverpb.RangeRequest, read_first(body))


def test_depth_is_limited():
    with pytest.raises(BadJSON, match="exceeded max depth"):
        read("[" * 200_000)


def test_a_message_of_a_map_of_choices_is_written_with_the_choice_as_its_key():
    message = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"k"))
    assert to_json(message) == b'{"request_put":{"key":"aw=="}}'


def test_every_route_has_a_request_and_a_response():
    for route in ROUTES.values():
        assert response_of(route).DESCRIPTOR.name.endswith("Response")
