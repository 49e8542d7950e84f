"""What one connection may use and do.

The budgets are spent by the peer's frames and earned back by what we send and by time.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_STREAMS = (1 << 32) - 1  # SETTINGS_MAX_CONCURRENT_STREAMS at its largest, etcd's default


@dataclass(frozen=True)
class Limits:
    message_bytes: int = 2_097_152  # of one request message
    concurrent_streams: int = MAX_STREAMS  # announced, and enforced for both paths
    open_streams: int = 20_000  # enforced whatever is announced; one may cost 10 KiB
    connection_window: int = 4 << 20  # bytes a peer may send ahead
    stream_window: int = 1 << 20
    unread_bytes: int = 32 << 20  # of incomplete requests and of messages no handler has taken
    unsent_bytes: int = 32 << 20  # of answers that wait for windows: beyond, calls are refused
    output_bytes: int = 1 << 20  # that the socket does not take, at which reading stops
    calls_in_batch: int = 512  # handed over at once
    header_block_bytes: int = 64 * 1024  # of one block, over all its frames
    header_frames: int = 32  # HEADERS and CONTINUATION of one block
    control_frames: int = 1000  # unearned PING, SETTINGS, PRIORITY, unknown and empty frames
    resets: int = 1000  # streams reset by the peer, or because of it, that were never answered
    http_body_bytes: int = 8 << 20  # of a plain HTTP request
