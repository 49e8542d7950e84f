"""What travels in headers: metadata, deadlines, status messages.

Source: grpc/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from wire.errors import Refused
from wire.status import Status

Metadata = dict[str, tuple[bytes, ...]]
"""Values by lower-case name, in the order they came; those of `-bin` names are decoded."""

_RESERVED = frozenset({b"te", b"content-type", b"grpc-timeout", b"grpc-encoding"})
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_LIMIT = 99_999_999  # the digits allowed


def metadata_of(headers: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The custom metadata among a request's headers."""
    found: dict[str, list[bytes]] = {}
    for name, value in headers:
        if name.startswith(b":") or name in _RESERVED:
            continue
        key = name.decode("ascii", "replace")
        if name.endswith(b"-bin"):
            found.setdefault(key, []).extend(map(_unbase64, value.split(b",")))
        else:
            found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def _unbase64(value: bytes) -> bytes:
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        raise Refused(Status.INTERNAL, "malformed binary metadata") from None


def parse_timeout(value: bytes) -> float:
    """Seconds.  Raises Refused in grpc-go's words."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        shown = value.decode("ascii", "replace")
        raise Refused(
            Status.INTERNAL, f"malformed grpc-timeout: transport: malformed time: {shown}"
        )
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def encode_timeout(seconds: float) -> bytes:
    """As precise as eight digits allow; never less than one nanosecond."""
    for unit in b"n", b"u", b"m", b"S", b"M", b"H":
        count = int(seconds / _UNIT_SECONDS[unit])
        if count <= _TIMEOUT_LIMIT:
            return b"%d%b" % (max(count, 1), unit)
    return b"%dH" % _TIMEOUT_LIMIT


def encode_message(text: str) -> bytes:
    """A status message: percent-encoded UTF-8; plain ASCII stays readable."""
    data = text.encode("utf-8", "replace")
    if data.isascii() and b"%" not in data and text.isprintable():
        return data
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in data
    )


def decode_message(value: bytes) -> str:
    return unquote_to_bytes(value).decode("utf-8", "replace")


def first(metadata: Metadata, name: str) -> str | None:
    """The first value of a name, as text."""
    values = metadata.get(name)
    return values[0].decode("utf-8", "replace") if values else None


def status_headers(status: Status, text: str) -> tuple[tuple[bytes, bytes], ...]:
    return (b"grpc-status", b"%d" % status), (b"grpc-message", encode_message(text))
