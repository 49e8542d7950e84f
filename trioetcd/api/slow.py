"""Requests that took too long, in the log: which, and where their time went.

Nothing is measured per request on the hot path.  A chunk's proposals travel together, so their
stages are stamped once for all of them, and one line tells of them together.
Source: etcd server/etcdserver/api/v3rpc/interceptor.go (logUnaryRequestStats), txn/util.go
(warnOfExpensiveGenericRequest).
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import trio
from google.protobuf.message import DecodeError

from actors.apply.applier import Result
from actors.apply.stages import Stages
from actors.mvcc.ranges import RangeCursor
from actors.raft.types import Entry
from trioetcd.api.wording import message_words, words
from trioetcd.config.values import show_duration
from wire.errors import EtcdError
from wire.grpc.service import Method, Registry, UnaryCall
from wire.log import Log
from wire.pb import etcdserverpb

APPLY_SECONDS = 0.1  # etcd's defaults
REQUEST_SECONDS = 0.3
LINES = 20  # in LINES_SECONDS; the rest is counted: a slow disk is not to be drowned in words
LINES_SECONDS = 1.0
RANGE = "/etcdserverpb.KV/Range"


class SlowLog:
    """One member's."""

    def __init__(
        self,
        log: Log,
        unix_seconds: Callable[[], float],
        *,
        apply_seconds: float = APPLY_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._log = log
        self._unix_seconds = unix_seconds
        self.apply_seconds = apply_seconds
        self.request_seconds = request_seconds
        self.listings = 0  # that took too long
        self._window = -LINES_SECONDS  # since when lines are counted, in Trio time
        self._lines = 0
        self._unsaid = 0

    # -- Requests as their clients see them

    def proposals(
        self, calls: Sequence[UnaryCall], results: Sequence[Result], stages: Stages
    ) -> None:
        """Proposals of one chunk have been answered, too late; no results: all were refused."""
        now = trio.current_time()
        first = results[0] if results else None
        size = len(first[1]) if isinstance(first, tuple) else -1
        more: dict[str, object] = {
            "stages": {name: show(took) for name, took in stages.durations(now).items()}
        }
        if len(calls) > 1:
            more["others in the batch"] = len(calls) - 1
        self._request(calls[0], now - stages.taken, size, more)

    def waited(self, calls: Sequence[UnaryCall], seconds: float) -> None:
        """Reads of one chunk were told that what is here is current, too late."""
        more: dict[str, object] = {"stages": {"read index": show(seconds)}}
        if len(calls) > 1:
            more["others in the batch"] = len(calls) - 1
        self._request(calls[0], seconds, -1, more)

    def watch(self, registry: Registry) -> None:
        """Look at every unary method that has a task a call; before it is served."""
        for key, method in registry.methods.items():
            if method.unary is not None:
                registry.methods[key] = replace(method, unary=self._timed(method))

    def _timed(self, method: Method) -> Callable[[UnaryCall], Awaitable[bytes]]:
        handler = method.unary
        assert handler is not None

        async def run(call: UnaryCall) -> bytes:
            began = trio.current_time()
            size = -1
            try:
                response = await handler(call)
                size = len(response)
                return response
            finally:
                took = trio.current_time() - began
                if took > self.request_seconds:
                    self._request(call, took, size, {})

        return run

    def _request(
        self, call: UnaryCall, took: float, response_bytes: int, more: dict[str, object]
    ) -> None:
        began = datetime.datetime.fromtimestamp(self._unix_seconds() - took, datetime.UTC)
        fields: dict[str, object] = {
            "start time": began.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "time spent": show(took),
            "remote": call.context.peer.address,
            "response type": call.method.path,
            "request size": len(call.payload),
            "response size": response_bytes,
            "request content": words(call.method.path, call.payload),
        }
        self._say("request stats", fields | more)

    # -- What applying them took

    def applied(self, entries: list[Entry], results: list[Result], seconds: float) -> None:
        """See `Machine.applied_slowly`."""
        first = next((at for at, entry in enumerate(entries) if entry.data), 0)
        result = results[first]
        fields: dict[str, object] = {
            "took": show(seconds),
            "expected-duration": show_duration(self.apply_seconds),
            "prefix": "",
            "request": _entry_words(entries[first]),
            "response": "" if isinstance(result, EtcdError) else f"size:{len(result[1])}",
            "entries": len(entries),
        }
        if isinstance(result, EtcdError):
            fields["error"] = str(result)
        self._say("apply request took too long", fields)

    def long_range(self, call: UnaryCall, cursor: RangeCursor, seconds: float) -> None:
        """See `Reads.read_slowly`."""
        self.listings += 1
        fields: dict[str, object] = {
            "took": show(seconds),
            "expected-duration": show_duration(self.apply_seconds),
            "prefix": "read-only range ",
            "request": words(RANGE, call.payload),
            "response": f"range_response_count:{cursor.size} size:{len(cursor.body)}",
        }
        self._say("apply request took too long", fields)

    def _say(self, message: str, fields: dict[str, object]) -> None:
        now = trio.current_time()
        if now - self._window >= LINES_SECONDS:
            self._window, self._lines = now, 0
        if self._lines >= LINES:
            self._unsaid += 1
            return
        self._lines += 1
        if self._unsaid:
            fields["not logged before"], self._unsaid = self._unsaid, 0
        self._log.warning(message, **fields)


def show(seconds: float) -> str:
    """To the microsecond."""
    return show_duration(round(seconds, 6))


def _entry_words(entry: Entry) -> str:
    """`header:<ID:7> put:<key:"a" value_size:3>`."""
    try:
        return message_words(etcdserverpb.InternalRaftRequest.FromString(entry.data))
    except DecodeError:
        return ""
