"""Barriers, on every server."""

from __future__ import annotations

import pytest
import trio

from trioetcd.client import BarrierFull, BarrierHeld


async def test_who_waits_goes_on_when_it_is_released(client):
    barrier = client.barrier("gate")
    await barrier.wait()  # nobody holds it
    await barrier.hold()
    with pytest.raises(BarrierHeld, match="the barrier gate is held already"):
        await barrier.hold()
    passed = []

    async def walker(name: str) -> None:
        await client.barrier("gate").wait()
        passed.append(name)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(walker, name)
            await trio.testing.wait_all_tasks_blocked()
            assert passed == []
            await barrier.release()
    assert sorted(passed) == ["a", "b", "c"]


async def test_it_is_released_when_its_holder_is_gone(client):
    with pytest.raises(KeyError):
        async with client.barrier("gate").held():
            raise KeyError
    with trio.fail_after(20):
        await client.barrier("gate").wait()


async def test_all_begin_together_and_end_together(client):
    said = []

    async def walker(name: str) -> None:
        async with client.double_barrier("meeting", 3).inside():
            said.append("in")
            await trio.lowlevel.checkpoint()
            said.append("done")
        said.append("out")

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(walker, "a")
            nursery.start_soon(walker, "b")
            await trio.testing.wait_all_tasks_blocked()
            assert said == []
            nursery.start_soon(walker, "c")
    assert sorted(said[:6]) == ["done"] * 3 + ["in"] * 3
    assert said[6:] == ["out"] * 3
    assert await client.count("meeting/") == 0


async def test_one_too_many_is_refused(client):
    async def late() -> None:
        with pytest.raises(BarrierFull, match="too many clients"):
            async with client.double_barrier("meeting", 1).inside():
                pass

    with trio.fail_after(20):
        async with client.double_barrier("meeting", 1).inside():
            await late()
    with pytest.raises(ValueError, match="one or more"):
        client.double_barrier("meeting", 0)
