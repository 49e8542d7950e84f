"""gRPC as bytes: what a server answers, exactly, to what it was sent, exactly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc

ANSWER_SECONDS = 30.0  # for one call; a busy machine included
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Each channel connects for itself: a server that was restarted is not believed to be away.
    ("grpc.use_local_subchannel_pool", 1),
]


class Answer(NamedTuple):
    """How a call ended."""

    code: str  # the name of a gRPC status
    text: str = ""  # of the status
    body: bytes = b""


def as_answer(error: grpc.RpcError) -> Answer:
    return Answer(error.code().name, error.details() or "")


class Client:
    """A connection to one server."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._unary: dict[str, Callable[..., Any]] = {}

    def begin(self, method: str, request: bytes, token: str = "") -> Any:
        """Send a unary call, for whoever has the token; `finish` waits for its answer."""
        call = self._unary.get(method)
        if call is None:
            call = self._unary[method] = self._channel.unary_unary(f"/{method}").future
        metadata = (("token", token),) if token else None
        return call(request, timeout=ANSWER_SECONDS, metadata=metadata)

    @staticmethod
    def finish(call: Any) -> Answer:
        try:
            return Answer("OK", "", call.result())
        except grpc.RpcError as error:
            return as_answer(error)

    def call(self, method: str, request: bytes) -> Answer:
        return self.finish(self.begin(method, request))

    def first_answer(self, method: str, request: bytes, token: str = "") -> Answer:
        """Of a stream that is given up then."""
        metadata = (("token", token),) if token else None
        call = self._channel.stream_stream(f"/{method}")(
            iter([request]), timeout=ANSWER_SECONDS, metadata=metadata
        )
        try:
            body = next(iter(call))
        except grpc.RpcError as error:
            return as_answer(error)
        finally:
            call.cancel()
        return Answer("OK", "", body)

    def converse(self, method: str) -> Conversation:
        return Conversation(self._channel.stream_stream(f"/{method}"))

    def close(self) -> None:
        self._channel.close()


class Conversation:
    """A stream in both directions; what comes is kept in `received`, in its order."""

    def __init__(self, start: Callable[[Iterator[bytes]], Any]) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self.received: list[bytes] = []
        self.end: Answer | None = None
        self._call = start(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for message in self._call:
                with self._changed:
                    self.received.append(message)
                    self._changed.notify_all()
            end = Answer("OK")
        except grpc.RpcError as error:
            end = as_answer(error)
        with self._changed:
            self.end = end
            self._changed.notify_all()

    def send(self, message: bytes) -> None:
        self._requests.put(message)

    def done_sending(self) -> None:
        self._requests.put(None)

    def wait(self, enough: Callable[[list[bytes]], bool], seconds: float = ANSWER_SECONDS) -> bool:
        """Until `enough` of what was received; False if that does not come, or the end did."""
        with self._changed:
            return self._changed.wait_for(
                lambda: enough(self.received) or self.end is not None, seconds
            ) and enough(self.received)

    def wait_end(self, seconds: float = ANSWER_SECONDS) -> Answer | None:
        with self._changed:
            self._changed.wait_for(lambda: self.end is not None, seconds)
            return self.end

    def close(self) -> None:
        """Cancel it, and let its reader end."""
        self._call.cancel()
        self._requests.put(None)
        self._reader.join()
