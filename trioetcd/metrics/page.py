"""The page at /metrics: everything that is counted in a member, when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from trioetcd.metrics import member, peers, process, rpc, storage
from trioetcd.metrics.families import CONTENT_TYPE, Family, counter, gauge, render
from trioetcd.metrics.member import Health
from trioetcd.node.parts import Parts
from wire.http import HTTPRequest, HTTPResponse


class MetricsPage:
    """One member's; several in one process do not meet."""

    def __init__(self, parts: Parts, health: Health) -> None:
        self._parts = parts
        self._health = health
        self._scrapes = 0

    async def __call__(self, request: HTTPRequest) -> HTTPResponse:
        body = render(self.families())
        self._scrapes += 1
        return HTTPResponse(200, body, [(b"content-type", CONTENT_TYPE)])

    def families(self) -> Iterator[Family]:
        yield from member.families(self._parts, self._health)
        yield from storage.families(self._parts)
        yield from peers.families(self._parts)
        yield from rpc.families(self._parts.registry, self._parts.handling)
        yield from process.families()
        yield gauge("promhttp_metric_handler_requests_in_flight", "Scrapes under way.", 1)
        answered = counter("promhttp_metric_handler_requests_total", "Scrapes answered.")
        for code, count in (("200", self._scrapes), ("500", 0), ("503", 0)):
            answered.add(count, code=code)
        yield answered
