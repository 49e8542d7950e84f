"""Members that find each other at another etcd: here, one of ours."""

from __future__ import annotations

import json
import random
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from tests.cli.test_serve import DEADLINE, command, flags, free_port, refused, serving
from tests.interop.processes import clean_environment
from trioetcd.discovery.errors import DiscoveryError
from trioetcd.discovery.registry import Unreachable, open_registry
from trioetcd.discovery.service import Self, find_by_service
from wire.grpc.channel import open_channel
from wire.log import NullLog
from wire.network import RealNetwork, parse_url
from wire.pb import etcdserverpb


class Table:
    """A registry that all members of a test share; it may be away for some calls."""

    token = "t"

    def __init__(self, size: int, absent: int = 0) -> None:
        self._size = size
        self._absent = absent
        self._entries: list[tuple[str, str]] = []
        self._changed = trio.Event()

    def _answer(self) -> None:
        if self._absent:
            self._absent -= 1
            raise Unreachable("connection refused")

    async def size(self) -> int:
        self._answer()
        return self._size

    async def members(self) -> tuple[list[tuple[str, str]], int]:
        self._answer()
        return list(self._entries), len(self._entries)

    async def register(self, member: str, entry: str) -> None:
        self._answer()
        self._entries.append((member, entry))
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self, revision: int) -> None:
        if len(self._entries) <= revision:
            await self._changed.wait()


async def find(table: Table, name: str, urls: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    own = Self(name, urls or (f"http://{name}:2380",))
    return await find_by_service(table, own, NullLog(), random.Random(1))


async def test_all_find_the_same_members(autojump_clock):
    table = Table(3)
    found = []

    async def begin(name: str) -> None:
        found.append(await find(table, name))

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(begin, name)
    assert found == [{name: (f"http://{name}:2380",) for name in "abc"}] * 3


async def test_one_too_many_is_refused(autojump_clock):
    table = Table(1)
    assert await find(table, "a") == {"a": ("http://a:2380",)}
    with pytest.raises(DiscoveryError, match=r"\(discovery: cluster is full\)$"):
        await find(table, "b")


async def test_one_that_was_there_before_is_still_in_it(autojump_clock):
    table = Table(1)
    assert await find(table, "a") == await find(table, "a")


async def test_a_service_that_is_away_is_waited_for(autojump_clock):
    began = trio.current_time()
    await find(Table(1, absent=3), "a")
    assert trio.current_time() - began > 2 + 4  # pauses that double


async def test_a_url_that_two_have_is_refused(autojump_clock):
    table = Table(2)
    await table.register("1", "b=http://a:2380")
    with pytest.raises(DiscoveryError, match="has duplicate url"):
        await find(table, "a")


# -- Processes


async def put(url: str, key: str, value: str) -> None:
    request = etcdserverpb.PutRequest(key=key.encode(), value=value.encode())
    async with open_channel(
        RealNetwork(), parse_url(url), random.Random(1), options=None
    ) as channel:
        await channel.unary("/etcdserverpb.KV/Put", request.SerializeToString(), timeout=DEADLINE)


def test_three_processes_find_each_other(tmp_path: Path):
    port = free_port()
    service = f"http://127.0.0.1:{port}"
    with serving(*flags(tmp_path / "service", port, free_port())), ExitStack() as stack:
        trio.run(put, service, "/_etcd/registry/one/_config/size", "3")
        members = []
        for name in ("a", "b", "c"):
            given = [
                *flags(tmp_path / name, free_port(), free_port()),
                f"--name={name}",
                "--discovery-token=one",
                f"--discovery-endpoints={service}",
            ]
            process = subprocess.Popen(
                command(*given), stderr=subprocess.PIPE, text=True, env=clean_environment()
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            members.append(process)
        for process in members:
            assert process.stderr is not None
            messages = [json.loads(process.stderr.readline())["msg"]]
            while messages[-1] != "ready to serve client requests":
                messages.append(json.loads(process.stderr.readline())["msg"])
            assert "discovery joined cluster successfully" in messages


def test_a_token_that_nobody_gave_a_size_is_refused(tmp_path: Path):
    port = free_port()
    with serving(*flags(tmp_path / "service", port, free_port())):
        status, line = refused(
            *flags(tmp_path / "a", free_port(), free_port()),
            "--discovery-token=two",
            f"--discovery-endpoints=http://127.0.0.1:{port}",
        )
    assert status == 1
    assert "failed to join discovery cluster (discovery: size key not found)" in line


async def test_what_is_no_endpoint_is_refused():
    with pytest.raises(DiscoveryError, match="discovery: "):
        async with open_registry(
            RealNetwork(),
            ["ftp://127.0.0.1:1"],
            "t",
            random.Random(1),
            tls=None,
            dial_timeout=1.0,
            request_timeout=1.0,
        ):
            pass
