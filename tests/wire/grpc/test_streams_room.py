"""How much a client puts into a stream whose server takes nothing."""

from __future__ import annotations

import trio
import trio.testing

from tests.wire.grpc.scripted import METHOD, PATIENCE, scene
from wire.grpc.client_calls import SEND_BUFFER_BYTES


async def test_waiting_for_room_may_be_given_up_and_begun_again(
    autojump_clock: trio.testing.MockClock,
):
    async with scene() as play, trio.open_nursery() as nursery:
        told = trio.Event()

        async def take_it_all() -> None:
            server = await play.server.accept()
            server.acknowledges = False
            await server.begun()
            await told.wait()
            await server.until(lambda: not stream.unsent)

        nursery.start_soon(take_it_all)
        async with play.channel.stream(METHOD) as stream:
            await stream.send(bytes(SEND_BUFFER_BYTES + 65_535))
            unsent = stream.unsent
            assert unsent >= SEND_BUFFER_BYTES
            with trio.move_on_after(5) as waiting:
                await stream.room()
            assert waiting.cancelled_caught
            assert stream.unsent == unsent

            (conversation,) = play.server.conversations
            conversation.h2.increment_flow_control_window(1 << 20)
            conversation.h2.increment_flow_control_window(1 << 20, stream.stream_id)
            await conversation.flush()
            told.set()
            with trio.fail_after(PATIENCE):
                await stream.room()
            assert stream.unsent < SEND_BUFFER_BYTES
