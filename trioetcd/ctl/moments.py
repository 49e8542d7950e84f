"""`--at`: a revision, or a time at which the store was at one.

    --at 1234               a revision, on any server
    --at 5m-ago, 1h30m-ago  so long before now, by the member's clock
    --at 2026-01-02T03:04:05Z

Times are known to trioetcd, for as long as the member has run.
"""

from __future__ import annotations

import datetime
import json

from trioetcd.config.values import BadValue, parse_duration
from trioetcd.ctl.errors import CommandFailed
from trioetcd.ctl.pages import page
from trioetcd.ctl.session import Session

AGO = "-ago"


async def revision_at(session: Session, moment: str) -> int:
    """What was found is said on standard error.

    Raises:
        CommandFailed: it is no moment, or nobody knows what was then.
    """
    if moment.isdigit():
        return int(moment)
    answer = await _asked(session, _query(moment))
    if "revision" not in answer:
        since = _shown(answer["known_since"])
        raise CommandFailed(f"--at {moment}: revisions are not known before {since}")
    at, revision = _shown(answer["at"]), int(answer["revision"])
    session.console.complain(f"at {at} the store was at revision {revision}")
    return revision


def _query(moment: str) -> str:
    """Raises CommandFailed."""
    try:
        if moment.endswith(AGO):
            return f"ago={parse_duration(moment.removesuffix(AGO)):g}"
        when = datetime.datetime.fromisoformat(moment)
    except (BadValue, ValueError) as error:
        raise CommandFailed(
            f"--at takes a revision, 5m-ago, or a time as 2026-01-02T03:04:05Z, not {moment!r}"
        ) from error
    if when.tzinfo is None:
        raise CommandFailed(f"--at {moment}: a time needs its zone, such as Z")
    return f"at={when.timestamp():.0f}"


async def _asked(session: Session, query: str) -> dict[str, int]:
    """Of the first endpoint.  Raises CommandFailed."""
    endpoint = session.endpoints[0]
    found = await page(session, endpoint, f"/debug/revisions?{query}")
    if found.status == 404:
        raise CommandFailed(
            f"{endpoint} does not know when it was at which revision: it is not trioetcd; "
            "give --at a revision"
        )
    if found.status != 200:
        raise CommandFailed(f"{endpoint}/debug/revisions: HTTP {found.status}")
    answer: dict[str, int] = json.loads(found.body)
    return answer


def _shown(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
