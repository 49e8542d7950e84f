"""Who may talk to the HTTP side of a port: hosts that are known, and other sites' scripts.

A browser can be made to send requests to a server on its own machine under a foreign name; such
a name is refused unless it is on the list, for whoever uses TLS has checked it already.
Source: etcd server/embed/serve.go (accessController), pkg/cors; CVE-2018-5702.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from trioetcd.api.gateway.gateway import PREFIXES, Gateway
from wire.http import HTTPHandler, HTTPRequest, HTTPResponse

ANY = "*"
MISDIRECTED = 421
_METHODS = (b"access-control-allow-methods", b"POST, GET, OPTIONS, PUT, DELETE")
_HEADERS = (b"access-control-allow-headers", b"accept, content-type, authorization")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_NAME_IGNORED = (
    b"CommonName of client sending a request against gateway will be ignored"
    b" and not used as expected\n"
)

Header = tuple[bytes, bytes]


class Access:
    """An HTTP handler in front of all others of the client port."""

    def __init__(
        self,
        pages: HTTPHandler,
        gateway: Gateway | None,
        *,
        origins: Collection[str] = (ANY,),
        hosts: Collection[str] = (ANY,),
        names_count: Callable[[], bool] = lambda: False,
    ) -> None:
        """`origins` whose scripts may call, and `hosts` as which we may be addressed in plain
        HTTP; ANY among them means all.  While `names_count`, certificates name users: of the
        gateway's calls that would not be true, so whoever has such a certificate is refused."""
        self._pages = pages
        self._gateway = gateway
        self._origins = frozenset(origins)
        self._hosts = frozenset(hosts)
        self._names_count = names_count

    async def handle(self, request: HTTPRequest) -> HTTPResponse:
        if not request.peer.secure and not self._is_known(request.header(b"host") or b""):
            host = (request.header(b"host") or b"").decode("ascii", "replace")
            words = f"unknown host {host!r}: use TLS, or add it to --host-whitelist\n"
            return HTTPResponse(MISDIRECTED, words.encode(), [_TEXT])
        for_gateway = self._gateway is not None and request.path.startswith(PREFIXES)
        if for_gateway and request.peer.common_name and self._names_count():
            return HTTPResponse(400, _NAME_IGNORED, [_TEXT, _NO_SNIFFING])
        cors = self._cors(request)
        if request.method == "OPTIONS":
            return HTTPResponse(200, b"", cors)
        if for_gateway and self._gateway is not None:
            response = await self._gateway.handle(request)
        else:
            response = await self._pages(request)
        response.add_headers(cors)
        return response

    def _is_known(self, host: bytes) -> bool:
        if ANY in self._hosts:
            return True
        name = host.decode("ascii", "replace")
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        return name.strip("[]") in self._hosts

    def _cors(self, request: HTTPRequest) -> list[Header]:
        origin = request.header(b"origin") or b""
        if ANY in self._origins:
            allowed = ANY.encode()
        elif origin.decode("ascii", "replace") in self._origins:
            allowed = origin
        else:
            return []
        return [_METHODS, (b"access-control-allow-origin", allowed), _HEADERS]
