"""Links between members, over a network in memory: what arrives, in which order, and what when
the other side is gone, slow, or somebody else."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from actors.raft.types import Entry, Message, MessageType
from tests.peer.members import (
    CLUSTER,
    ELECTION_TIMEOUT,
    Member,
    append,
    heartbeat,
    indexes,
    scene,
    snapshot,
    url_of,
)
from trioetcd.peer.lane import DIRECT_BYTES
from trioetcd.peer.link import FAILURES_TO_TELL
from trioetcd.peer.links import FAREWELL_TIMEOUTS
from trioetcd.peer.protocol import MESSAGES, Introduction, Removed
from wire.errors import EtcdError
from wire.grpc.channel import open_channel
from wire.http2.headers import Headers
from wire.memory_network import MemoryNetwork
from wire.network import parse_url
from wire.status import Status

Clock = trio.testing.MockClock
A_MINUTE = 60.0


# -- What arrives


async def test_messages_with_entries_arrive_complete_and_in_order(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        sent = [append(number, b"x" * 5000, b"") for number in range(1000)]
        for message in sent:
            one.links.send([message])
        await two.raft.until(lambda: len(two.raft.messages) == len(sent))
        assert two.raft.messages == sent


async def test_what_had_to_wait_goes_in_batches(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        method = two.registry.methods[MESSAGES.encode()]
        before = method.counts.received
        large = append(0, bytes(12 << 20))  # more than the stream takes at once
        one.links.send([large, *(append(number, b"entry") for number in range(1, 100))])
        await two.raft.until(lambda: len(two.raft.messages) == 100)
        assert indexes(two.raft.messages) == list(range(100))
        assert method.counts.received == before + 2


async def test_an_entry_larger_than_what_clients_may_send_arrives(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        large = append(1, bytes(10 << 20))
        one.links.send([large, append(2, b"after it")])
        await two.raft.until(lambda: len(two.raft.messages) == 2)
        assert two.raft.messages[0] == large


async def test_nothing_passes_a_message_that_had_to_wait(autojump_clock: Clock):
    """When there is room again, what comes in that moment could go at once."""
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        lane = one.links._links[2].bulk
        stream = lane._outlet
        assert stream is not None
        sent = 0

        def send(size: int) -> None:
            nonlocal sent
            one.links.send([append(sent, bytes(size))])
            sent += 1

        for _ in range(10):
            send(10 << 20)  # more than the stream takes at once
            send(1)  # this one has to wait
            while stream.unsent >= DIRECT_BYTES:
                await trio.lowlevel.checkpoint()
            send(1)
            await two.raft.until(lambda: len(two.raft.messages) == sent)
        assert indexes(two.raft.messages) == list(range(sent))


async def test_a_heartbeat_overtakes_entries_that_wait(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        bulk = [append(number, bytes(1 << 20)) for number in range(32)]
        one.links.send(bulk)
        one.links.send([heartbeat(5)])
        await two.raft.until(lambda: bool(two.raft.of_type(MessageType.HEARTBEAT)))
        assert len(two.raft.of_type(MessageType.APPEND)) < len(bulk) / 2
        await two.raft.until(lambda: len(two.raft.of_type(MessageType.APPEND)) == len(bulk))


async def test_members_talk_in_both_directions(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.links.follow({1: [url_of(1)], 2: [url_of(2)]})
        await two.reached(1)
        one.links.send([append(1, b"there")])
        two.links.send([append(2, b"back", to=1)])
        await two.raft.until(lambda: indexes(two.raft.messages) == [1])
        await one.raft.until(lambda: indexes(one.raft.messages) == [2])


async def test_a_message_for_somebody_else_is_not_given_to_raft(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        link = one.links._links[2]
        link.send(append(1, b"for 3", to=3))
        link.send(append(2, b"for 2"))
        await two.raft.until(lambda: bool(two.raft.messages))
        assert indexes(two.raft.messages) == [2]


async def test_what_raft_has_no_room_for_is_dropped_and_the_link_stays(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        since = one.links.active_since(2)
        two.raft.is_full = True
        one.links.send([append(1, b"dropped")])
        await trio.sleep(1)
        two.raft.is_full = False
        one.links.send([append(2, b"taken")])
        await two.raft.until(lambda: bool(two.raft.messages))
        assert indexes(two.raft.messages) == [2]
        assert one.links.active_since(2) == since


async def test_an_idle_link_stays(autojump_clock: Clock):
    """Nothing answers a stream of messages: the pings that show that the other side lives must
    not be too many for it."""
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        since = one.links.active_since(2)
        await trio.sleep(10 * A_MINUTE)
        assert one.links.active_since(2) == since
        assert one.raft.lost == []


# -- A member that is gone, and back


async def test_a_member_that_is_gone_is_reported_and_found_again(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.vanish()
        await one.unreached(2)
        assert 2 in one.raft.lost
        assert one.links.channel(2) is None
        await play.reopen(two)
        await one.reached(2)
        one.links.send([append(3, b"again")])
        await two.raft.until(lambda: indexes(two.raft.messages) == [3])


async def test_the_way_is_lost_and_found_in_the_log_once_each(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.vanish()
        await trio.sleep(A_MINUTE)
        await play.reopen(two)
        await one.reached(2)
        said = [text for level, text, _ in one.log.lines if level != "debug"]
        assert said == [
            "peer became active",
            "peer became inactive (message send to peer failed)",
            "prober detected unhealthy status",
            "peer became active",
        ]


async def test_a_member_that_was_never_there_is_told_of_once(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(A_MINUTE)
        warnings = [fields for level, _, fields in one.log.lines if level == "warning"]
        assert len(warnings) == 1
        assert "connection refused" in str(warnings[0]["error"])


async def test_tries_to_reach_a_member_become_rarer_but_not_rare(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(A_MINUTE)
        tries = sum(fields.get("stream") == "control" for _, _, fields in one.log.lines)
        assert A_MINUTE / 2 < tries < 2 * A_MINUTE
        assert tries > FAILURES_TO_TELL


async def test_messages_for_a_member_that_is_not_reached_are_dropped_and_raft_is_told(
    autojump_clock: Clock,
):
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(1)
        one.links.send([append(1, b"old")])
        assert one.raft.lost == [2]
        two = await play.add(2)
        await one.reached(2)
        one.links.send([append(2, b"new")])
        await two.raft.until(lambda: bool(two.raft.messages))
        assert indexes(two.raft.messages) == [2]


async def test_raft_is_told_when_there_is_no_link_at_all(autojump_clock: Clock):
    """Without a word, raft would wait for ever for a snapshot to arrive."""
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.send([append(1, b"entry"), snapshot(), heartbeat(1)])
        assert one.raft.lost == [2]
        assert one.raft.snapshots == [(2, False)]


async def test_a_member_that_takes_nothing_is_given_up_and_tried_anew(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.freeze()
        began = trio.current_time()
        one.links.send([append(number, bytes(1 << 20)) for number in range(16)])
        await one.unreached(2)
        assert trio.current_time() - began < 4 * ELECTION_TIMEOUT
        assert 2 in one.raft.lost
        await one.reached(2)
        one.links.send([append(99, b"again")])
        await two.raft.until(lambda: 99 in indexes(two.raft.messages))


async def test_a_member_that_is_silent_is_given_up_though_nothing_is_sent(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.freeze()
        began = trio.current_time()
        await one.unreached(2)
        assert trio.current_time() - began <= 3 * ELECTION_TIMEOUT


# -- Addresses


@pytest.mark.parametrize("dead", [1, 2])
async def test_of_several_urls_those_that_work_are_found(dead: int, autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.add(1), await play.add(2)
        began = trio.current_time()
        one.links.follow({2: [*(f"http://gone{n}:2380" for n in range(dead)), url_of(2)]})
        await one.reached(2)
        assert trio.current_time() - began < dead * 0.25  # one pause for each, no luck needed
        one.links.send([append(1, b"entry")])
        await two.raft.until(lambda: bool(two.raft.messages))


async def test_a_changed_url_is_followed(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.vanish()
        await play.nursery.start(two.serve, parse_url("http://elsewhere:2380"))
        one.links.follow({2: ["http://elsewhere:2380"]})
        await one.unreached(2)
        await one.reached(2)
        one.links.send([append(1, b"entry")])
        await two.raft.until(lambda: bool(two.raft.messages))


async def test_a_link_whose_member_has_not_changed_is_left_alone(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, _ = await play.pair()
        since = one.links.active_since(2)
        one.links.follow({1: [url_of(1)], 2: [url_of(2)], 3: [url_of(3)]})
        await trio.sleep(5)
        assert one.links.active_since(2) == since


async def test_a_member_that_left_hears_for_a_while_and_then_no_more(autojump_clock: Clock):
    """It should learn from raft that it is a member no longer."""
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.links.follow({})
        await trio.sleep(ELECTION_TIMEOUT)
        one.links.send([append(1, b"you are out")])
        await two.raft.until(lambda: bool(two.raft.messages))
        await trio.sleep(FAREWELL_TIMEOUTS * ELECTION_TIMEOUT)
        assert one.links.active_since(2) is None
        assert one.links._links == {}


async def test_a_member_that_left_and_comes_back_is_linked_again(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        one.links.follow({})
        await trio.sleep(ELECTION_TIMEOUT)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(FAREWELL_TIMEOUTS * ELECTION_TIMEOUT)
        await one.reached(2)
        one.links.send([append(1, b"welcome")])
        await two.raft.until(lambda: bool(two.raft.messages))


async def test_links_that_are_started_again_reach_everybody_again(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        network = MemoryNetwork()
        play.network = network
        two = await play.add(2)
        one = Member(1, network)
        one.links.follow({2: [url_of(2)]})
        for index in (1, 2):
            async with trio.open_nursery() as nursery:
                await nursery.start(one.run_links)
                await one.reached(2)
                one.links.send([append(index, b"entry")])
                await two.raft.until(lambda index=index: index in indexes(two.raft.messages))
                nursery.cancel_scope.cancel()
            assert one.links.active_since(2) is None


async def test_a_link_that_fails_is_restarted_alone(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two, three = [await play.add(own) for own in (1, 2, 3)]
        one.links.follow({2: [url_of(2)], 3: [url_of(3)]})
        await one.reached(2)
        await one.reached(3)
        since = one.links.active_since(3)
        one.source.failure = RuntimeError("nobody expected this")
        one.links.send([snapshot(to=2)])
        await one.raft.until(lambda: one.raft.snapshots == [(2, False)])
        one.source.failure = None
        await one.reached(2)
        one.links.send([append(1, b"entry")])
        await two.raft.until(lambda: bool(two.raft.messages))
        assert one.links.active_since(3) == since
        restarts = {child.name: child.restarts for child in one.tree.children}
        assert restarts == {"links": 0, "link-2": 1, "link-3": 0}
        assert not three.raft.messages


# -- Who may come in


async def test_members_of_another_cluster_are_refused(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        stranger, two = await play.add(1, cluster_id=CLUSTER + 1), await play.add(2)
        stranger.links.follow({2: [url_of(2)]})
        await trio.sleep(5)
        assert stranger.links.active_since(2) is None
        assert stranger.told_removed == 0
        assert "cluster ID mismatch" in stranger.log.errors_of("lost stream to peer")
        texts = [text for _, text, _ in two.log.lines]
        assert "request cluster ID mismatch" in texts


async def test_a_member_of_another_major_version_is_refused(autojump_clock: Clock):
    _, refusal = await introduce(Introduction(CLUSTER, 1, 2, (), "9.0.0"))
    assert (refusal.status, str(refusal)) == (Status.FAILED_PRECONDITION, "incompatible version")


async def test_whoever_means_another_member_is_refused(autojump_clock: Clock):
    """Its address was another member's before, or is mistaken."""
    _, refusal = await introduce(Introduction(CLUSTER, 1, 3))
    assert (refusal.status, str(refusal)) == (Status.FAILED_PRECONDITION, "member 3 is not here")


@pytest.mark.parametrize("missing", range(5))
async def test_whoever_does_not_introduce_itself_is_refused(missing: int, autojump_clock: Clock):
    headers = Introduction(CLUSTER, 1, 2).headers()
    _, refusal = await introduce(headers[:missing] + headers[missing + 1 :])
    assert (refusal.status, str(refusal)) == (Status.INVALID_ARGUMENT, "not a call of a member")


async def test_bytes_that_are_no_messages_end_the_stream_and_nothing_else(autojump_clock: Clock):
    two, refusal = await introduce(Introduction(CLUSTER, 1, 2), b"\x05rubbish")
    assert refusal.status is Status.INVALID_ARGUMENT
    assert two.raft.messages == []


async def introduce(
    introduction: Introduction | Headers, *batches: bytes
) -> tuple[Member, EtcdError]:
    """Open a stream to member 2, and send; how it is refused."""
    is_one = isinstance(introduction, Introduction)
    headers = introduction.headers() if is_one else introduction
    async with scene(MemoryNetwork()) as play:
        two = await play.add(2)
        address = parse_url(url_of(2))
        refusal: EtcdError | None = None
        async with open_channel(play.network, address, two.rng) as channel:
            try:
                async with channel.stream(MESSAGES, metadata=headers) as stream:
                    for batch in batches:
                        await stream.send(batch)
                    with trio.fail_after(A_MINUTE):
                        while await stream.receive() is not None:
                            pass
            except EtcdError as error:
                refusal = error
        assert refusal is not None
        return two, refusal


async def test_a_member_that_was_removed_is_told_so_when_it_calls(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.add(1), await play.add(2)
        two.members.removed.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.sleep(1)
        assert one.told_removed
        assert one.links.active_since(2) is None
        assert Removed.text in one.log.errors_of("lost stream to peer")


async def test_a_member_that_is_removed_is_told_so_when_it_speaks(autojump_clock: Clock):
    async with scene(MemoryNetwork()) as play:
        one, two = await play.pair()
        two.members.removed.add(1)
        assert one.told_removed == 0
        one.links.send([heartbeat(1)])
        await one.unreached(2)
        assert one.told_removed


async def test_a_proposal_waits_for_a_stream(autojump_clock: Clock):
    """Nobody says it again, and who has just started has no stream yet."""
    async with scene(MemoryNetwork()) as play:
        one = await play.add(1)
        one.links.follow({2: [url_of(2)]})
        await trio.testing.wait_all_tasks_blocked()
        entries = [Entry(0, 0, 0, b"x")]
        one.links.send([Message(MessageType.PROPOSE, 2, 1, entries=entries)])
        two = await play.add(2)
        await two.raft.until(lambda: len(two.raft.messages) == 1)
        assert two.raft.messages[0].type is MessageType.PROPOSE
