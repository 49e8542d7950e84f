"""URLs that members are reached at: which are accepted, and in what form they are kept.

Ids are hashes of these texts, so the form matters as much as the meaning.
Source: etcd client/pkg/types/urls.go; Go's net/url (the words of its errors).
"""

from __future__ import annotations

import re
from collections.abc import Iterable


class BadURL(ValueError):
    """Not a URL of a member; the message is etcd's."""


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST_PORT = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*):[0-9]+")


def check_urls(urls: Iterable[str]) -> tuple[str, ...]:
    """These URLs as they are kept: trimmed and sorted.

    Raises:
        BadURL: there are none, or one of them is not acceptable.
    """
    checked = sorted(_check(url.strip()) for url in urls)
    if not checked:
        raise BadURL("no valid URLs given")
    return tuple(checked)


def _check(url: str) -> str:
    if _CONTROL.search(url):
        raise _unparsable(url, "net/url: invalid control character in URL")
    found = _SCHEME.fullmatch(url)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", url)
    if not scheme and url.startswith(":"):
        raise _unparsable(url, "missing protocol scheme")
    if not scheme and ":" in url.split("/", 1)[0]:
        raise _unparsable(url, "first path segment in URL cannot contain colon")
    if scheme in ("http", "https"):
        _check_authority(url, rest)
    elif scheme not in ("unix", "unixs"):
        raise BadURL(f"URL scheme must be http, https, unix, or unixs: {url}")
    return f"{scheme}:{rest}"


def _check_authority(url: str, rest: str) -> None:
    """`rest` is what stands behind the scheme: `//host:port`, and no path."""
    authority, path = "", ""
    if rest.startswith("//"):
        authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
        path = re.split(r"[?#]", rest[2 + len(authority) :], maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if " " in host:
        raise _unparsable(url, 'invalid character " " in host name')
    _, colon, port = host[host.rfind("]") + 1 :].rpartition(":")
    if colon and not re.fullmatch("[0-9]*", port):
        raise _unparsable(url, f'invalid port ":{port}" after host')
    if _HOST_PORT.fullmatch(host) is None:
        raise BadURL(f'URL address does not have the form "host:port": {url}')
    if path:
        raise BadURL(f"URL must not contain a path: {url}")


def _unparsable(url: str, why: str) -> BadURL:
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    shown = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", quoted)
    return BadURL(f'parse "{shown}": {why}')
