"""The client's calls a second beside other Python clients', against the same servers in one run.

    python scripts/bench_client.py                # all, medians of three rounds
    python scripts/bench_client.py --seconds 5 --rounds 5

Each client puts values of 100 bytes from one process on its own, with so many calls under way at
once: ours on Trio, aetcd on asyncio, and grpcio's own stubs, on asyncio and on threads.  Prints
calls a second and the ratio of ours to the fastest other; exits with 1 if that is below two at a
hundred under way.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.processes import running  # noqa: E402

SERVERS = ("etcd-3.5.1", "trioetcd")
UNDER_WAY = (1, 10, 100)
LEAST_RATIO = 2.0
VALUE = b"v" * 100

# Each of these runs in a process of its own: puts until `seconds` are over; prints how many.


def ours(address: str, under_way: int, seconds: float) -> int:
    import trio

    from trioetcd import open_client

    count = 0

    async def worker(client, number: int) -> None:
        nonlocal count
        while True:
            await client.put(b"key/%d" % number, VALUE)
            count += 1

    async def main() -> None:
        async with open_client(f"http://{address}") as client:
            await client.put("key", VALUE)  # connected
            with trio.move_on_after(seconds):
                async with trio.open_nursery() as nursery:
                    for number in range(under_way):
                        nursery.start_soon(worker, client, number)

    trio.run(main)
    return count


def aetcd(address: str, under_way: int, seconds: float) -> int:
    import aetcd as library

    host, _, port = address.rpartition(":")

    async def connected(put_many) -> None:
        async with library.Client(host=host, port=int(port)) as client:
            await client.put(b"key", VALUE)
            await put_many(lambda number: client.put(b"key/%d" % number, VALUE))

    return _on_asyncio(connected, under_way, seconds)


def grpcio_aio(address: str, under_way: int, seconds: float) -> int:
    import grpc.aio

    async def connected(put_many) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            put, request = _stub(channel)
            await put(request(0))
            await put_many(lambda number: put(request(number)))

    return _on_asyncio(connected, under_way, seconds)


def grpcio_threads(address: str, under_way: int, seconds: float) -> int:
    import threading
    import time

    import grpc

    counts = [0] * under_way
    with grpc.insecure_channel(address) as channel:
        put, request = _stub(channel)
        put(request(0))
        until = time.monotonic() + seconds

        def worker(number: int) -> None:
            while time.monotonic() < until:
                put(request(number))
                counts[number] += 1

        threads = [threading.Thread(target=worker, args=(n,)) for n in range(under_way)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(counts)


def _stub(channel):
    from wire.pb import etcdserverpb as pb

    put = channel.unary_unary(
        "/etcdserverpb.KV/Put",
        request_serializer=pb.PutRequest.SerializeToString,
        response_deserializer=pb.PutResponse.FromString,
    )
    return put, lambda number: pb.PutRequest(key=b"key/%d" % number, value=VALUE)


def _on_asyncio(connected, under_way: int, seconds: float) -> int:
    import asyncio

    count = 0

    async def put_many(put) -> None:
        async def worker(number: int) -> None:
            nonlocal count
            while True:
                await put(number)
                count += 1

        async def all_workers() -> None:
            await asyncio.gather(*map(worker, range(under_way)))

        with suppress(TimeoutError):
            await asyncio.wait_for(all_workers(), seconds)

    asyncio.run(connected(put_many))
    return count


CLIENTS: dict[str, Callable[[str, int, float], int]] = {
    "trioetcd": ours,
    "aetcd": aetcd,
    "grpcio, asyncio": grpcio_aio,
    "grpcio, threads": grpcio_threads,
}


def measured(client: str, address: str, under_way: int, seconds: float) -> float:
    """Calls a second of a process that does nothing else."""
    command = [sys.executable, __file__, "--client", client, address, str(under_way), str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds * 5 + 60, check=True
    )
    return int(done.stdout) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        name, address, under_way, seconds = options.client
        print(CLIENTS[name](address, int(under_way), float(seconds)))
        return 0
    is_well = True
    for server in SERVERS:
        with tempfile.TemporaryDirectory() as home, running(server, Path(home)) as process:
            for under_way in UNDER_WAY:
                found: dict[str, list[float]] = {name: [] for name in CLIENTS}
                for _ in range(options.rounds):
                    for name in CLIENTS:
                        rate = measured(name, process.address, under_way, options.seconds)
                        found[name].append(rate)
                medians = {name: statistics.median(rates) for name, rates in found.items()}
                ratio = medians["trioetcd"] / max(medians[name] for name in list(CLIENTS)[1:])
                shown = ", ".join(f"{name} {rate:,.0f}" for name, rate in medians.items())
                print(
                    f"{server:>10} {under_way:>4} under way: {shown}; ratio {ratio:.2f}", flush=True
                )
                is_well = is_well and (under_way < max(UNDER_WAY) or ratio >= LEAST_RATIO)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
