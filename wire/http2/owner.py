"""h2's part of a connection, fed with whole frames by the lane.

It owns SETTINGS, PING, the windows, and every stream the lane does not take.  h2's own ways of
crediting the peer's windows and of compressing headers are replaced: see `Inflow` and
`StatelessEncoder`.
Source: RFC 9113 §5.2, §6.9; h2's documentation, "Flow Control".
"""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from wire.http2.budget import Budget
from wire.http2.frames import MAX_FRAME_BYTES, Code, ConnectionFault, Flag, Type, frame
from wire.http2.frames import window_update as window_update_frame
from wire.http2.headers import MAX_LIST_BYTES, Headers, StatelessEncoder, encode
from wire.http2.limits import Limits
from wire.http2.replies import Replies
from wire.http2.requests import Requests

LAZY_PART = 16  # of the connection's window may go uncharged, and so a little be overdrawn

_END_STREAM, _END_HEADERS = int(Flag.END_STREAM), int(Flag.END_HEADERS)


class OwnConnection(h2.connection.H2Connection):
    """h2's connection, without its counting of streams.

    For every new stream h2 looks at all there are, to count the open ones and to forget the
    closed ones: 10,000 streams take 15 s to open.  The lane counts, and whoever is done with a
    stream says so.
    """

    @property
    def open_inbound_streams(self) -> int:
        return 0


def new_connection(limits: Limits, encoder: StatelessEncoder) -> OwnConnection:
    """An h2 connection whose output begins with our SETTINGS and windows."""
    connection = OwnConnection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    connection.encoder = encoder  # type: ignore[assignment]
    settings = h2.settings.SettingCodes
    connection.local_settings = h2.settings.Settings(
        client=False,
        initial_values={
            settings.MAX_CONCURRENT_STREAMS: limits.concurrent_streams,
            settings.INITIAL_WINDOW_SIZE: limits.stream_window,
            settings.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        },
    )
    connection.initiate_connection()
    connection.increment_flow_control_window(
        limits.connection_window - connection.inbound_flow_control_window
    )
    return connection


class Owner:
    """Gives frames to h2, and collects what it makes of them."""

    def __init__(
        self,
        connection: h2.connection.H2Connection,
        replies: Replies,
        requests: Requests,
        resets: Budget,
    ) -> None:
        self.connection = connection
        self.events: list[h2.events.Event] = []  # of the last step
        self._replies = replies
        self._requests = requests
        self._resets = resets

    def has(self, stream: int) -> bool:
        """Whether a stream is h2's, and not over."""
        found = self.connection.streams.get(stream)
        return found is not None and not found.closed

    def give(self, data: bytes) -> None:
        """Hand over one whole frame.

        Raises:
            ConnectionFault: h2 says so.
        """
        try:
            found = self.connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            code = Code(int(error.error_code))
            raise ConnectionFault(code, str(error) or type(error).__name__) from error
        for event in found:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self._replies.settings_changed()
            elif isinstance(event, h2.events.StreamReset):
                self._resets.spend()
                self._replies.line.drop(event.stream_id)
                self._requests.note_reset(event.stream_id, expect_late=not event.remote_reset)
            self.events.append(event)
        self._replies.put_h2()

    def give_headers(self, stream: int, flags: int, headers: Headers) -> None:
        """Hand over a decoded block, in frames that need no decoder state."""
        block = encode(headers)
        kind, end_stream = Type.HEADERS, flags & _END_STREAM
        while len(block) > MAX_FRAME_BYTES:
            self.give(frame(kind, end_stream, stream, block[:MAX_FRAME_BYTES]))
            block = block[MAX_FRAME_BYTES:]
            kind, end_stream = Type.CONTINUATION, 0
        self.give(frame(kind, end_stream | _END_HEADERS, stream, block))


class Inflow:
    """The connection's receive window: given back on receipt, whoever the bytes are for.

    Whoever does not take his messages is held back by his own stream's window.
    """

    def __init__(
        self, connection: h2.connection.H2Connection, replies: Replies, window: int
    ) -> None:
        self._lazy = window // LAZY_PART
        self.uncharged = 0  # DATA bytes of the lane, of which h2 has not been told
        self.charged = 0  # DATA bytes that h2 has seen
        self._manager = connection._inbound_flow_control_window_manager
        self._replies = replies

    def settle(self) -> None:
        """Charge the window for what came in, and let the peer send as much again.

        Raises:
            ConnectionFault: the peer has sent more than the window allowed.
        """
        owed = self.charged + self.uncharged
        if owed < self._lazy:
            return
        try:
            self._manager.window_consumed(self.uncharged)
        except h2.exceptions.FlowControlError as error:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, str(error)) from error
        self.charged = self.uncharged = 0
        increment = self._manager.process_bytes(owed)
        if increment:
            self._replies.put(window_update_frame(0, increment))
