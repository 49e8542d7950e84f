"""/debug/profile: one at a time, no longer than a minute, and only for who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from actors.kernel import ThreadWorker
from actors.kernel.sampler import Sampler
from trioetcd.api.profile import ProfilePage
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings
from wire.http import HTTPRequest


def asked(query: str) -> HTTPRequest:
    return HTTPRequest("GET", f"/debug/profile?{query}")


class Thread:
    """A worker on the test's clock: the profile lasts until it is stopped, or its time is up."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        sampler = function.__self__  # type: ignore[attr-defined]
        end = trio.current_time() + args[0]
        with trio.CancelScope(shield=True):  # as a thread is
            while not sampler.is_stopped and trio.current_time() < end:  # noqa: ASYNC110
                await trio.sleep(0.01)
        sampler.samples += 1


@pytest.mark.parametrize(
    "query", ["seconds=0", "seconds=-1", "seconds=61", "seconds=x", "seconds=nan"]
)
async def test_the_time_is_bounded(query: str):
    response = await ProfilePage(Thread(), Sampler)(asked(query))
    assert response.status == 400


async def test_never_two_at_once(autojump_clock):
    page = ProfilePage(Thread(), Sampler)
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await page(asked("seconds=5"))).status)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert sorted(statuses) == [200, 503, 503]
    assert (await page(asked("seconds=1"))).status == 200


async def test_who_goes_away_ends_the_profile(autojump_clock):
    page = ProfilePage(Thread(), Sampler)
    with trio.move_on_after(1):
        await page(asked("seconds=60"))
    assert trio.current_time() < 2
    assert (await page(asked("seconds=1"))).status == 200


async def test_stacks_are_folded_with_the_thread_first():
    page = ProfilePage(ThreadWorker(1), Sampler)
    response = await page(asked("seconds=0.1"))
    lines = response.body.decode().splitlines()
    stack, count = lines[0].rsplit(" ", 1)
    assert int(count) >= 1
    main = next(line for line in lines if line.startswith("MainThread;"))
    assert main.count(";") > 3
    assert "test_profile" in response.body.decode() or "trio" in response.body.decode()
    assert stack


async def test_without_the_flag_there_is_no_page():
    async with open_node(NodeSettings()) as node:
        assert (await node.web.handle(asked("seconds=1"))).status == 404
    async with open_node(NodeSettings(profiles=True)) as node:
        assert (await node.web.handle(asked("seconds=0.05"))).status == 200
