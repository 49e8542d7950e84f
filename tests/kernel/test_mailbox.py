"""Inbox and Reply: every call gets exactly one answer, whatever happens to the actor."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import trio

from actors.kernel import ActorStopped, Call, Inbox, Notice, Reply
from wire.invariant import InvariantBroken


@dataclass(frozen=True, slots=True)
class Double(Call[int]):
    number: int


@dataclass(frozen=True, slots=True)
class PersistedTo(Notice):
    index: int

    def merge(self, older: PersistedTo) -> PersistedTo:
        return PersistedTo(max(self.index, older.index))


async def run_doubler(inbox: Inbox) -> None:
    with inbox:
        while True:
            match await inbox.receive():
                case Double(number=number, reply=reply):
                    reply.answer(2 * number)


async def test_a_call_is_answered():
    async with trio.open_nursery() as nursery:
        inbox = Inbox("doubler", calls=4)
        nursery.start_soon(run_doubler, inbox)
        assert await inbox.call(Double(21)) == 42
        nursery.cancel_scope.cancel()


async def test_a_refusal_is_raised_at_the_caller_and_not_in_the_actor():
    inbox = Inbox("refuser", calls=1)

    async def refuse_one() -> None:
        message = await inbox.receive()
        message.reply.capture(int, "x", refusals=ValueError)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse_one)
        with pytest.raises(ValueError, match="invalid literal"):
            await inbox.call(Double(1))


async def test_what_is_not_a_refusal_crashes_the_actor():
    reply: Reply[int] = Reply()
    with pytest.raises(ZeroDivisionError):
        reply.capture(lambda: 1 // 0, refusals=ValueError)
    assert not reply.done


def test_a_reply_is_given_once():
    reply: Reply[int] = Reply()
    reply.answer(1)
    with pytest.raises(InvariantBroken):
        reply.answer(2)
    with pytest.raises(InvariantBroken):
        reply.refuse(ValueError())


async def test_a_queued_call_is_stopped_when_the_inbox_closes():
    inbox = Inbox("dies", calls=4)
    call = Double(1)
    await inbox.send(call)
    inbox.close()
    with pytest.raises(ActorStopped):
        await call.reply.wait()


async def test_a_taken_call_is_stopped_when_the_actor_dies_before_answering():
    inbox = Inbox("dies", calls=4)

    async def take_and_die() -> None:
        with inbox:
            await inbox.receive()
            1 / 0  # noqa: B018

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_and_die)
            with pytest.raises(ActorStopped), trio.CancelScope(shield=True):
                await inbox.call(Double(1))


async def test_an_answered_call_keeps_its_answer_when_the_actor_dies_next():
    inbox = Inbox("dies", calls=4)
    call = Double(3)
    await inbox.send(call)
    with inbox:
        inbox.receive_nowait().reply.answer(6)
    assert await call.reply.wait() == 6


async def test_a_closed_inbox_stops_callers_at_once():
    inbox = Inbox("dead", calls=1)
    inbox.close()
    with pytest.raises(ActorStopped):
        await inbox.call(Double(1))
    assert inbox.post("packet") is False
    inbox.notify(PersistedTo(1))
    assert inbox.depth == 0


async def test_a_caller_waits_for_room_and_is_stopped_there_too(autojump_clock):
    inbox = Inbox("full", calls=1)
    await inbox.send(Double(1))
    outcomes = []

    async def call() -> None:
        try:
            await inbox.send(Double(2))
            outcomes.append("sent")
        except ActorStopped:
            outcomes.append("stopped")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == []
        inbox.receive_nowait()
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == ["sent"]
        inbox.close()
    assert outcomes == ["sent", "stopped"]


async def test_drain_makes_room_for_everybody_who_waits():
    inbox = Inbox("full", calls=2)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(inbox.send, Double(number))
        await trio.testing.wait_all_tasks_blocked()
        seen = []
        while len(seen) < 5:
            seen += [message.number for message in inbox.drain()]
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert inbox.peak == 2


async def test_a_caller_cancelled_while_waiting_for_room_leaves_no_trace(autojump_clock):
    inbox = Inbox("full", calls=1)
    await inbox.send(Double(1))
    with trio.move_on_after(1) as scope:
        await inbox.send(Double(2))
    assert scope.cancelled_caught
    assert [message.number for message in inbox.drain()] == [1]


async def test_a_caller_cancelled_while_waiting_for_its_answer_may_be_answered(autojump_clock):
    inbox = Inbox("slow", calls=1)
    call = Double(1)
    with trio.move_on_after(1):
        await inbox.call(call)
    inbox.receive_nowait().reply.answer(2)
    assert await call.reply.wait() == 2


def test_notices_of_a_type_coalesce_in_the_place_of_the_first():
    inbox = Inbox("raft", calls=1, packets=4)
    inbox.post("a")
    inbox.notify(PersistedTo(811))
    inbox.post("b")
    inbox.notify(PersistedTo(812))
    inbox.notify(PersistedTo(810))
    assert inbox.drain() == ["a", PersistedTo(812), "b"]
    inbox.notify(PersistedTo(813))
    assert inbox.drain() == [PersistedTo(813)]


def test_a_notice_coalesces_after_earlier_messages_were_taken_one_by_one():
    inbox = Inbox("raft", calls=1, packets=4)
    for packet in "abc":
        inbox.post(packet)
    inbox.notify(PersistedTo(1))
    assert [inbox.receive_nowait() for _ in range(2)] == ["a", "b"]
    inbox.post("d")
    inbox.notify(PersistedTo(2))
    assert [inbox.receive_nowait() for _ in range(3)] == ["c", PersistedTo(2), "d"]
    with pytest.raises(trio.WouldBlock):
        inbox.receive_nowait()


def test_packets_beyond_the_limit_are_dropped_and_counted():
    inbox = Inbox("raft", calls=1, packets=2)
    assert [inbox.post(n) for n in range(4)] == [True, True, False, False]
    assert inbox.dropped == 2
    assert inbox.drain() == [0, 1]
    assert inbox.post(5)


async def test_waiting_is_always_a_checkpoint():
    inbox = Inbox("busy", calls=1, packets=1)
    inbox.post("x")
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.wait()
    assert scope.cancelled_caught
    assert inbox.depth == 1


async def test_quiet_news_waits_for_company():
    inbox = Inbox("raft", calls=1, packets=1)
    received = []

    async def receive() -> None:
        await inbox.wait()
        received.extend(inbox.drain())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        inbox.notify(PersistedTo(1), wake=False)
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        inbox.notify(PersistedTo(2))  # the same news, aloud
        await trio.testing.wait_all_tasks_blocked()
        assert received == [PersistedTo(2)]
