"""How long a lone client waits, while something else goes on."""

from __future__ import annotations

import random
from types import TracebackType

import trio

from wire.grpc.channel import open_channel
from wire.network import Address, RealNetwork
from wire.pb import etcdserverpb

PAUSE = 0.005  # seconds between two calls
ANSWER_SECONDS = 10.0
FILLERS = 4  # clients that fill
ROWS = 50  # in one transaction
ROW_BYTES = 1000
PUT, RANGE, TXN = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn"


class Probe:
    """Puts and reads one key, by turns, as long as the block lasts; notes how long each took."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._noted: dict[str, list[tuple[float, float]]] = {"put": [], "range": []}
        self._nursery_manager = trio.open_nursery()

    async def __aenter__(self) -> Probe:
        self._nursery = await self._nursery_manager.__aenter__()
        self._nursery.start_soon(self._run)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._nursery.cancel_scope.cancel()
        return await self._nursery_manager.__aexit__(kind, error, traceback)

    def p99(self, since: float, until: float) -> dict[str, float]:
        """Seconds, by kind of call, of those begun in the time."""
        found = {}
        for kind, noted in self._noted.items():
            times = sorted(took for began, took in noted if since <= began < until)
            found[kind] = times[int(0.99 * len(times))]
        return found

    async def _run(self) -> None:
        put = etcdserverpb.PutRequest(key=b"probe", value=b"v" * 100).SerializeToString()
        read = etcdserverpb.RangeRequest(key=b"probe").SerializeToString()
        network = RealNetwork()
        async with open_channel(network, self._address, random.Random(1)) as channel:
            while True:
                for kind, path, request in (("put", PUT, put), ("range", RANGE, read)):
                    began = trio.current_time()
                    await channel.unary(path, request, timeout=ANSWER_SECONDS)
                    self._noted[kind].append((began, trio.current_time() - began))
                    await trio.sleep(PAUSE)


async def fill(address: Address, megabytes: int, rng: random.Random) -> None:
    """So many million bytes of values."""
    transactions = iter(range(megabytes * 1_000_000 // (ROWS * ROW_BYTES)))
    async with open_channel(RealNetwork(), address, rng) as channel:

        async def work() -> None:
            for number in transactions:
                request = etcdserverpb.TxnRequest()
                for row in range(ROWS):
                    put = request.success.add().request_put
                    put.key = b"fill/%09d" % (number * ROWS + row)
                    put.value = rng.randbytes(ROW_BYTES)
                await channel.unary(TXN, request.SerializeToString(), timeout=ANSWER_SECONDS)

        async with trio.open_nursery() as nursery:
            for _ in range(FILLERS):
                nursery.start_soon(work)
