"""Waits until the nodes of a cluster serve, and shows how they stand as a table.

    python scripts/cluster_status.py --wait 60 [--alive "PIDS"] [--tls DIRECTORY] NODE…

A node is name:client port:peer port, on this machine.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

import trio

from wire.errors import EtcdError
from wire.grpc.channel import open_channel
from wire.log import NullLog
from wire.network import Address, RealNetwork
from wire.pb import etcdserverpb
from wire.tls import ClientTLS, TLSSettings

COLUMNS = ("node", "endpoint", "id", "version", "leader", "term", "index", "db size")
PAUSE = 0.2  # seconds between two looks


def security(directory: Path | None) -> ClientTLS | None:
    if directory is None:
        return None
    files = {
        "cert_file": directory / "client.pem",
        "key_file": directory / "client-key.pem",
        "trusted_ca_file": directory / "ca.pem",
    }
    return ClientTLS(TLSSettings(**{name: str(path) for name, path in files.items()}), NullLog())


async def status_of(address: Address, tls: ClientTLS | None) -> etcdserverpb.StatusResponse | None:
    """None while the node does not answer, or knows no leader."""
    network = RealNetwork(reuse_port=False, reuse_address=False)
    answer = None
    async with open_channel(network, address, random.Random(), tls=tls) as channel:
        try:
            data = await channel.unary("/etcdserverpb.Maintenance/Status", b"", timeout=5)
            answer = etcdserverpb.StatusResponse.FromString(data)
        except (EtcdError, OSError):
            pass
    return answer if answer is not None and answer.leader else None


def alive(pids: str) -> bool:
    for pid in pids.split():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
    return True


async def row(node: str, tls: ClientTLS | None, pids: str) -> tuple[str, ...] | None:
    name, port, _ = node.split(":")
    scheme = "http" if tls is None else "https"
    address = Address("127.0.0.1", int(port), secure=tls is not None)
    while (status := await status_of(address, tls)) is None:
        if not alive(pids):
            return None
        await trio.sleep(PAUSE)
    own = status.header.member_id
    return (
        name,
        f"{scheme}://127.0.0.1:{port}",
        f"{own:x}",
        status.version,
        "yes" if status.leader == own else "no",
        str(status.raftTerm),
        str(status.raftIndex),
        f"{status.dbSize // 1024} KiB",
    )


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wait", type=float, default=60.0, help="seconds")
    parser.add_argument("--alive", default="", help="processes without which waiting is in vain")
    parser.add_argument("--tls", type=Path, help="where ca.pem, client.pem and its key are")
    parser.add_argument("nodes", nargs="+", metavar="NODE")
    given = parser.parse_args()
    tls = security(given.tls)
    rows: dict[str, tuple[str, ...]] = {}

    async def look(node: str) -> None:
        found = await row(node, tls, given.alive)
        if found is not None:
            rows[node] = found

    with trio.move_on_after(given.wait):
        async with trio.open_nursery() as nursery:
            for node in given.nodes:
                nursery.start_soon(look, node)
    if len(rows) < len(given.nodes) or not alive(given.alive):
        missing = [node.split(":")[0] for node in given.nodes if node not in rows]
        print(f"not serving: {', '.join(missing) or 'one that has ended'}", file=sys.stderr)
        return 1
    table = [COLUMNS, *(rows[node] for node in given.nodes)]
    widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
    for line in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
    return 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
