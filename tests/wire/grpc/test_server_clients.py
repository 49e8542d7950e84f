"""Real clients against the server: grpcio (C core), etcdctl (grpc-go), h2load (nghttp2)."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio

from wire.errors import FutureRevision
from wire.grpc.service import Registry, ServerStream, UnaryCall
from wire.http2.connection import serve_connection
from wire.log import NullLog
from wire.pb import etcdserverpb, mvccpb

ETCDCTL = "/usr/bin/etcdctl"


class Echo:
    def submit(self, calls: list[UnaryCall]) -> None:
        for call in calls:
            call.reply(call.payload)


class Store:
    """As much of etcd's KV and Watch as etcdctl's put, get and watch need."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.revision = 1
        self.changed = trio.Event()
        self.watched = trio.Event()

    def submit(self, calls: list[UnaryCall]) -> None:
        for call in calls:
            if call.method.name == "Put":
                self._put(call)
            else:
                self._range(call)

    def _header(self) -> Any:
        return etcdserverpb.ResponseHeader(cluster_id=1, member_id=2, revision=self.revision)

    def _put(self, call: UnaryCall) -> None:
        request = etcdserverpb.PutRequest.FromString(call.payload)
        self.revision += 1
        self.rows[request.key] = request.value
        self.changed.set()
        self.changed = trio.Event()
        call.reply(etcdserverpb.PutResponse(header=self._header()).SerializeToString())

    def _range(self, call: UnaryCall) -> None:
        request = etcdserverpb.RangeRequest.FromString(call.payload)
        if request.revision > self.revision:
            call.refuse(FutureRevision())
            return
        found = {key: value for key, value in self.rows.items() if key == request.key}
        rows = [mvccpb.KeyValue(key=key, value=value) for key, value in found.items()]
        response = etcdserverpb.RangeResponse(header=self._header(), kvs=rows, count=len(rows))
        call.reply(response.SerializeToString())

    async def watch(self, stream: ServerStream) -> None:
        message = await stream.receive()
        assert message is not None
        key = etcdserverpb.WatchRequest.FromString(message).create_request.key
        response = etcdserverpb.WatchResponse(header=self._header(), created=True)
        await stream.send(response.SerializeToString())
        self.watched.set()
        while True:
            await self.changed.wait()
            row = mvccpb.KeyValue(key=key, value=self.rows.get(key, b""))
            event = mvccpb.Event(kv=row)
            response = etcdserverpb.WatchResponse(header=self._header(), events=[event])
            await stream.send(response.SerializeToString())


async def _bidi(stream: ServerStream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def _pour(stream: ServerStream) -> None:
    for _ in range(int(await stream.receive() or 0)):
        await stream.send(bytes(100_000))


async def _held(call: UnaryCall) -> bytes:
    await trio.sleep_forever()
    return b""


@asynccontextmanager
async def serving(registry: Registry) -> AsyncIterator[str]:
    async def handle(stream: trio.SocketStream) -> None:
        await serve_connection(stream, registry, log=NullLog())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def registry(store: Store) -> Registry:
    registry = Registry()
    registry.batch(Echo(), "/test.Echo/Batch")
    registry.stream("/test.Echo/Bidi", _bidi, "bidi_stream")
    registry.stream("/test.Echo/Pour", _pour, "server_stream")
    registry.unary("/test.Echo/Held", _held)
    registry.batch(store, "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range")
    registry.stream("/etcdserverpb.Watch/Watch", store.watch, "bidi_stream")
    return registry


async def with_grpcio(
    registry: Registry, use: Callable[[grpc.Channel], None], **options: Any
) -> None:
    """Run `use` with a grpcio channel, in a thread."""
    settings = [(f"grpc.{name}", value) for name, value in options.items()]

    def talk(address: str) -> None:
        with grpc.insecure_channel(address, options=settings) as channel:
            use(channel)

    async with serving(registry) as address:
        with trio.fail_after(60):
            await trio.to_thread.run_sync(talk, address)


async def test_grpcio_calls(registry):
    def use(channel: grpc.Channel) -> None:
        call = channel.unary_unary("/test.Echo/Batch")
        futures = [call.future(b"%d" % n, timeout=30) for n in range(500)]
        assert [future.result() for future in futures] == [b"%d" % n for n in range(500)]
        reply, details = call.with_call(b"x", metadata=[("token", "abc"), ("n-bin", b"\xff")])
        assert (reply, details.code()) == (b"x", grpc.StatusCode.OK)

    await with_grpcio(registry, use)


async def test_grpcio_large_messages_both_ways(registry):
    def use(channel: grpc.Channel) -> None:
        for path in ("/test.Echo/Batch", "/test.Echo/Bidi"):
            body = bytes(range(256)) * 8000
            if path.endswith("Batch"):
                calls = [channel.unary_unary(path).future(body) for _ in range(20)]
                assert all(call.result() == body for call in calls)
            else:
                assert list(channel.stream_stream(path)(iter([body] * 20))) == [body] * 20

    await with_grpcio(registry, use, max_receive_message_length=-1)


@pytest.mark.parametrize(
    ("path", "code", "details"),
    [
        ("/test.Echo/Nope", "UNIMPLEMENTED", "unknown method Nope for service test.Echo"),
        ("/test.Echo/Held", "DEADLINE_EXCEEDED", None),
    ],
)
async def test_grpcio_refusals(path, code, details, registry):
    def use(channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"", timeout=0.2)
        assert caught.value.code().name == code
        assert details is None or caught.value.details() == details

    await with_grpcio(registry, use)


async def test_grpcio_gzip(registry):
    def use(channel: grpc.Channel) -> None:
        body = b"abc" * 10_000
        call = channel.unary_unary("/test.Echo/Batch")
        assert call(body, compression=grpc.Compression.Gzip) == body

    await with_grpcio(registry, use)


async def test_grpcio_cancels_and_goes_on(registry):
    def use(channel: grpc.Channel) -> None:
        for _ in range(100):
            channel.unary_unary("/test.Echo/Held").future(b"").cancel()
        assert channel.unary_unary("/test.Echo/Batch")(b"still here") == b"still here"

    await with_grpcio(registry, use)


async def test_grpcio_reads_a_long_stream(registry):
    def use(channel: grpc.Channel) -> None:
        assert sum(map(len, channel.unary_stream("/test.Echo/Pour")(b"300"))) == 30_000_000

    await with_grpcio(registry, use)


async def test_grpcio_is_drained_and_comes_back(registry):
    """A drained connection's client reconnects without a failed call."""
    draining, connections = [trio.Event() for _ in range(2)], 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        event = draining[connections - 1]
        await serve_connection(stream, registry, log=NullLog(), draining=event)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"

        def talk() -> None:
            with grpc.insecure_channel(address) as channel:
                call = channel.unary_unary("/test.Echo/Batch")
                for n in range(400):
                    if n == 200:
                        trio.from_thread.run_sync(draining[0].set)
                    assert call(b"%d" % n, wait_for_ready=True) == b"%d" % n

        with trio.fail_after(60):
            await trio.to_thread.run_sync(talk)
        assert connections == 2
        nursery.cancel_scope.cancel()


async def etcdctl(address: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(30):
        return await trio.run_process(
            [ETCDCTL, f"--endpoints={address}", *arguments],
            env={"ETCDCTL_API": "3"},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


async def test_etcdctl_puts_and_gets(registry):
    async with serving(registry) as address:
        assert (await etcdctl(address, "put", "foo", "bar")).stdout == b"OK\n"
        assert (await etcdctl(address, "get", "foo")).stdout == b"foo\nbar\n"
        refused = await etcdctl(address, "get", "foo", "--rev=99")
        assert refused.returncode == 1
        assert b"mvcc: required revision is a future revision" in refused.stderr


async def test_etcdctl_watches(registry, store):
    async with serving(registry) as address, trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [ETCDCTL, f"--endpoints={address}", "watch", "foo"],
                env={"ETCDCTL_API": "3"},
                stdout=subprocess.PIPE,
                check=False,
            )
        )
        with trio.fail_after(30):
            await store.watched.wait()
            await etcdctl(address, "put", "foo", "bar")
            seen = b""
            while not seen.endswith(b"PUT\nfoo\nbar\n"):
                seen += await process.stdout.receive_some()
        nursery.cancel_scope.cancel()


async def test_h2load_loses_no_call(registry, tmp_path: Path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\x03abc")
    async with serving(registry) as address:
        with trio.fail_after(60):
            command = ["h2load", "-n", "20000", "-c", "10", "-m", "50", "-d", str(body)]
            command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
            command.append(f"http://{address}/test.Echo/Batch")
            done = await trio.run_process(command, capture_stdout=True)
    assert b"20000 succeeded, 0 failed, 0 errored" in done.stdout
    assert registry.methods[b"/test.Echo/Batch"].counts.ok == 20_000
