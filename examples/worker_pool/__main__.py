"""python -m examples.worker_pool --endpoints http://127.0.0.1:2379 --name first"""

from __future__ import annotations

import argparse

import trio

import trioetcd
from examples.worker_pool.pool import CONFIG, run_pool
from trioetcd.client import Cache


async def shout(item: str, config: Cache) -> str:
    """The work: it takes as long as the settings say."""
    await trio.sleep(float(config.text(f"{CONFIG}seconds", "0.5")))
    result = f"{config.text(f'{CONFIG}word', 'done')}: {item.upper()}"
    print(result, flush=True)
    return result


async def main(endpoints: list[str], name: str) -> None:
    async with trioetcd.open_client(*endpoints) as client:
        await run_pool(client, name, shout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A process of the worker pool.")
    parser.add_argument("--endpoints", nargs="+", default=["http://127.0.0.1:2379"])
    parser.add_argument("--name", default="worker")
    options = parser.parse_args()
    trio.run(main, options.endpoints, options.name)
