"""lease grant, revoke, timetolive, list, keep-alive.

Source: etcd etcdctl/ctlv3/command/lease_command.go, client/v3/lease.go (the answers' shapes).
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import trio

from trioetcd.cli.pflag import Flag
from trioetcd.client.lease import KEEP_ALIVES
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.shared import lease_id
from trioetcd.ctl.errors import CommandFailed, Exit, Misused, words
from trioetcd.ctl.numbers import BadNumber, parse_signed
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import header, lines
from trioetcd.ctl.output.go_json import flat_header
from trioetcd.ctl.session import TIMED_OUT
from wire.errors import EtcdError
from wire.pb import etcdserverpb

_LEASE = "/etcdserverpb.Lease"


def _marshalled(answer: Any) -> Any:
    """Go's client keeps of these only the header as a message."""
    return answer.header.SerializeToString


async def grant(said: Invocation) -> None:
    try:
        ttl = parse_signed(said.only_argument("lease grant command needs TTL argument"))
    except BadNumber as error:
        raise Misused(f"bad TTL ({error})") from error
    request = etcdserverpb.LeaseGrantRequest(TTL=ttl)
    try:
        answer = await said.session.call(
            f"{_LEASE}/LeaseGrant", request, etcdserverpb.LeaseGrantResponse, is_write=True
        )
    except EtcdError as error:
        raise CommandFailed(f"failed to grant lease ({words(error)})") from error
    said.session.show(
        Answer(
            answer,
            f"lease {answer.ID:016x} granted with TTL({answer.TTL}s)\n",
            fields=lambda: lines([*header(answer), ("ID", answer.ID), ("TTL", answer.TTL)]),
            json=lambda: {
                **flat_header(answer),
                "ID": answer.ID,
                "TTL": answer.TTL,
                "Error": answer.error,
            },
            marshalled=_marshalled(answer),
        )
    )


async def revoke(said: Invocation) -> None:
    number = lease_id(said.only_argument("lease revoke command needs 1 argument"))
    request = etcdserverpb.LeaseRevokeRequest(ID=number)
    try:
        answer = await said.session.call(
            f"{_LEASE}/LeaseRevoke", request, etcdserverpb.LeaseRevokeResponse, is_write=True
        )
    except EtcdError as error:
        raise CommandFailed(f"failed to revoke lease ({words(error)})") from error
    said.session.show(Answer(answer, f"lease {number:016x} revoked\n"))


async def time_to_live(said: Invocation) -> None:
    request = etcdserverpb.LeaseTimeToLiveRequest(
        ID=lease_id(said.only_argument("lease timetolive command needs lease ID as argument")),
        keys=said.parsed.is_on("keys"),
    )
    try:
        answer = await said.session.call(
            f"{_LEASE}/LeaseTimeToLive", request, etcdserverpb.LeaseTimeToLiveResponse
        )
    except EtcdError as error:
        raise CommandFailed(words(error), Exit.BAD_CONNECTION) from error
    said.session.show(
        Answer(
            answer,
            _time_to_live_line(answer, with_keys=request.keys),
            fields=lambda: lines(
                [
                    *header(answer),
                    ("ID", answer.ID),
                    ("TTL", answer.TTL),
                    ("GrantedTTL", answer.grantedTTL),
                    *(("Key", key) for key in answer.keys),
                ]
            ),
            json=lambda: {
                **flat_header(answer),
                "id": answer.ID,
                "ttl": answer.TTL,
                "granted-ttl": answer.grantedTTL,
                "keys": [b64encode(key).decode() for key in answer.keys] or None,
            },
            marshalled=_marshalled(answer),
        )
    )


def _time_to_live_line(answer: etcdserverpb.LeaseTimeToLiveResponse, *, with_keys: bool) -> bytes:
    if answer.grantedTTL == 0 and answer.TTL == -1:
        return b"lease %016x already expired\n" % answer.ID
    keys = b", attached keys([%s])" % b" ".join(answer.keys) if with_keys else b""
    return b"lease %016x granted with TTL(%ds), remaining(%ds)%s\n" % (
        answer.ID,
        answer.grantedTTL,
        answer.TTL,
        keys,
    )


async def leases(said: Invocation) -> None:
    answer = await said.session.call(
        f"{_LEASE}/LeaseLeases",
        etcdserverpb.LeaseLeasesRequest(),
        etcdserverpb.LeaseLeasesResponse,
    )
    ids = [lease.ID for lease in answer.leases]
    said.session.show(
        Answer(
            answer,
            f"found {len(ids)} leases\n" + "".join(f"{one:016x}\n" for one in ids),
            fields=lambda: lines([*header(answer), *(("ID", one) for one in ids)]),
            json=lambda: {**flat_header(answer), "leases": [{"id": one} for one in ids]},
            marshalled=_marshalled(answer),
        )
    )


async def keep_alive(said: Invocation) -> None:
    number = lease_id(said.only_argument("lease keep-alive command needs lease ID as argument"))
    client = await said.session.client()
    is_once = said.parsed.is_on("once")
    while True:
        try:
            with trio.fail_after(said.parsed.seconds("command-timeout")):
                answer = await client.keep_alive_response(number)
        except EtcdError as error:
            raise CommandFailed(words(error), Exit.BAD_CONNECTION) from error
        except trio.TooSlowError as error:
            raise CommandFailed(TIMED_OUT, Exit.BAD_CONNECTION) from error
        if answer.TTL <= 0 and is_once:
            raise CommandFailed("etcdserver: requested lease not found", Exit.BAD_CONNECTION)
        if answer.TTL <= 0:
            break
        said.session.show(_kept_alive(answer))
        if is_once:
            return
        await trio.sleep(answer.TTL / KEEP_ALIVES)
    if said.session.style.format == "simple":
        said.session.console.print(f"lease {number:016x} expired or revoked.\n")


def _kept_alive(answer: etcdserverpb.LeaseKeepAliveResponse) -> Answer:
    return Answer(
        answer,
        f"lease {answer.ID:016x} keepalived with TTL({answer.TTL})\n",
        fields=lambda: lines([*header(answer), ("ID", answer.ID), ("TTL", answer.TTL)]),
        json=lambda: {**flat_header(answer), "ID": answer.ID, "TTL": answer.TTL},
        marshalled=_marshalled(answer),
    )


COMMANDS = [
    Command(("lease",), "Lease related commands"),
    Command(("lease", "grant"), "Creates leases", grant, "<ttl>"),
    Command(
        ("lease", "keep-alive"),
        "Keeps leases alive (renew)",
        keep_alive,
        "[options] <leaseID>",
        "",
        {"once": Flag(False, "Starts the lease's time over once, and ends")},
    ),
    Command(("lease", "list"), "List all active leases", leases),
    Command(("lease", "revoke"), "Revokes leases", revoke, "<leaseID>"),
    Command(
        ("lease", "timetolive"),
        "Get lease information",
        time_to_live,
        "<leaseID> [options]",
        "",
        {"keys": Flag(False, "Get keys attached to this lease")},
    ),
]
