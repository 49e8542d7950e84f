"""The worker pool, on trioetcd and on Go's etcd: leaders and workers are lost, no item is."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from examples.worker_pool.pool import CONFIG, JOBS, PLAN, RESULTS, run_pool
from tests.client.conftest import SERVERS, open_server
from trioetcd import open_client
from trioetcd.client import Cache

SECONDS = 40.0


@pytest.fixture(params=SERVERS)
async def url(request, tmp_path):
    async with open_server(request.param, tmp_path) as found:
        yield found


class Pool:
    """Several processes of it, as tasks, each with a client of its own."""

    def __init__(self, url: str, nursery: trio.Nursery) -> None:
        self._url = url
        self._nursery = nursery
        self.scopes: dict[str, trio.CancelScope] = {}
        self.done: Counter[str] = Counter()  # by process
        self.stuck: dict[str, trio.Event] = {}  # items that take for ever, until they are begun
        self.holder: dict[str, str] = {}

    def start(self, name: str) -> None:
        self.scopes[name] = trio.CancelScope()
        self._nursery.start_soon(self._run, name)

    async def _run(self, name: str) -> None:
        async def work(item: str, config: Cache) -> str:
            begun = self.stuck.pop(item, None)
            if begun is not None:
                self.holder[item] = name
                begun.set()
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()
            self.done[name] += 1
            return f"{config.text(f'{CONFIG}word', 'done')} {item}"

        with self.scopes[name]:
            async with open_client(self._url) as client:
                await run_pool(client, name, work)


async def plan(client, items: list[str]) -> None:
    for item in items:
        await client.put(f"{PLAN}{item}", "")


async def until(cache: Cache, count: int) -> None:
    changes = cache.changes()
    while len(cache) < count:
        await anext(changes)


async def until_empty(client, prefix: str) -> None:
    async with client.cache(prefix) as left:
        changes = left.changes()
        while len(left):
            await anext(changes)


async def test_no_item_is_lost_or_done_twice(url):
    first, second = ([f"{word}{number}" for number in range(20)] for word in ("a", "b"))
    with trio.fail_after(SECONDS):
        async with (
            open_client(url) as client,
            client.cache(RESULTS) as results,
            trio.open_nursery() as nursery,
        ):
            pool = Pool(url, nursery)
            for name in ("x", "y", "z"):
                pool.start(name)
            await plan(client, first)
            await until(results, 20)
            assert {kv.text for kv in results} == {f"done {item}" for item in first}

            # The leader is lost: another one hands out what comes.
            leading = await client.leader("pool/leader")
            pool.scopes[leading.text].cancel()
            await plan(client, second)
            await until(results, 40)
            async for now in client.observe("pool/leader"):
                if now.text != leading.text:
                    break

            # A worker is lost in the middle of an item: another one does it.
            begun = pool.stuck["slow"] = trio.Event()
            await plan(client, ["slow"])
            await begun.wait()
            lost = pool.holder["slow"]
            pool.start("fresh")
            pool.scopes[lost].cancel()
            await until(results, 41)
            assert results[f"{RESULTS}slow"].text == "done slow"
            assert {kv.key.decode() for kv in results} == {
                f"{RESULTS}{item}" for item in (*first, *second, "slow")
            }
            await until_empty(client, f"{JOBS}/")
            await until_empty(client, PLAN)
            nursery.cancel_scope.cancel()


async def test_settings_are_followed_while_it_runs(url):
    with trio.fail_after(SECONDS):
        async with (
            open_client(url) as client,
            client.cache(RESULTS) as results,
            trio.open_nursery() as nursery,
        ):
            await client.put(f"{CONFIG}workers", "0")
            pool = Pool(url, nursery)
            pool.start("x")
            await plan(client, ["one"])
            async with client.watch(prefix=f"{JOBS}/", start_revision=1) as batches:
                await anext(batches)  # handed out, and nobody works
            assert len(results) == 0
            await client.put(f"{CONFIG}word", "fresh")
            await client.put(f"{CONFIG}workers", "3")
            await until(results, 1)
            assert results[f"{RESULTS}one"].text == "fresh one"
            nursery.cancel_scope.cancel()
