"""The members' endpoints, and who leads among them."""

from __future__ import annotations

from trioetcd.ctl.command import Invocation
from trioetcd.ctl.errors import CommandFailed, words
from trioetcd.ctl.session import Session
from wire.errors import EtcdError
from wire.pb import etcdserverpb


async def chosen_endpoints(said: Invocation) -> list[str]:
    """Those that were named, or with --cluster every member's.  Raises CommandFailed."""
    if not said.parsed.is_on("cluster"):
        return list(said.session.endpoints)
    try:
        return [url for member in await members(said.session) for url in member.clientURLs]
    except (EtcdError, CommandFailed) as error:
        why = words(error) if isinstance(error, EtcdError) else str(error)
        text = f"failed to fetch endpoints from etcd cluster member list: {why}"
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


def reason_of(error: EtcdError | CommandFailed) -> str:
    return words(error) if isinstance(error, EtcdError) else error.text
