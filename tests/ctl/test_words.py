"""What ctl says of errors, and how it reads and writes Go's quoted strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioetcd.client.errors import fate_of_write
from trioetcd.ctl.commands.txn import parse_compare, split_words
from trioetcd.ctl.errors import CommandFailed, words
from wire.errors import EtcdError, KeyNotFound, Refused, RequestTimeout, TooManyRequests
from wire.go_quote import go_quote, go_unquote
from wire.grpc.client_errors import Unavailable
from wire.pb import etcdserverpb
from wire.status import Status


def fate(error: EtcdError) -> EtcdError:
    """As a write raises it."""
    found = fate_of_write(error)
    if found is not error:
        found.__cause__ = error
    return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyNotFound(), "etcdserver: key not found"),
        (TooManyRequests(), "etcdserver: too many requests"),
        (RequestTimeout(), "etcdserver: request timed out"),
        (Refused(Status.INTERNAL, "odd"), "rpc error: code = Internal desc = odd"),
        (
            Unavailable("reset", maybe_sent=True),
            "rpc error: code = Unavailable desc = reset (maybe applied)",
        ),
        (
            Unavailable("refused", maybe_sent=False),
            "rpc error: code = Unavailable desc = refused",
        ),
    ],
)
def test_an_error_is_said_as_etcdctl_says_it(error: EtcdError, said: str):
    assert words(fate(error)) == said


@given(st.binary())
def test_what_is_quoted_is_read_again(data: bytes):
    assert go_unquote(go_quote(data)) == data


def test_quotes_are_gos():
    assert go_quote(b'a\n\x00"\xffe\xc3\xa9') == '"a\\n\\x00\\"\\xffe\u00e9"'


@pytest.mark.parametrize("text", ['"\\q"', '"\\x1"', '"\\U00110000"', '"\\ud800"', '"\\777"', "a"])
def test_what_go_would_not_quote_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011
        go_unquote(text)


def test_words_are_split_as_a_shell_splits_them():
    assert split_words('put "a b" \'c "d\' e\\n') == ["put", "a b", 'c "d', "e\\n"]


def test_a_comparison_is_read():
    compare = parse_compare('lease("k\\x00") != "ff"')
    assert compare == etcdserverpb.Compare(key=b"k\0", target=4, result=3, lease=255)


@pytest.mark.parametrize(
    "line",
    ["", "mod", 'mod("a")', 'mod("a" > "0"', 'mod("a") ~ "0"', 'size("a") = "0"', 'mod("a") = "x"'],
)
def test_a_comparison_that_is_none_is_refused(line: str):
    with pytest.raises(CommandFailed) as failed:
        parse_compare(line)
    assert failed.value.status == 3
