"""Which hosts and origins may use the HTTP side of a port."""

from __future__ import annotations

import pytest

from trioetcd.api.access import Access
from trioetcd.api.gateway.gateway import Gateway
from wire.grpc.service import Peer, Registry
from wire.http import HTTPRequest, HTTPResponse


async def pages(request: HTTPRequest) -> HTTPResponse:
    return HTTPResponse(200, b"page")


def asked(host: bytes = b"h:2379", origin: bytes = b"", **more) -> HTTPRequest:
    headers = [(b"host", host), *([(b"origin", origin)] if origin else [])]
    return HTTPRequest(more.pop("method", "GET"), "/version", tuple(headers), **more)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"etcd.example.com:2379", 200),
        (b"etcd.example.com", 200),
        (b"[::1]:2379", 200),
        (b"[::1]", 200),
        (b"evil.example.com", 421),
        (b"", 421),
    ],
)
async def test_only_known_hosts_may_be_meant(host: bytes, status: int):
    access = Access(pages, None, hosts=["etcd.example.com", "::1"])
    assert (await access.handle(asked(host))).status == status
    assert (await access.handle(asked(host, peer=Peer(secure=True)))).status == 200


async def test_any_origin_is_allowed_by_default():
    response = await Access(pages, None).handle(asked(origin=b"http://x"))
    assert (b"access-control-allow-origin", b"*") in response.headers


async def test_only_listed_origins_are_allowed():
    access = Access(pages, None, origins=["http://good"])
    good = await access.handle(asked(origin=b"http://good"))
    assert (b"access-control-allow-origin", b"http://good") in good.headers
    assert (await access.handle(asked(origin=b"http://bad"))).headers == []


async def test_whoever_asks_for_options_is_told_them_and_nothing_else():
    response = await Access(pages, None).handle(asked(method="OPTIONS"))
    assert (response.status, response.body) == (200, b"")
    assert dict(response.headers)[b"access-control-allow-methods"] == (
        b"POST, GET, OPTIONS, PUT, DELETE"
    )


async def test_a_name_that_would_count_for_nothing_is_refused_at_the_gateway():
    """etcd's CVE of a gateway that calls in its own name: who has one must use gRPC."""
    counts = True
    access = Access(pages, Gateway(Registry()), names_count=lambda: counts)

    async def status(path: str, name: str) -> int:
        peer = Peer(secure=True, common_name=name)
        return (await access.handle(HTTPRequest("POST", path, peer=peer))).status

    assert await status("/v3/kv/range", "alice") == 400
    assert await status("/v3beta/kv/range", "alice") == 400
    assert await status("/v3/kv/range", "") == 501
    assert await status("/version", "alice") == 200
    counts = False
    assert await status("/v3/kv/range", "alice") == 501


async def test_without_a_gateway_its_paths_are_pages():
    assert (await Access(pages, None).handle(asked())).body == b"page"
