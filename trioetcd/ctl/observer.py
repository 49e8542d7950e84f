"""Who leads in an election, as answers to ranges.

Source: etcd client/v3/concurrency/election.go (Observe).
"""

from __future__ import annotations

from collections.abc import Callable

from trioetcd.client.values import prefix_range
from trioetcd.client.watch import WatchRange
from trioetcd.ctl.session import Session
from wire.pb import etcdserverpb, mvccpb

_Range = etcdserverpb.RangeRequest
Show = Callable[[etcdserverpb.RangeResponse], None]


async def observe(session: Session, name: bytes, show: Show) -> None:
    """Show each leader, and each value that it proclaims; never returns.

    Raises:
        EtcdError: it cannot be followed any more.
    """
    while True:
        found = await _first_in_line(session, name)
        if found.kvs:
            leader = etcdserverpb.RangeResponse(header=found.header, kvs=found.kvs)
        else:
            leader = await _first_to_come(session, name, found.header.revision)
        show(leader)
        await _until_gone(session, leader, found, show)


async def _first_in_line(session: Session, name: bytes) -> etcdserverpb.RangeResponse:
    start, end = prefix_range(name + b"/")
    request = _Range(
        key=start,
        range_end=end,
        limit=1,
        sort_order=_Range.SortOrder.Value("ASCEND"),
        sort_target=_Range.SortTarget.Value("CREATE"),
    )
    return await session.call("/etcdserverpb.KV/Range", request, etcdserverpb.RangeResponse)


async def _first_to_come(
    session: Session, name: bytes, revision: int
) -> etcdserverpb.RangeResponse:
    client = await session.client()
    wanted = WatchRange(*prefix_range(name + b"/"), start_revision=revision)
    async with client.watch_responses(wanted) as responses:
        async for response in responses:
            for event in response.events:
                if not _is_delete(event):
                    leader = _answer(response, event)
                    leader.header.revision = event.kv.mod_revision
                    return leader
    raise AssertionError("unreachable")


async def _until_gone(
    session: Session,
    leader: etcdserverpb.RangeResponse,
    found: etcdserverpb.RangeResponse,
    show: Show,
) -> None:
    """Show what it proclaims; with the count of `found`, as etcdctl does."""
    client = await session.client()
    wanted = WatchRange(leader.kvs[0].key, start_revision=leader.header.revision + 1)
    async with client.watch_responses(wanted) as responses:
        async for response in responses:
            for event in response.events:
                if _is_delete(event):
                    return
                answer = _answer(response, event)
                answer.count, answer.more = found.count, found.more
                show(answer)


def _is_delete(event: mvccpb.Event) -> bool:
    return event.type == mvccpb.Event.EventType.Value("DELETE")


def _answer(
    response: etcdserverpb.WatchResponse, event: mvccpb.Event
) -> etcdserverpb.RangeResponse:
    return etcdserverpb.RangeResponse(header=response.header, kvs=[event.kv])
