"""How many empty unary calls one connection layer answers, driven by h2load.

    python -m tests.perf.empty_calls [seconds]

Not a test: it prints calls/s for connections x streams, the best of three runs each, and the
processor time the server took for one.
Needs h2load (Debian: nghttp2-client).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from wire.grpc.service import Registry, UnaryCall
from wire.http2.connection import serve_connection
from wire.log import NullLog

SHAPES = ((1, 1), (10, 1), (10, 10), (10, 100))
RUNS = 3
PATH = "/test.Echo/Batch"


class Empty:
    """Answers every call with an empty message, at once."""

    def submit(self, calls: list[UnaryCall]) -> None:
        for call in calls:
            call.reply(b"")


async def serve(task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve on a free port of localhost, and say which."""
    registry = Registry()
    registry.batch(Empty(), PATH)

    async def handle(stream: trio.SocketStream) -> None:
        await serve_connection(stream, registry, log=NullLog())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        task_status.started(listeners[0].socket.getsockname()[1])


async def serve_alone() -> None:
    """The server's process: print the port, serve until killed."""
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve), flush=True)


def measure(port: int, body: Path, connections: int, streams: int, seconds: int) -> float:
    """Calls/s of one run."""
    command = ["h2load", "-c", str(connections), "-m", str(streams), "-D", str(seconds)]
    command += ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"([\d.]+) req/s", output)
    assert found is not None, output
    assert " 0 failed" in output, output
    return float(found[1])


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used: what the machine's other work does not disturb."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as directory:
        body = Path(directory, "body")
        body.write_bytes(bytes(5))
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.perf.empty_calls", "serve"], stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            for connections, streams in SHAPES:
                before = cpu_seconds(server.pid)
                rates = [measure(port, body, connections, streams, seconds) for _ in range(RUNS)]
                used = (cpu_seconds(server.pid) - before) / (sum(rates) * seconds)
                print(
                    f"{connections}x{streams}: {max(rates):,.0f} calls/s, "
                    f"{used * 1e6:.1f} µs of server time per call",
                    flush=True,
                )
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        trio.run(serve_alone)
    else:
        main()
