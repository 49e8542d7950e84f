"""Links over real sockets with TLS and certificates on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import trio

from tests.peer.members import Member, append, indexes, snapshot
from tests.wire.certificates import Authority
from wire.log import NullLog
from wire.network import Address, RealNetwork
from wire.tls import ClientTLS, ServerTLS, TLSSettings

PATIENCE = 10.0  # seconds, real ones


def settings(authority: Authority, name: str) -> TLSSettings:
    pair = authority.issue(name, common_name=name)
    return TLSSettings(
        cert_file=pair.cert_file,
        key_file=pair.key_file,
        trusted_ca_file=authority.ca_file,
        client_cert_auth=True,
    )


def member(own: int, tls: TLSSettings) -> Member:
    return Member(
        own,
        RealNetwork(),
        client_tls=ClientTLS(tls, NullLog()),
        server_tls=ServerTLS(tls, NullLog()),
    )


async def begin(nursery: trio.Nursery, one: Member, two: Member) -> None:
    """Let `two` serve, and `one` try to reach it."""
    address = await nursery.start(two.serve, Address("127.0.0.1", 0, secure=True))
    await nursery.start(one.run_links)
    one.links.follow({2: [f"https://{address}"]})


async def test_members_with_certificates_of_one_authority_reach_each_other(tmp_path: Path):
    authority = Authority(tmp_path)
    one, two = (member(own, settings(authority, f"m{own}")) for own in (1, 2))
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await begin(nursery, one, two)
            await one.reached(2)
            sent = [append(number, bytes(100_000)) for number in range(100)]
            one.links.send(sent)
            one.links.send([snapshot()])
            await two.raft.until(lambda: len(two.raft.messages) > len(sent))
            await one.raft.until(lambda: one.raft.snapshots == [(2, True)])
            assert indexes(m for m in two.raft.messages if m.entries) == indexes(sent)
            nursery.cancel_scope.cancel()


async def test_a_certificate_of_another_authority_does_not_come_in(tmp_path: Path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    authority = Authority(ours)
    foreign = settings(Authority(theirs), "m1")
    one = member(1, replace(foreign, trusted_ca_file=authority.ca_file))
    two = member(2, settings(authority, "m2"))
    await refused(one, two)


async def test_a_name_that_is_not_allowed_does_not_come_in(tmp_path: Path):
    authority = Authority(tmp_path)
    one = member(1, settings(authority, "m1"))
    two = member(2, replace(settings(authority, "m2"), allowed_cn=("m3",)))
    await refused(one, two)


async def refused(one: Member, two: Member) -> None:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await begin(nursery, one, two)
            await one.until(lambda: bool(one.log.errors_of("lost stream to peer")))
            await two.until(lambda: bool(two.log.errors_of("rejected connection")))
            assert not one.is_connected(2)
            assert two.raft.messages == []
            nursery.cancel_scope.cancel()
