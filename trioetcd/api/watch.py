"""The Watch service: one stream of requests and one of responses, and the hub between them.

Source: etcd server/etcdserver/api/v3rpc/watch.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from actors.kernel import ActorStopped
from actors.watch.actor import WatchHub
from actors.watch.watcher import Stream
from trioetcd.api.parse import parse_streamed
from wire.errors import EtcdError, Stopped
from wire.grpc.service import Context, Registry, ServerStream
from wire.pb import etcdserverpb
from wire.status import Status

UNSENT_BYTES = 1 << 20  # on one stream, at which its watchers wait
ROOM_BYTES = UNSENT_BYTES // 2  # unsent, at which they go on

Permit = Callable[[Context, bytes, bytes], Awaitable[object]]
"""Raises an EtcdError if the caller may not read [key, range_end)."""


async def permit_all(context: Context, key: bytes, range_end: bytes) -> None:
    """No authentication: everybody may."""


class WatchService:
    def __init__(self, hub: WatchHub, permit: Permit = permit_all) -> None:
        self._hub = hub
        self._permit = permit

    def register(self, registry: Registry) -> None:
        registry.stream("/etcdserverpb.Watch/Watch", self.watch, "bidi_stream")

    async def watch(self, stream: ServerStream) -> None:
        sink = StreamSink(stream)
        watching = self._hub.open(sink)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, sink, watching)
                nursery.start_soon(self._report_room, sink, watching)
                await sink.ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._hub.close(watching)
        raise sink.reason

    async def _serve(self, sink: StreamSink, watching: Stream) -> None:
        try:
            await self._pass_on(sink.stream, watching)
        except EtcdError as error:
            sink.end(error)
        except ActorStopped:
            sink.stop()

    async def _pass_on(self, stream: ServerStream, watching: Stream) -> None:
        """Pass on requests, as fast as the client takes the answers.

        A client that has sent its last request goes on watching.
        """
        while (message := await stream.receive()) is not None:
            await stream.drained(UNSENT_BYTES)
            request = parse_streamed(etcdserverpb.WatchRequest, message)
            match request.WhichOneof("request_union"):
                case "create_request":
                    await self._create(stream, watching, request.create_request)
                case "cancel_request":
                    await self._hub.cancel(watching, request.cancel_request.watch_id)
                case "progress_request":
                    await self._hub.progress(watching)
                case None:
                    pass

    async def _create(
        self,
        stream: ServerStream,
        watching: Stream,
        request: etcdserverpb.WatchCreateRequest,
    ) -> None:
        try:
            await self._permit(stream.context, request.key or b"\0", request.range_end)
        except EtcdError as refusal:
            await self._hub.refuse(watching, as_go_says(refusal))
        else:
            await self._hub.create(watching, request)

    async def _report_room(self, sink: StreamSink, watching: Stream) -> None:
        while True:
            await sink.filled.wait()
            sink.filled = trio.Event()
            await sink.stream.drained(ROOM_BYTES)
            self._hub.has_room(watching)


class StreamSink:
    """A gRPC stream as the hub sees it; see `actors.watch.watcher.Sink`."""

    def __init__(self, stream: ServerStream) -> None:
        self.stream = stream
        self.filled = trio.Event()  # something was refused since this was last looked at
        self.ended = trio.Event()
        self.reason: EtcdError = Stopped()

    def offer(self, frame: bytes) -> bool:
        if self.stream.unsent >= UNSENT_BYTES:
            self.filled.set()
            return False
        self.stream.send_framed(frame)
        return True

    def push(self, frame: bytes) -> None:
        self.stream.send_framed(frame)

    def stop(self) -> None:
        self.end(Stopped())

    def end(self, reason: EtcdError) -> None:
        self.reason = reason
        self.ended.set()


def as_go_says(error: EtcdError) -> str:
    """A status in the words of Go's gRPC, which etcd puts into cancel reasons."""
    if error.status is Status.CANCELLED:
        return f"rpc error: code = Canceled desc = {error}"
    name = "".join(word.capitalize() for word in error.status.name.split("_"))
    return f"rpc error: code = {name} desc = {error}"
