"""The members' endpoints, and who leads among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from trioetcd.ctl.command import Invocation
from trioetcd.ctl.errors import CommandFailed, words
from trioetcd.ctl.session import Session
from wire.errors import EtcdError
from wire.pb import etcdserverpb

A = TypeVar("A")


async def chosen_endpoints(said: Invocation) -> list[str]:
    """Those that were named, or with --cluster every member's.  Raises CommandFailed."""
    if not said.parsed.is_on("cluster"):
        return list(said.session.endpoints)
    try:
        return [url for member in await members(said.session) for url in member.clientURLs]
    except (EtcdError, CommandFailed) as error:
        text = f"failed to fetch endpoints from etcd cluster member list: {reason_of(error)}"
        raise CommandFailed(text) from error


async def members(session: Session) -> list[etcdserverpb.Member]:
    """Raises EtcdError or CommandFailed."""
    answer = await session.call(
        "/etcdserverpb.Cluster/MemberList",
        etcdserverpb.MemberListRequest(linearizable=True),
        etcdserverpb.MemberListResponse,
    )
    return list(answer.members)


async def status_of(session: Session, endpoint: str) -> etcdserverpb.StatusResponse:
    """Raises EtcdError or CommandFailed."""
    return await session.call_at(
        endpoint,
        "/etcdserverpb.Maintenance/Status",
        etcdserverpb.StatusRequest(),
        etcdserverpb.StatusResponse,
    )


async def ask_each(
    said: Invocation, what: str, ask: Callable[[str], Awaitable[A]]
) -> tuple[list[tuple[str, A]], str]:
    """The chosen endpoints' answers, one after the other, and why the last one that failed did;
    each failure is said."""
    found, failure = [], ""
    for endpoint in await chosen_endpoints(said):
        try:
            found.append((endpoint, await ask(endpoint)))
        except (EtcdError, CommandFailed) as error:
            failure = reason_of(error)
            said.session.console.complain(
                f"Failed to get the {what} of endpoint {endpoint} ({failure})"
            )
    return found, failure


def reason_of(error: EtcdError | CommandFailed) -> str:
    return words(error) if isinstance(error, EtcdError) else error.text
