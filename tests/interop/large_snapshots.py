"""Many keys through a snapshot into servers of every kind, which must then hold the same and,
told the same, do the same.

Deletions and compactions after the start make Go's bbolt take apart the trees that were written
here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import Message

from tests.interop.differential.clients import Client
from tests.interop.processes import Server, running
from tests.interop.snapshots import KINDS, PEER_URL, restored, save
from wire.pb import etcdserverpb as pb

TXN_OPS = 128  # etcd's limit
IN_FLIGHT = 32  # transactions
PAGE_KEYS = 10_000
VALUE_BYTES = 200  # at most
LATER_TXNS = 40


class Held(NamedTuple):
    """What a server holds, for comparison."""

    revision: int
    keys: int
    digest: str  # of all KeyValues, in order
    hash: int  # HashKV


class Differs(Exception):
    """A server does not hold what the snapshot was taken of."""


def put_many(client: Client, count: int, seed: int) -> None:
    """Keys with values of several sizes, a tenth put twice; some are deleted, `count` stay."""
    rng = random.Random(seed)
    keys = [b"/registry/pods/%08x" % rng.getrandbits(32) for _ in range(count * 11 // 10)]
    writes = keys + rng.sample(keys, count // 10)
    value = rng.randbytes(VALUE_BYTES)
    waiting = []
    for start in range(0, len(writes), TXN_OPS):
        request = pb.TxnRequest()
        # A transaction must not put a key twice.
        for key in dict.fromkeys(writes[start : start + TXN_OPS]):
            put = request.success.add().request_put
            put.key, put.value = key, value[: rng.randrange(VALUE_BYTES)]
        waiting.append(client.begin("etcdserverpb.KV/Txn", request.SerializeToString()))
        if len(waiting) == IN_FLIGHT:
            _finish(client, waiting)
    _finish(client, waiting)
    _delete(client, rng, 16)


def _finish(client: Client, waiting: list[object]) -> None:
    for call in waiting:
        answer = client.finish(call)
        if answer.code != "OK":
            raise Differs(f"a transaction ended with {answer}")
    waiting.clear()


def _delete(client: Client, rng: random.Random, share: int) -> None:
    """One of `share` parts of all keys."""
    first = rng.randrange(share) * 0x1_0000_0000 // share
    key = b"/registry/pods/%08x" % first
    end = b"/registry/pods/%08x" % (first + 0x1_0000_0000 // share)
    _call(client, "KV/DeleteRange", pb.DeleteRangeRequest(key=key, range_end=end))


def _call(client: Client, method: str, request: Message) -> bytes:
    answer = client.call(f"etcdserverpb.{method}", request.SerializeToString())
    if answer.code != "OK":
        raise Differs(f"{method} ended with {answer}")
    return answer.body


def held_by(client: Client) -> Held:
    digest, keys, start, revision = sha256(), 0, b"\0", 0
    while True:
        request = pb.RangeRequest(key=start, range_end=b"\0", limit=PAGE_KEYS)
        page = pb.RangeResponse.FromString(_call(client, "KV/Range", request))
        for keyvalue in page.kvs:
            digest.update(keyvalue.SerializeToString(deterministic=True))
        keys += len(page.kvs)
        revision = page.header.revision
        if not page.more:
            break
        start = page.kvs[-1].key + b"\0"
    hashed = pb.HashKVResponse.FromString(_call(client, "Maintenance/HashKV", pb.HashKVRequest()))
    return Held(revision, keys, digest.hexdigest(), hashed.hash)


def go_on(client: Client, held: Held, seed: int) -> None:
    """Deletions, new keys and compactions, the same everywhere."""
    rng = random.Random(seed)
    for number in range(LATER_TXNS):
        if number % 4 == 0:
            _delete(client, rng, 8)
        put = pb.PutRequest(key=b"later%d" % number, value=b"v" * rng.randrange(20_000))
        _call(client, "KV/Put", put)
        if number % 10 == 9:
            compact = pb.CompactionRequest(revision=held.revision + number // 2, physical=True)
            _call(client, "KV/Compact", compact)


def round_trip(
    kind: str, count: int, seed: int, home: Path, say: Callable[[str], None], targets=KINDS
) -> None:
    """Raises Differs."""
    with running(kind, home / "first", peer_url=PEER_URL) as server:
        client = Client(server.address)
        put_many(client, count, seed)
        held = held_by(client)
        began = time.monotonic()
        snapshot = save(server, home / "snapshot")
        say(
            f"{kind}: {held.keys} keys, revision {held.revision}, HashKV {held.hash}; "
            f"{snapshot.stat().st_size} bytes saved in {time.monotonic() - began:.2f} s"
        )
        client.close()
    later = set()
    for target in targets:
        began = time.monotonic()
        with restored(target, snapshot, home / "restored") as server:
            say(f"  restored into {target}, serving after {time.monotonic() - began:.2f} s")
            later.add(_compare(server, held, seed))
    if len(later) != 1:
        raise Differs(f"told the same, they hold {later}")
    say(f"  all hold the same, and after the same changes HashKV {later.pop().hash}")


def _compare(server: Server, held: Held, seed: int) -> Held:
    """Returns what it holds after further changes."""
    client = Client(server.address)
    found = held_by(client)
    if found != held:
        raise Differs(f"{server.kind} holds {found}, the snapshot was of {held}")
    go_on(client, held, seed)
    client.close()
    server.etcdctl("defrag", "--command-timeout=60s")
    server.restart()
    client = Client(server.address)
    found = held_by(client)
    client.close()
    return found
