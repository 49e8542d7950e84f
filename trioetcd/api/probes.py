"""/livez and /readyz: what an orchestrator asks before it restarts a member, or sends it traffic.

Every check also has a page of its own below.  Source: etcd server/etcdserver/api/etcdhttp
(health.go, from 3.5.11 on).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import parse_qs

import trio

from actors.apply.alarms import Alarms
from actors.cluster.membership import Membership
from actors.raft.status import RaftStatus
from trioetcd.api.reads import Reads
from wire.errors import EtcdError
from wire.http import HTTPRequest, HTTPResponse

LIVEZ = ("serializable_read",)
READYZ = ("data_corruption", "serializable_read", "linearizable_read", "non_learner")
READ_SECONDS = 5.0  # for a linearizable read
_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
]

Page = Callable[[HTTPRequest], Awaitable[HTTPResponse]]


class Probes:
    """`pages` by path.  `outcomes` counts, by page, check and whether it went well.

    `latest` is how each went last.
    """

    def __init__(
        self, membership: Membership, alarms: Alarms, status: RaftStatus, reads: Reads
    ) -> None:
        self._membership = membership
        self._alarms = alarms
        self._status = status
        self._reads = reads
        self.outcomes: dict[tuple[str, str, bool], int] = {}
        self.latest: dict[tuple[str, str], bool] = {}
        self._checks: Mapping[str, Callable[[], Awaitable[str]]] = {
            "data_corruption": self._corruption,
            "serializable_read": self._local_read,
            "linearizable_read": self._linearizable_read,
            "non_learner": self._non_learner,
        }
        self.pages: dict[str, Page] = {}
        for root, checks in (("livez", LIVEZ), ("readyz", READYZ)):
            self.pages[f"/{root}"] = partial(self._page, root, checks)
            for check in checks:
                self.pages[f"/{root}/{check}"] = partial(self._page, root, (check,))

    async def _page(self, root: str, checks: tuple[str, ...], request: HTTPRequest) -> HTTPResponse:
        """`ok`, or the checks that failed; all of them for ?verbose."""
        query = parse_qs(request.query, keep_blank_values=True)
        excluded = set(query.get("exclude", ())) if len(checks) > 1 or root == "livez" else set()
        lines, failed = [], False
        for name in checks:
            if name in excluded:
                continue
            complaint = await self._checks[name]()
            lines.append(f"[-]{name} failed: {complaint}\n" if complaint else f"[+]{name} ok\n")
            failed = failed or bool(complaint)
            self.latest[root, name] = not complaint
            outcome = root, name, not complaint
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        detail = "".join(lines)
        if failed:
            return HTTPResponse(503, detail.encode() + b"\n", list(_HEADERS))
        shown = detail if "verbose" in query else ""
        return HTTPResponse(200, f"{shown}ok\n".encode(), list(_HEADERS))

    # -- Checks: what is wrong, or nothing

    async def _corruption(self) -> str:
        await trio.lowlevel.checkpoint()
        return "alarm activated: CORRUPT" if self._alarms.corrupt else ""

    async def _local_read(self) -> str:
        """That this is answered says it."""
        await trio.lowlevel.checkpoint()
        return ""

    async def _linearizable_read(self) -> str:
        if not self._status.leader:
            return "etcdserver: no leader"
        with trio.move_on_after(READ_SECONDS):
            try:
                await self._reads.current()
            except EtcdError as refusal:
                return str(refusal)
            return ""
        return "context deadline exceeded"

    async def _non_learner(self) -> str:
        await trio.lowlevel.checkpoint()
        me = self._membership.members.get(self._status.node_id)
        return "not supported for learner" if me is not None and me.is_learner else ""
