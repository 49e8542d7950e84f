"""Plain HTTP on the client port: what people and probes ask for.

Source: etcd server/etcdserver/api/etcdhttp (version.go, health.go).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from actors.apply.alarms import Alarms
from actors.cluster.membership import Membership
from actors.kernel import Node
from actors.raft.status import RaftStatus
from trioetcd.api.probes import Probes
from trioetcd.api.reads import Reads
from wire.errors import EtcdError
from wire.http import HTTPRequest, HTTPResponse, not_found
from wire.pb import etcdserverpb
from wire.version import ETCD_VERSION, STORAGE_VERSION

_JSON = [(b"content-type", b"application/json")]
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


Page = Callable[[HTTPRequest], Awaitable[HTTPResponse]]


class Pages:
    """Routes a request to the page that answers it."""

    def __init__(self, pages: dict[str, Page]) -> None:
        self.pages = pages

    def add(self, path: str, page: Page) -> None:
        self.pages[path] = page

    async def handle(self, request: HTTPRequest) -> HTTPResponse:
        page = self.pages.get(request.path)
        if page is None:
            return await not_found(request)
        if request.method not in ("GET", "HEAD"):
            headers = [(b"allow", b"GET"), *_TEXT, _NO_SNIFFING]
            return HTTPResponse(405, b"Method Not Allowed\n", headers)
        return await page(request)


MONITORING = ("/metrics", "/health", "/livez", "/readyz")  # and what is below them


class Web(Pages):
    """The client port's."""

    def __init__(
        self,
        tree: Node,
        membership: Membership,
        alarms: Alarms,
        status: RaftStatus,
        reads: Reads,
    ) -> None:
        self._tree = tree
        self._membership = membership
        self._alarms = alarms
        self._status = status
        self._reads = reads
        self.healthy = self.unhealthy = 0  # answers of /health
        self.probes = Probes(membership, alarms, status, reads)
        super().__init__(
            {
                "/version": self.version,
                "/health": self.health,
                "/debug/actors": self.actors,
                **self.probes.pages,
            }
        )

    def monitoring(self) -> Pages:
        """What `--listen-metrics-urls` serve: how the member is, and nothing of its inside."""
        chosen = {path: page for path, page in self.pages.items() if _root(path) in MONITORING}
        return Pages(chosen)

    async def version(self, request: HTTPRequest) -> HTTPResponse:
        return version_page(self._membership)

    async def health(self, request: HTTPRequest) -> HTTPResponse:
        """Whether this member can do its work; the reason if it cannot."""
        query = parse_qs(request.query)
        serializable = query.get("serializable") == ["true"]
        reason = await self._complaint(set(query.get("exclude", ())), serializable)
        shown = {"health": "false" if reason else "true", "reason": reason}
        body = json.dumps(shown, separators=(",", ":")).encode()
        if reason:
            self.unhealthy += 1
            return HTTPResponse(503, body + b"\n", [*_TEXT, _NO_SNIFFING])
        self.healthy += 1
        return HTTPResponse(200, body, list(_TEXT))  # what Go takes it for

    async def _complaint(self, excluded: set[str], serializable: bool) -> str:
        for row in self._alarms.get():
            alarm = etcdserverpb.AlarmMember.FromString(row)
            kind = etcdserverpb.AlarmType.Name(alarm.alarm)
            if kind not in excluded:
                return f"ALARM {kind}"
        if serializable:
            return ""
        if not self._status.leader:
            return "RAFT NO LEADER"
        try:
            await self._reads.current()
        except EtcdError as refusal:
            return f"RANGE ERROR:{refusal}"
        return ""

    async def actors(self, request: HTTPRequest) -> HTTPResponse:
        """The live tree: JSON, or text for those who ask for that."""
        if b"text/plain" in (request.header(b"accept") or b""):
            return HTTPResponse(200, self._tree.as_text().encode() + b"\n", list(_TEXT))
        body = json.dumps(self._tree.as_dict(), indent=2).encode()
        return HTTPResponse(200, body + b"\n", list(_JSON))


class PeerWeb(Pages):
    """The peer port's, beside the calls of members; for people, and tools that know etcd's."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        super().__init__({"/version": self.version, "/members": self.members})

    async def version(self, request: HTTPRequest) -> HTTPResponse:
        return version_page(self._membership)

    async def members(self, request: HTTPRequest) -> HTTPResponse:
        body = b"[%b]\n" % b",".join(member.to_json() for member in self._membership.all)
        cluster = (b"x-etcd-cluster-id", b"%x" % self._membership.cluster_id)
        return HTTPResponse(200, body, [*_JSON, cluster])


def _root(path: str) -> str:
    return "/" + path.split("/")[1]


def version_page(membership: Membership) -> HTTPResponse:
    shown = {
        "etcdserver": ETCD_VERSION,
        "etcdcluster": membership.version or "not_decided",
        "storage": STORAGE_VERSION,
    }
    return HTTPResponse(200, json.dumps(shown, separators=(",", ":")).encode(), list(_JSON))
