"""The state machine's owner: every result finds its way to who proposed the entry."""

from __future__ import annotations

import trio

from actors.apply.operation import header_field, tag_of, wrap
from actors.kernel import Reply
from actors.mvcc.actor import Results
from actors.mvcc.forwarded import Forwarded
from actors.raft.types import Entry, EntryType
from trioetcd.node.node import open_node
from trioetcd.node.settings import NodeSettings
from wire.pb import etcdserverpb


def put(index: int, request_id: int) -> Entry:
    request = etcdserverpb.PutRequest(key=b"key", value=b"%d" % index).SerializeToString()
    data = wrap(tag_of("put"), request, header_field(request_id))
    return Entry(EntryType.NORMAL, 2, index, data)


async def test_a_forwarded_proposal_is_found_though_older_entries_still_wait(autojump_clock):
    """What waits to be applied grows by the proposal's own entry, which is no reason to apply
    that before anybody knows who waits for it."""
    async with open_node(NodeSettings()) as node:
        machine = node.parts.machine
        index = node.parts.rows.applied_index
        machine.inbox.wake()  # so that nothing is applied at once
        reply: Reply[Results] = Reply()
        machine.committed([put(index + 1, 1)], [])
        machine.forwarded(Forwarded([2], 2, reply))
        machine.committed([put(index + 2, 2)], [])
        with trio.fail_after(5):
            assert await reply.wait() == [(3, b"")]
