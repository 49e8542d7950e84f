"""member list, add, remove, update, promote.

Source: etcd etcdctl/ctlv3/command/member_command.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from actors.cluster.urls import BadURL, check_urls
from trioetcd.cli.pflag import Flag
from trioetcd.cli.shown import Table
from trioetcd.client.calls import Kind
from trioetcd.ctl.command import Command, Invocation
from trioetcd.ctl.commands.shared import member_id
from trioetcd.ctl.errors import CommandFailed, Exit, Misused
from trioetcd.ctl.output.answer import Answer
from trioetcd.ctl.output.fields import header, lines
from wire.pb import etcdserverpb

if TYPE_CHECKING:
    from google.protobuf.message import Message

Changed = TypeVar(
    "Changed",
    etcdserverpb.MemberRemoveResponse,
    etcdserverpb.MemberUpdateResponse,
    etcdserverpb.MemberPromoteResponse,
)
_CLUSTER = "/etcdserverpb.Cluster"
_COLUMNS = ("ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner")
_NO_ID = "member ID is not provided"


async def list_members(said: Invocation) -> None:
    consistency = said.parsed.text("consistency")
    if consistency not in ("l", "s"):
        raise CommandFailed(f'unknown consistency flag "{consistency}"', Exit.BAD_FEATURE)
    answer = await said.session.call(
        f"{_CLUSTER}/MemberList",
        etcdserverpb.MemberListRequest(linearizable=consistency == "l"),
        etcdserverpb.MemberListResponse,
    )
    rows = [_row(member) for member in answer.members]
    said.session.show(
        Answer(
            answer,
            "".join(", ".join(row) + "\n" for row in rows),
            fields=lambda: lines(header(answer)) + "".join(map(_fields, answer.members)),
            table=Table(_COLUMNS, rows),
            json=(lambda: _hex_json(answer)) if said.session.style.hex else None,
        )
    )


def _hex_json(answer: etcdserverpb.MemberListResponse) -> dict[str, Any]:
    """etcdctl 3.5's, which leaves things out and spells `clientURLS` so.

    From the tenth term on its raft term is in hex without quotes, which is no JSON; ours is.
    """
    members = [
        {
            "ID": f"{member.ID:x}",
            "name": member.name,
            "peerURLs": list(member.peerURLs) or None,
            "clientURLS": list(member.clientURLs) or None,
        }
        for member in answer.members
    ]
    header = answer.header
    ids = {"cluster_id": f"{header.cluster_id:x}", "member_id": f"{header.member_id:x}"}
    return {"header": {**ids, "raft_term": header.raft_term}, "members": members}


def _row(member: etcdserverpb.Member) -> Sequence[str]:
    return (
        f"{member.ID:x}",
        "started" if member.name else "unstarted",
        member.name,
        ",".join(member.peerURLs),
        ",".join(member.clientURLs),
        "true" if member.isLearner else "false",
    )


def _fields(member: etcdserverpb.Member) -> str:
    rows = [
        ("ID", member.ID),
        ("Name", member.name),
        *(("PeerURL", url) for url in member.peerURLs),
        *(("ClientURL", url) for url in member.clientURLs),
        ("IsLearner", member.isLearner),
    ]
    return lines(rows) + "\n"


async def add(said: Invocation) -> None:
    if not said.arguments:
        raise Misused("member name not provided")
    if len(said.arguments) > 1:
        text = "too many arguments"
        if "http" in said.arguments[1]:
            text += f", did you mean --peer-urls={said.arguments[1]}"
        raise Misused(text)
    name = said.arguments[0]
    urls = [url for url in said.parsed.text("peer-urls").split(",") if url]
    if not urls:
        raise Misused("member peer urls not provided")
    _check(urls)
    answer = await said.session.call(
        f"{_CLUSTER}/MemberAdd",
        etcdserverpb.MemberAddRequest(peerURLs=urls, isLearner=said.parsed.is_on("learner")),
        etcdserverpb.MemberAddResponse,
        is_write=True,
    )
    text = f"Member {answer.member.ID:16x} added to cluster {answer.header.cluster_id:16x}\n"
    said.session.show(Answer(answer, text + _environment(answer, name), has_fields=False))


def _check(urls: Sequence[str]) -> None:
    """Raises CommandFailed: before a server is asked, as Go's client does it."""
    try:
        check_urls(urls)
    except BadURL as error:
        raise CommandFailed(str(error)) from error


def _environment(answer: etcdserverpb.MemberAddResponse, name: str) -> str:
    """How the new member is to be started."""
    cluster = ",".join(
        f"{name if member.ID == answer.member.ID else member.name}={url}"
        for member in answer.members
        for url in member.peerURLs
    )
    return (
        f'\nETCD_NAME="{name}"\nETCD_INITIAL_CLUSTER="{cluster}"\n'
        f'ETCD_INITIAL_ADVERTISE_PEER_URLS="{",".join(answer.member.peerURLs)}"\n'
        'ETCD_INITIAL_CLUSTER_STATE="existing"\n'
    )


async def remove(said: Invocation) -> None:
    number = member_id(said.only_argument(_NO_ID))
    request = etcdserverpb.MemberRemoveRequest(ID=number)
    kind = etcdserverpb.MemberRemoveResponse
    await _change(said, "MemberRemove", request, kind, f"Member {number:16x} removed from")


async def update(said: Invocation) -> None:
    number = member_id(said.only_argument(_NO_ID))
    urls = said.parsed.text("peer-urls")
    if not urls:
        raise Misused("member peer urls not provided")
    _check(urls.split(","))
    request = etcdserverpb.MemberUpdateRequest(ID=number, peerURLs=urls.split(","))
    kind = etcdserverpb.MemberUpdateResponse
    await _change(said, "MemberUpdate", request, kind, f"Member {number:16x} updated in")


async def promote(said: Invocation) -> None:
    number = member_id(said.only_argument(_NO_ID))
    request = etcdserverpb.MemberPromoteRequest(ID=number)
    kind = etcdserverpb.MemberPromoteResponse
    await _change(said, "MemberPromote", request, kind, f"Member {number:16x} promoted in")


async def _change(
    said: Invocation, method: str, request: Message, kind: Kind[Changed], done: str
) -> None:
    answer = await said.session.call(f"{_CLUSTER}/{method}", request, kind, is_write=True)
    text = f"{done} cluster {answer.header.cluster_id:16x}\n"
    said.session.show(Answer(answer, text, has_fields=False))


COMMANDS = [
    Command(("member",), "Membership related commands"),
    Command(
        ("member", "add"),
        "Adds a member into the cluster",
        add,
        "<memberName> [options]",
        "",
        {
            "peer-urls": Flag("", "comma separated peer URLs for the new member."),
            "learner": Flag(False, "indicates if the new member is raft learner"),
        },
    ),
    Command(
        ("member", "list"),
        "Lists all members in the cluster",
        list_members,
        "",
        "A member's line has its ID, status, name, peer URLs, client URLs, and whether it is a\n"
        "learner.",
        {"consistency": Flag("l", "Linearizable(l) or Serializable(s)")},
    ),
    Command(
        ("member", "promote"),
        "Promotes a non-voting member in the cluster",
        promote,
        "<memberID>",
        "Promotes a non-voting learner member to a voting one in the cluster.",
    ),
    Command(("member", "remove"), "Removes a member from the cluster", remove, "<memberID>"),
    Command(
        ("member", "update"),
        "Updates a member in the cluster",
        update,
        "<memberID> [options]",
        "",
        {"peer-urls": Flag("", "comma separated peer URLs for the updated member.")},
    ),
]
