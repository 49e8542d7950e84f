"""Flags' values by Go's rules."""

from __future__ import annotations

import pytest

from trioetcd.config.values import (
    BadValue,
    parse_bool,
    parse_duration,
    parse_int,
    parse_list,
    parse_uint,
    parse_urls,
    show_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("5s", 5),
        ("1m30s", 90),
        ("2h", 7200),
        ("1.5h", 5400),
        ("-1m", -60),
        ("0", 0),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        (".5s", 0.5),
    ],
)
def test_durations(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "s", "1m30", "abc", "1s 2s", "."])
def test_what_is_no_duration(text: str):
    with pytest.raises(BadValue):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.3, "300ms"),
        (5, "5s"),
        (90, "1m30s"),
        (7200, "2h0m0s"),
        (1.5, "1.5s"),
        (1e-6, "1µs"),
    ],
)
def test_durations_are_shown_as_go_shows_them(seconds: float, text: str):
    assert show_duration(seconds) == text
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true(text: str):
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false(text: str):
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["yes", "tRue", "", "2"])
def test_what_is_no_boolean(text: str):
    with pytest.raises(BadValue):
        parse_bool(text)


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("-3", -3), ("0x10", 16), ("010", 8), ("1_000", 1000)]
)
def test_integers(text: str, value: int):
    assert parse_int(text) == value


@pytest.mark.parametrize("text", ["", "1.5", "ten", "9223372036854775808"])
def test_what_is_no_integer(text: str):
    with pytest.raises(BadValue):
        parse_int(text)
    with pytest.raises(BadValue):
        parse_uint("-1")


def test_lists_and_urls():
    assert parse_list("a, b,,c") == ("a", "b", "c")
    assert parse_urls("http://b:1,http://a:1,http://b:1") == ("http://a:1", "http://b:1")
    assert parse_list("") == ()
