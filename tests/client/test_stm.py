"""Software transactional memory, on every server."""

from __future__ import annotations

import random

import pytest
import trio

from trioetcd.client import STM, Conflict, key, put

ACCOUNTS = [f"account/{number}" for number in range(4)]
TASKS, TRANSFERS = 10, 3


@pytest.mark.parametrize("isolation", ["serializable-snapshot", "serializable", "repeatable-reads"])
async def test_money_is_neither_made_nor_lost(client, isolation):
    for account in ACCOUNTS:
        await client.put(account, "100")
    rng = random.Random(4)

    async def transfer(stm: STM) -> None:
        source, target = rng.sample(ACCOUNTS, 2)
        amount = rng.randrange(10)
        stm.put(source, str(int(await stm.text(source)) - amount))
        stm.put(target, str(int(await stm.text(target)) + amount))

    async def teller() -> None:
        for _ in range(TRANSFERS):
            await client.stm(transfer, isolation=isolation, attempts=1000)

    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(teller)
    found = await client.get_prefix("account/")
    assert sum(int(kv.text) for kv in found.items) == 400
    assert max(kv.mod_revision for kv in found.items) == 1 + len(ACCOUNTS) + TASKS * TRANSFERS


async def test_an_attempt_reads_what_it_has_written(client):
    await client.put("a", "1")

    async def work(stm: STM) -> list[object]:
        seen: list[object] = [await stm.get("a"), await stm.get("b"), await stm.text("b", "none")]
        stm.put("a", "2")
        stm.put("b", b"\xff")
        stm.delete("c")
        return [*seen, await stm.text("a"), await stm.get("b"), await stm.get("c")]

    assert await client.stm(work) == [b"1", None, "none", "2", b"\xff", None]
    assert (await client.get("b")).value == b"\xff"


async def test_what_was_read_and_then_changed_is_read_again(client):
    await client.put("a", "1")
    await client.put("b", "1")
    runs = []

    async def work(stm: STM) -> None:
        seen = await stm.text("a")
        if not runs:
            await client.txn(then=[put("a", "2"), put("b", "2")])
        runs.append((seen, await stm.text("b")))
        stm.put("sum", "".join(runs[-1]))

    await client.stm(work)
    assert runs == [("1", "1"), ("2", "2")]  # of one revision each time
    assert (await client.get("sum")).text == "22"


async def test_repeatable_reads_may_be_of_several_revisions(client):
    await client.put("a", "1")
    await client.put("b", "1")
    runs = []

    async def work(stm: STM) -> None:
        seen = await stm.text("a")
        if not runs:
            await client.put("b", "2")
        runs.append((seen, await stm.text("b")))
        stm.put("c", "x")

    await client.stm(work, isolation="repeatable-reads")
    assert runs == [("1", "2")]


@pytest.mark.parametrize(
    ("isolation", "runs_expected"), [("serializable-snapshot", 2), ("serializable", 1)]
)
async def test_a_snapshot_also_guards_what_is_only_written(client, isolation, runs_expected):
    await client.put("a", "1")
    runs = []

    async def work(stm: STM) -> None:
        runs.append(await stm.text("a"))
        if len(runs) == 1:
            await client.put("b", "theirs")
        stm.put("b", "ours")

    await client.stm(work, isolation=isolation)
    assert len(runs) == runs_expected


async def test_who_is_always_late_gives_up(client):
    count = 0

    async def work(stm: STM) -> None:
        nonlocal count
        count += 1
        await stm.get("a")
        await client.put("a", str(count))
        stm.put("b", "never")

    with pytest.raises(Conflict) as given_up:
        await client.stm(work, attempts=3)
    assert (count, given_up.value.attempts) == (3, 3)
    assert await client.get("b") is None


async def test_read_committed_takes_what_comes(client):
    async def work(stm: STM) -> None:
        await stm.get("a")
        await client.put("a", "changed")
        stm.put("b", "written")

    await client.stm(work, isolation="read-committed")
    assert (await client.txn(when=[key("b").value == "written"])).succeeded


async def test_leases_go_with_what_is_written(client):
    lease_id, _ = await client.grant_lease(60)

    async def work(stm: STM) -> None:
        stm.put("a", "1", lease_id=lease_id)

    await client.stm(work)
    assert (await client.get("a")).lease_id == lease_id
