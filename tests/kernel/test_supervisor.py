"""Supervisors: order, grace, restart limits, and what a failure says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from actors.kernel import (
    ActorStopped,
    Call,
    Child,
    Inbox,
    Node,
    Restart,
    State,
    Strategy,
    Supervisor,
)


class Stage:
    """Actors that note what happens to them and die when told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.orders: dict[str, trio.Event] = {}
        self.return_instead = False

    def actor(self, name: str) -> Callable[..., Any]:
        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            self.notes.append(f"{name} starts")
            self.orders[name] = trio.Event()
            task_status.started()
            try:
                await self.orders[name].wait()
            finally:
                self.notes.append(f"{name} ends")
            if not self.return_instead:
                raise RuntimeError(f"{name} was told to die")

        return run

    async def kill(self, name: str) -> None:
        self.orders[name].set()
        await trio.testing.wait_all_tasks_blocked()


def supervisor(stage: Stage, names: str, strategy: Strategy, **options: Any) -> Supervisor:
    options = {"burst": 5, "period": 60.0} | options
    restart = options.pop("restart", Restart.PERMANENT)
    children = [Child(name, stage.actor(name), restart) for name in names.split()]
    return Supervisor(Node("top"), children, strategy=strategy, **options)


async def test_children_start_in_order_and_stop_in_reverse():
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor(stage, "a b c", Strategy.ONE_FOR_ONE).run)
        nursery.cancel_scope.cancel()
    assert stage.notes == [f"{n} starts" for n in "abc"] + [f"{n} ends" for n in "cba"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["b ends", "b starts"]),
        (Strategy.REST_FOR_ONE, ["b ends", "c ends", "b starts", "c starts"]),
        (
            Strategy.ONE_FOR_ALL,
            ["b ends", "c ends", "a ends", "a starts", "b starts", "c starts"],
        ),
    ],
)
async def test_who_is_restarted(strategy: Strategy, expected: list[str]):
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor(stage, "a b c", strategy).run)
        stage.notes.clear()
        await stage.kill("b")
        assert stage.notes == expected
        nursery.cancel_scope.cancel()


async def test_the_limit_counts_restarts_in_the_period(autojump_clock):
    stage = Stage()
    watched = supervisor(stage, "a", Strategy.ONE_FOR_ONE, burst=2, period=10.0)
    with pytest.RaisesGroup(pytest.RaisesGroup(RuntimeError, match="top: a failed")):
        async with trio.open_nursery() as nursery:
            await nursery.start(watched.run)
            await stage.kill("a")
            await stage.kill("a")
            await trio.sleep(10.5)  # both restarts are forgotten
            await stage.kill("a")
            await stage.kill("a")
            assert stage.notes.count("a starts") == 5
            await stage.kill("a")
    assert stage.notes.count("a starts") == 5


async def test_a_failure_beyond_the_limit_stops_the_others_in_reverse():
    stage = Stage()
    failing = supervisor(stage, "a b c", Strategy.ONE_FOR_ALL, burst=0)
    with pytest.RaisesGroup(pytest.RaisesGroup(RuntimeError)):
        async with trio.open_nursery() as nursery:
            await nursery.start(failing.run)
            await stage.kill("b")
    assert stage.notes[3:] == ["b ends", "c ends", "a ends"]


async def test_a_child_that_cannot_start_stops_those_before_it():
    stage = Stage()

    async def broken(*, task_status: trio.TaskStatus[None]) -> None:
        raise OSError("port in use")

    top = Supervisor(
        Node("top"),
        [Child("a", stage.actor("a")), Child("b", broken), Child("c", stage.actor("c"))],
        strategy=Strategy.ONE_FOR_ONE,
        burst=5,
        period=60,
    )
    with pytest.RaisesGroup(OSError, match="top: b failed"):
        await top.run()
    assert stage.notes == ["a starts", "a ends"]


@pytest.mark.parametrize(
    ("restart", "returns", "starts"),
    [
        (Restart.PERMANENT, True, 2),
        (Restart.PERMANENT, False, 2),
        (Restart.TRANSIENT, True, 1),
        (Restart.TRANSIENT, False, 2),
        (Restart.TEMPORARY, True, 1),
        (Restart.TEMPORARY, False, 1),
    ],
)
async def test_when_a_child_is_restarted(restart: Restart, returns: bool, starts: int):
    stage = Stage()
    stage.return_instead = returns
    async with trio.open_nursery() as nursery:
        watched = supervisor(stage, "keeper a", Strategy.ONE_FOR_ONE, restart=restart)
        await nursery.start(watched.run)
        await stage.kill("a")
        assert stage.notes.count("a starts") == starts
        nursery.cancel_scope.cancel()


async def test_a_child_is_asked_to_stop_and_cancelled_only_after_its_grace(autojump_clock):
    asked_at: list[float] = []
    ended_at: list[float] = []

    async def stubborn(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            ended_at.append(trio.current_time())

    child = Child("s", stubborn, stop=lambda: asked_at.append(trio.current_time()), grace=3.0)
    top = Supervisor(Node("top"), [child], strategy=Strategy.ONE_FOR_ONE, burst=0, period=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        nursery.cancel_scope.cancel()
    assert ended_at[0] - asked_at[0] == pytest.approx(3.0)


async def test_a_child_may_come_later_and_go_for_good():
    stage = Stage()
    root = Node("top")
    group = Supervisor(
        root,
        [Child("a", stage.actor("a"))],
        strategy=Strategy.ONE_FOR_ONE,
        burst=5,
        period=60.0,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(group.run)
        group.begin(Child("b", stage.actor("b"), Restart.TRANSIENT))
        await trio.testing.wait_all_tasks_blocked()
        await stage.kill("b")
        await trio.testing.wait_all_tasks_blocked()
        assert [(one.name, one.restarts) for one in root.children] == [("a", 0), ("b", 1)]
        stage.return_instead = True
        await stage.kill("b")
        await trio.testing.wait_all_tasks_blocked()
        assert [one.name for one in root.children] == ["a"]
        group.begin(Child("b", stage.actor("b"), Restart.TRANSIENT))
        await trio.testing.wait_all_tasks_blocked()
        stage.notes.clear()
        nursery.cancel_scope.cancel()
    assert stage.notes == ["b ends", "a ends"]


async def test_a_child_that_came_later_and_cannot_start_ends_the_group():
    async def broken(*, task_status: trio.TaskStatus[None]) -> None:
        raise RuntimeError("cannot")

    stage = Stage()
    group = supervisor(stage, "a", Strategy.ONE_FOR_ONE)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(group.run)
            group.begin(Child("b", broken))
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(RuntimeError, match="cannot")
    assert stage.notes == ["a starts", "a ends"]


async def test_a_handle_stays_good_over_a_restart():
    inbox = Inbox("echo", calls=4)
    deaths = []

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with inbox:
            task_status.started()
            while True:
                message = await inbox.receive()
                if not deaths:
                    deaths.append("first")
                    raise RuntimeError("dies holding a call")
                message.reply.answer("alive")

    top = Supervisor(
        Node("top"),
        [Child("echo", run, inbox=inbox)],
        strategy=Strategy.ONE_FOR_ONE,
        burst=1,
        period=60,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        with pytest.raises(ActorStopped):
            await inbox.call(Call())
        await trio.testing.wait_all_tasks_blocked()
        assert await inbox.call(Call()) == "alive"
        nursery.cancel_scope.cancel()


async def test_cancelling_while_a_child_starts_cancels_the_start(autojump_clock):
    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(3600)

    top = Supervisor(
        Node("top"), [Child("s", slow)], strategy=Strategy.ONE_FOR_ONE, burst=0, period=1
    )
    with trio.move_on_after(1) as scope:
        await top.run()
    assert scope.cancelled_caught


async def test_a_child_that_starts_when_it_is_cancelled_already_ends(autojump_clock):
    """Two levels of supervisors, as a member has."""
    stage = Stage()
    start = stage.actor("a")

    async def late(*, task_status: trio.TaskStatus[None]) -> None:
        scope.cancel()
        await start(task_status=task_status)

    inner = Supervisor(
        Node("in"), [Child("a", late)], strategy=Strategy.ONE_FOR_ONE, burst=0, period=1
    )
    outer = Supervisor(
        Node("out"), [Child("in", inner.run)], strategy=Strategy.ONE_FOR_ONE, burst=0, period=1
    )
    with trio.fail_after(60), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(outer.run)
    assert scope.cancelled_caught
    assert stage.notes == ["a starts", "a ends"]


async def test_the_tree_shows_state_restarts_depth_and_last_error():
    stage = Stage()
    node = Node("top")
    inbox = Inbox("a", calls=1, packets=8)
    top = Supervisor(
        node,
        [Child("a", stage.actor("a"), inbox=inbox)],
        strategy=Strategy.ONE_FOR_ONE,
        burst=1,
        period=60,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(top.run)
        inbox.post("x")
        await stage.kill("a")
        shown = node.as_dict()["children"][0]
        assert shown["state"] == "running"
        assert shown["restarts"] == 1
        assert shown["last_error"] == "RuntimeError: a was told to die"
        assert shown["inbox"] == {"depth": 1, "peak": 1, "dropped": 0}
        assert "└─ a  running  restarts 1  inbox 1 (peak 1)" in node.as_text()
        nursery.cancel_scope.cancel()
    assert node.children[0].state is State.STOPPED
