"""URLs of members: what is accepted, in what form, and in whose words the rest is refused."""

from __future__ import annotations

import pytest

from actors.cluster.urls import BadURL, check_urls


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["http://b:1", " http://a:1 "], ("http://a:1", "http://b:1")),
        (["HTTPS://Host:2380"], ("https://Host:2380",)),
        (["http://[::1]:2380"], ("http://[::1]:2380",)),
        (["unix:///tmp/a.sock"], ("unix:///tmp/a.sock",)),
        (["unixs://name:0"], ("unixs://name:0",)),
        (["http://a:1", "http://a:1"], ("http://a:1", "http://a:1")),
        (["http://:2380"], ("http://:2380",)),
    ],
)
def test_they_are_kept_trimmed_and_sorted(given: list[str], kept: tuple[str, ...]):
    assert check_urls(given) == kept


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
        ("localhost:2380", "URL scheme must be http, https, unix, or unixs: localhost:2380"),
        ("", "URL scheme must be http, https, unix, or unixs: "),
        (
            "127.0.0.1:2380",
            'parse "127.0.0.1:2380": first path segment in URL cannot contain colon',
        ),
        ("://a:1", 'parse "://a:1": missing protocol scheme'),
        ("http://a", 'URL address does not have the form "host:port": http://a'),
        ("http://::1:1", 'URL address does not have the form "host:port": http://::1:1'),
        ("http:a:1", 'URL address does not have the form "host:port": http:a:1'),
        ("http://a:1/", "URL must not contain a path: http://a:1/"),
        ("http://a:x", 'parse "http://a:x": invalid port ":x" after host'),
        ("http://a b:1", 'parse "http://a b:1": invalid character " " in host name'),
        ("http://a\n:1", 'parse "http://a\\x0a:1": net/url: invalid control character in URL'),
    ],
)
def test_others_are_refused_in_etcds_words(url: str, words: str):
    with pytest.raises(BadURL) as caught:
        check_urls([url])
    assert str(caught.value) == words


def test_a_member_without_urls_cannot_be_reached():
    with pytest.raises(BadURL, match="no valid URLs given"):
        check_urls([])
