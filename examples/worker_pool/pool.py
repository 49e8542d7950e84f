"""One process of the pool; start as many as you like, on as many machines.

    pool/plan/ITEM       somebody wants ITEM to be done
    pool/jobs/ITEM       it waits for a worker, or has one: the leader has moved it here
    pool/results/ITEM    it is done
    pool/config/…        settings, which all processes follow at once
    pool/leader/…        who leads

Nothing here polls, and nothing is guarded by luck: what the leader moves it moves in a transaction
that asks whether it still leads; what a worker writes is refused if a later worker has taken the
item; and whoever loses leadership or item has its block cancelled before anybody else gets it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from trioetcd import Client
from trioetcd.client import Cache, LeaseLost, delete, key, put

PLAN, JOBS, RESULTS, CONFIG = "pool/plan/", "pool/jobs", "pool/results/", "pool/config/"
LEADER = "pool/leader"
TTL = 10  # seconds after which what a lost process held is given to another

Work = Callable[[str, Cache], Awaitable[str]]
"""(item, settings) -> result."""


async def run_pool(client: Client, name: str, work: Work) -> None:
    """Until cancelled."""
    async with client.cache(CONFIG) as config, trio.open_nursery() as nursery:
        nursery.start_soon(_stand_for_election, client, name)
        await _keep_workers(client, config, work)


# -- Leading


async def _stand_for_election(client: Client, name: str) -> None:
    while True:
        try:
            async with client.leadership(LEADER, name, ttl=TTL) as term:
                await _hand_out(client, term.key, term.token)
        except LeaseLost:
            continue  # another one leads now; stand in line again


async def _hand_out(client: Client, leader_key: bytes, token: int) -> None:
    """Move what is planned to the queue, as long as we lead."""
    async with client.watch(prefix=PLAN, relist=True, deletes=False) as batches:
        async for batch in batches:
            found = batch.listing.items if batch.listing else [e.kv for e in batch.events]
            for planned in found:
                item = planned.key.decode().removeprefix(PLAN)
                await client.txn(
                    when=[
                        key(leader_key).create_revision == token,  # we lead
                        key(planned.key).exists,
                    ],
                    then=[delete(planned.key), put(f"{JOBS}/{item}", item)],
                )


# -- Working


async def _keep_workers(client: Client, config: Cache, work: Work) -> None:
    """As many as the settings say, now and after every change."""
    workers: list[trio.CancelScope] = []
    changes = config.changes()
    async with trio.open_nursery() as nursery:
        while True:
            wanted = int(config.text(f"{CONFIG}workers", "2"))
            while len(workers) < wanted:
                workers.append(trio.CancelScope())
                nursery.start_soon(_worker, client, config, work, workers[-1])
            while len(workers) > wanted:
                workers.pop().cancel()  # what it was at goes to another
            await anext(changes)


async def _worker(client: Client, config: Cache, work: Work, scope: trio.CancelScope) -> None:
    with scope:
        while True:
            try:
                async with client.queue(JOBS).take(ttl=TTL) as job:
                    result = await work(job.text, config)
                    place = f"{RESULTS}{job.text}"
                    await client.txn(
                        # A later worker's token is larger, and so is what it has written.
                        when=[key(place).mod_revision < job.token],
                        then=[put(place, result)],
                    )
            except LeaseLost:
                continue  # somebody else has the item now
