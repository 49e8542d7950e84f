"""Services and addresses, from a name server of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trio

from wire.names import SystemNames, Target, UnknownName

RECORDS = {
    "_etcd-server._tcp.example.com.": (
        "20 0 2380 later.example.com.",
        "10 1 2380 small.example.com.",
        "10 9 2381 large.example.com.",
    )
}


@asynccontextmanager
async def name_server() -> AsyncIterator[SystemNames]:
    async with trio.open_nursery() as nursery:
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as socket:
            await socket.bind(("127.0.0.1", 0))
            nursery.start_soon(answer_all, socket)
            yield SystemNames(("127.0.0.1",), socket.getsockname()[1])
            nursery.cancel_scope.cancel()


async def answer_all(socket: trio.socket.SocketType) -> None:
    while True:
        data, sender = await socket.recvfrom(4096)
        question = dns.message.from_wire(data)
        asked = question.question[0]
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        records = RECORDS.get(asked.name.to_text())
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "SRV", *records))
        await socket.sendto(answer.to_wire(), sender)


async def test_a_service_is_offered_by_priority_and_then_by_weight():
    async with name_server() as names:
        assert await names.services("_etcd-server._tcp.example.com") == [
            Target("large.example.com", 2381),
            Target("small.example.com", 2380),
            Target("later.example.com", 2380),
        ]


async def test_a_service_that_nobody_offers_is_unknown_in_gos_words():
    async with name_server() as names:
        with pytest.raises(UnknownName) as refused:
            await names.services("_etcd-server._tcp.example.org")
    assert str(refused.value) == "lookup _etcd-server._tcp.example.org: no such host"


async def test_an_address_is_its_own_and_a_name_is_looked_up():
    names = SystemNames()
    assert await names.address("127.0.0.1") == "127.0.0.1"
    assert await names.address("localhost") == "127.0.0.1"
    with pytest.raises(UnknownName, match="no such host"):
        await names.address("no-such-host.invalid")
