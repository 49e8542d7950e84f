"""JSON to messages and back."""

from __future__ import annotations

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


def test_depth_is_limited():
    with pytest.raises(BadJSON, match="exceeded max depth"):
        read("[" * 200_000)


def test_a_message_of_a_map_of_choices_is_written_with_the_choice_as_its_key():
    message = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=b"k"))
    assert to_json(message) == b'{"request_put":{"key":"aw=="}}'


def test_every_route_has_a_request_and_a_response():
    for route in ROUTES.values():
        assert response_of(route).DESCRIPTOR.name.endswith("Response")
