"""Frames as bytes.  Source: RFC 9113 §4.1, §6, §7."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9  # length 3, type 1, flags 1, stream 4
PRIORITY_BYTES = 5  # of HEADERS with a priority
MAX_FRAME_BYTES = 16384  # SETTINGS_MAX_FRAME_SIZE that we announce: the smallest allowed
STREAM_MASK = 0x7FFF_FFFF
DEFAULT_WINDOW = 65535  # RFC 9113 §6.9.2
MAX_WINDOW = (1 << 31) - 1

# Length and type share the first four bytes, so a header is three numbers.
HEADER = struct.Struct(">IBI")


class Type(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Code(IntEnum):
    """Error codes."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke a rule of the connection: GOAWAY with `code`, then the end."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def frame(kind: Type, flags: int, stream: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def window_update(stream: int, increment: int) -> bytes:
    return frame(Type.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: Code) -> bytes:
    return frame(Type.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def unpadded(payload: bytes, flags: int) -> bytes:
    """A DATA or HEADERS payload without its padding.

    Raises:
        ConnectionFault: it does not fit the frame, RFC 9113 §6.1, §6.2.
    """
    if not flags & Flag.PADDED:
        return payload
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "padded frame without a pad length")
    end = len(payload) - payload[0]
    if end < 1:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "padding is longer than the frame")
    return payload[1:end]
