"""Proposals that another member appends."""

from __future__ import annotations

from actors.apply.operation import header_field, tag_of, wrap
from actors.kernel import Reply
from actors.mvcc.actor import Results
from actors.mvcc.forwarded import MAX_GROUPS, Forwarded, ForwardedProposals
from actors.raft.types import Entry, EntryType
from wire.errors import RequestTimeout, TimeoutLeaderFailure
from wire.pb import etcdserverpb


def put(request_id: int, term: int = 2) -> Entry:
    request = etcdserverpb.PutRequest(key=b"key").SerializeToString()
    data = wrap(tag_of("put"), request, header_field(request_id))
    return Entry(EntryType.NORMAL, term, request_id, data)


def empty(term: int) -> Entry:
    return Entry(EntryType.NORMAL, term, 100, b"")


def sent(proposals: ForwardedProposals, *ids: int, term: int = 2) -> Reply[Results]:
    reply: Reply[Results] = Reply()
    proposals.expect(Forwarded(ids, term, reply))
    return reply


async def test_a_group_is_answered_once_all_of_it_is_applied():
    proposals = ForwardedProposals()
    reply = sent(proposals, 1, 3)
    proposals.answer([put(1), put(2)], [(1, b"a"), (2, b"b")])
    assert not reply.done
    proposals.answer([put(3)], [(3, b"c")])
    assert await reply.wait() == [(1, b"a"), (3, b"c")]
    assert not proposals


async def refusal(reply: Reply[Results]) -> type[Exception]:
    try:
        await reply.wait()
    except Exception as error:
        return type(error)
    raise AssertionError("it was answered")


async def test_what_a_lost_leader_was_sent_is_given_up_when_its_successor_is_heard_of():
    proposals = ForwardedProposals()
    lost, later = sent(proposals, 1), sent(proposals, 2, term=3)
    proposals.answer([put(9)], [(1, b"")])
    assert not lost.done
    proposals.answer([empty(3)], [(0, b"")])
    assert await refusal(lost) is TimeoutLeaderFailure
    assert not later.done


async def test_what_a_lost_leader_has_passed_on_in_time_is_answered():
    proposals = ForwardedProposals()
    reply = sent(proposals, 1)
    proposals.answer([put(1), empty(3)], [(5, b""), (0, b"")])
    assert await reply.wait() == [(5, b"")]


async def test_whoever_waits_when_the_state_is_replaced_is_told_that_nobody_knows():
    proposals = ForwardedProposals()
    reply = sent(proposals, 1)
    proposals.give_up()
    assert await refusal(reply) is RequestTimeout
    assert not proposals


def test_the_oldest_are_forgotten_beyond_the_limit():
    proposals = ForwardedProposals()
    for number in range(1, MAX_GROUPS + 2):
        sent(proposals, number)
    assert len(proposals) == MAX_GROUPS
    proposals.answer([put(1)], [(1, b"")])  # nobody's any more
    assert len(proposals) == MAX_GROUPS
