"""The simulated network keeps TCP's manners, and breaks the way networks do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from trioetcd.testing.network import CONNECT_SECONDS, SimulatedNetwork, Way
from trioetcd.testing.stream import WINDOW_BYTES
from wire.network import Address, NetworkError

PORT = Address("server", 1)


@asynccontextmanager
async def running(seed: int = 0, **options) -> AsyncIterator[SimulatedNetwork]:
    network = SimulatedNetwork(random.Random(seed), **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield network
        nursery.cancel_scope.cancel()


async def connected(network: SimulatedNetwork):
    """Client's end, server's end."""
    listeners = await network.host("server").listen(PORT)
    near = await network.host("client").connect(PORT)
    far = await listeners[0].accept()
    return near, far


async def test_streams_keep_trios_contract():
    """On the real clock: Trio's own checks wait until nothing moves, which no jump may cut."""
    async with running(split=0.5) as network:
        network.usual = Way(delay=0.0, jitter=0.0)

        async def make():
            return network.pair("a", "b")

        async def make_clogged():
            near, far = network.pair("a", "b")
            for end in (near, far):
                with trio.move_on_after(0.05):
                    await end.send_all(bytes(2 * WINDOW_BYTES))
            return near, far

        await trio.testing.check_half_closeable_stream(make, make_clogged)


async def test_bytes_arrive_whole_and_in_order_however_bad_the_way(autojump_clock):
    async with running(7, split=0.5) as network:
        network.usual = Way(delay=0.05, jitter=0.5, loss=0.2)
        near, far = await connected(network)
        sent = random.Random(1).randbytes(200_000)

        async def send() -> None:
            for start in range(0, len(sent), 5000):
                await near.send_all(sent[start : start + 5000])
            await near.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            received = b"".join([piece async for piece in far])
        assert received == sent
        assert network.counters.lost > 0


async def test_bytes_stay_in_order_over_cuts_that_some_of_them_meet(autojump_clock):
    async with running(3) as network:
        network.usual = Way(delay=0.05, jitter=0.5, loss=0.2)
        near, far = await connected(network)
        rng = random.Random(1)
        sent = rng.randbytes(20_000)

        async def send() -> None:
            for start in range(0, len(sent), 500):
                await near.send_all(sent[start : start + 500])
                await trio.sleep(rng.random() * 0.2)
            await near.send_eof()

        async def cut() -> None:
            while True:
                network.cut(["client"], ["server"], one_way=rng.random() < 0.5)
                await trio.sleep(rng.random())
                rng.choice((network.heal, network.calm))()
                await trio.sleep(rng.random())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(cut)
            received = b"".join([piece async for piece in far])
            nursery.cancel_scope.cancel()
        assert received == sent
        assert network.counters.held > 10


async def test_a_segment_takes_as_long_as_the_way_is(autojump_clock):
    async with running() as network:
        network.usual = Way(delay=0.2, jitter=0.0, bytes_per_second=1000)
        near, far = await connected(network)
        began = trio.current_time()
        await near.send_all(bytes(500))
        assert len(await far.receive_some()) == 500
        assert trio.current_time() - began == pytest.approx(0.7)


async def test_nobody_listening_is_refused(autojump_clock):
    async with running() as network:
        with pytest.raises(NetworkError, match="connection refused"):
            await network.host("client").connect(PORT)


async def test_a_port_is_opened_once(autojump_clock):
    async with running() as network:
        [listener] = await network.host("server").listen(PORT)
        with pytest.raises(NetworkError, match="address already in use"):
            await network.host("server").listen(PORT)
        await listener.aclose()
        await network.host("server").listen(PORT)


async def test_connecting_over_a_cut_way_waits_and_then_gives_up(autojump_clock):
    async with running() as network:
        await network.host("server").listen(PORT)
        network.cut(["client"], ["server"])
        began = trio.current_time()
        with pytest.raises(NetworkError, match="i/o timeout"):
            await network.host("client").connect(PORT)
        assert trio.current_time() - began == pytest.approx(CONNECT_SECONDS)


async def test_what_met_a_cut_arrives_after_it_was_healed(autojump_clock):
    async with running() as network:
        near, far = await connected(network)
        network.cut(["client"], ["server"])
        await near.send_all(b"one")
        await near.send_all(b"two")
        with trio.move_on_after(100) as waiting:
            await far.receive_some()
        assert waiting.cancelled_caught
        network.heal()
        received = await far.receive_some()
        while len(received) < 6:
            received += await far.receive_some()
        assert received == b"onetwo"


async def test_a_one_way_cut_lets_the_other_direction_pass_until_the_window_is_full(autojump_clock):
    async with running(split=0.0) as network:
        near, far = await connected(network)
        network.cut(["server"], ["client"], one_way=True)
        await far.send_all(b"unheard")
        received = 0
        with trio.move_on_after(10) as sending:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(near.send_all, bytes(2 * WINDOW_BYTES))
                while True:
                    received += len(await far.receive_some())
        assert sending.cancelled_caught
        assert received == WINDOW_BYTES, "no acknowledgement comes back"
        network.heal()
        assert await near.receive_some() == b"unheard"
        await near.send_all(b"more")
        assert await far.receive_some() == b"more"


async def test_a_killed_process_resets_its_connections(autojump_clock):
    async with running() as network:
        near, _far = await connected(network)
        network.kill("server")
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()
        with pytest.raises(NetworkError, match="connection refused"):
            await network.host("client").connect(PORT)


async def test_a_host_without_power_is_silent_and_resets_when_it_is_back(autojump_clock):
    async with running() as network:
        near, far = await connected(network)
        network.power_off("server")
        with pytest.raises(trio.ClosedResourceError):
            await far.receive_some()
        await near.send_all(b"into the dark")
        with trio.move_on_after(100) as waiting:
            await near.receive_some()
        assert waiting.cancelled_caught
        network.power_on("server")
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()


async def test_closing_with_something_unread_is_a_reset(autojump_clock):
    async with running() as network:
        near, far = await connected(network)
        await near.send_all(b"never read")
        await trio.sleep(1)
        await far.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()


async def test_sending_to_who_has_closed_ends_in_a_reset(autojump_clock):
    async with running() as network:
        near, far = await connected(network)
        await far.aclose()
        assert await near.receive_some() == b""
        await near.send_all(b"too late")
        await trio.sleep(1)
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(b"again")


async def test_an_unlucky_connection_is_reset(autojump_clock):
    async with running() as network:
        near, _far = await connected(network)
        network.way("client", "server").loss = 1.0
        with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
            await near.send_all(b"never")


async def test_connections_that_ended_are_forgotten(autojump_clock):
    async with running() as network:
        near, far = await connected(network)
        await near.aclose()
        assert await far.receive_some() == b""
        await far.aclose()
        await trio.sleep(1)
        assert not network._pipes


async def test_calming_makes_every_way_usual_again(autojump_clock):
    async with running() as network:
        network.cut(["a", "b"], ["c"])
        network.way("a", "b").loss = 0.5
        network.calm()
        assert network.is_open("a", "c")
        assert network.way("a", "b").loss == 0.0
