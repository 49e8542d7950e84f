"""Data directories with a little of everything in them, and the command that works on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.snapshot.actor import Retention
from trioetcd import NodeSettings, open_node
from trioetcd.client import delete, delete_prefix, key, put
from trioetcd.util.main import util


class Done:
    """How a command ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    def command(*words: object) -> Done:
        capsys.readouterr()
        status = util([str(word) for word in words])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return command


async def live(data_dir: Path, *, users: bool = True, snapshot_every: int = 0, rounds: int = 1):
    """A member's life; the revision and the hash of its keys at the end."""
    settings = NodeSettings(data_dir=data_dir, bcrypt_cost=4)
    if snapshot_every:
        retention = Retention(snapshot_count=snapshot_every, catchup_entries=10)
        settings = replace(settings, retention=retention)
    async with open_node(settings) as node, node.client() as client:
        for round_ in range(rounds):
            await everything(client, round_)
        if users:
            await client.auth.add_role("reader")
            await client.auth.grant("reader", prefix="a", access="read")
            await client.auth.add_user("someone", "secret-password")
            await client.auth.grant_role("someone", "reader")
        status = await client.maintenance.status()
        return status.revision, await client.maintenance.hash_keys()


async def everything(client, round_: int) -> None:
    for number in range(60):
        await client.put(f"a/{number % 20}", f"value {round_} {number}")
    lease, _ = await client.grant_lease(1000)
    gone, _ = await client.grant_lease(1000)
    await client.put("leased", "x", lease_id=lease)
    await client.put("going", "x", lease_id=gone)
    await client.revoke_lease(gone)
    await client.delete("a/3")
    await client.delete("not there")
    await client.txn(
        when=[key("a/1").exists],
        then=[put("t/1", "x"), put("t/2", "y"), delete("a/4"), delete_prefix("none")],
        otherwise=[put("never", "x")],
    )
    revision = (await client.put("a/3", "again")).revision
    await client.compact(revision - 20, physical=True)
    await client.put("last", str(round_))
