"""/debug/revisions?at=SECONDS: at which revision the store was, for `ctl get --at`."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import trio

from actors.mvcc.revision_times import RevisionTimes
from wire.http import HTTPRequest, HTTPResponse

_JSON = [(b"content-type", b"application/json")]


class RevisionsPage:
    def __init__(self, times: RevisionTimes, unix_seconds: Callable[[], float]) -> None:
        self._times = times
        self._unix_seconds = unix_seconds

    async def __call__(self, request: HTTPRequest) -> HTTPResponse:
        """`at` in Unix seconds, `ago` in seconds before now by the member's own clock."""
        await trio.lowlevel.checkpoint()
        asked = parse_qs(request.query)
        try:
            if "ago" in asked:
                moment = self._unix_seconds() - float(asked["ago"][0])
            else:
                moment = float(asked["at"][0])
            known = self._times.at(moment)
        except (KeyError, ValueError, OverflowError):
            return HTTPResponse(400, b"give ?at=UNIX_SECONDS or ?ago=SECONDS\n")
        shown: dict[str, object] = {"known_since": self._times.known_since, "at": int(moment)}
        if known is not None:
            shown |= {"revision": known.revision, "since": known.since}
        return HTTPResponse(200, json.dumps(shown).encode() + b"\n", list(_JSON))
